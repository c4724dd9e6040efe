"""What every answer says to the browser, and what every request must be before it is looked at."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing from elsewhere, nothing inline, no frame around the page, and no text that a script turns into markup."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with "no-referrer" a form of our own would name no origin either
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-robots-tag": "noindex",
}
_SAFE = frozenset({"GET", "HEAD"})


class Guard:
    """Adds the headers, and refuses requests for another host or sent by another site.

    Args:
        app: what is guarded.
        hosts: names and ports under which the page is reached. Others are refused: a foreign name that is made to lead
            to this machine would otherwise share its origin (DNS rebinding).
        secure: the page is reached over TLS.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], secure: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._scheme = "https" if secure else "http"
        self._headers = dict(HEADERS)
        if secure:
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        lasting = scope["path"].startswith("/static/")

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                # A page may show what only this steward may see: no cache keeps it, not even the browser's.
                headers["cache-control"] = "private, max-age=3600" if lasting else "no-store"
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal:
            await PlainTextResponse(refusal, 403)(scope, receive, send_headers)
            return
        await self._app(scope, receive, send_headers)

    def _refusal(self, method: str, headers: Headers) -> str:
        host = headers.get("host", "")
        if host not in self._hosts:
            return "This page is not served under that name."
        if method in _SAFE:
            return ""
        origin = headers.get("origin")
        if origin is not None and origin != f"{self._scheme}://{host}":
            return "This request came from another site."
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "This request came from another site."
        return ""
