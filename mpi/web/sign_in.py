"""Signing in: with a link on this machine, or through any provider of OpenID Connect."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mpi.errors import AccessDenied, MpiError
from mpi.web.sessions import Session, Sessions
from mpi.web.settings import Provider
from mpi.web.texts import texts
from mpi.web.visits import draw, language, local, problem


class SignIn(Protocol):
    """A way to sign in."""

    def routes(self) -> list[Route]:
        """Give the pages that it takes."""
        ...


class LocalSignIn:
    """Signs in whoever has the link that `mpi review` prints: others on this machine do not know it.

    Args:
        steward: whose page it is.
        sessions: where the session is begun.
    """

    def __init__(self, steward: str, sessions: Sessions) -> None:
        self._steward = steward
        self._sessions = sessions
        self._key = secrets.token_urlsafe(32)

    @property
    def path(self) -> str:
        """The link's path, which is secret."""
        return f"/sign-in?key={self._key}"

    def routes(self) -> list[Route]:
        """Give the one page."""
        return [Route("/sign-in", self._sign_in, methods=["GET"])]

    async def _sign_in(self, request: Request) -> Response:
        key = request.query_params.get("key", "")
        if hmac.compare_digest(key.encode("utf-8", "replace"), self._key.encode()):
            _begin(request, self._sessions, self._steward)
            return RedirectResponse("/", 303)
        wrong = bool(key)
        return draw(request.app.state.templates, request, "sign_in.html", 403 if wrong else 200, start="", wrong=wrong)


class ProviderSignIn:
    """Signs in whom a provider of OpenID Connect names, if it gives them the steward's role.

    The authorisation code is asked for with PKCE, a state and a nonce; the token's signature, issuer, audience and
    times are checked.
    """

    def __init__(self, provider: Provider, origin: str, sessions: Sessions, transport: Any = None) -> None:
        self._provider = provider
        self._return = f"{origin}/sign-in/done"
        self._sessions = sessions
        extra = {"transport": transport} if transport else {}
        self._oauth: Any = OAuth()
        self._oauth.register(
            "provider",
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={"scope": provider.scope, "code_challenge_method": "S256", "timeout": 10, **extra},
        )

    def routes(self) -> list[Route]:
        """Give the page that offers it, the way out and the way back."""
        return [
            Route("/sign-in", self._offer, methods=["GET"]),
            Route("/sign-in/start", self._start, methods=["GET"]),
            Route("/sign-in/done", self._done, methods=["GET"]),
        ]

    async def _offer(self, request: Request) -> Response:
        wanted = local(request.query_params.get("next", "/"))
        start = f"/sign-in/start?next={quote(wanted, safe='')}"
        return draw(request.app.state.templates, request, "sign_in.html", start=start, wrong=False)

    async def _start(self, request: Request) -> Response:
        session = self._sessions.begin()
        session.held["next"] = local(request.query_params.get("next", "/"))
        request.state.session = session
        request.scope["session"] = session.held
        try:
            response: Response = await self._oauth.provider.authorize_redirect(request, self._return)
        except Exception:  # noqa: BLE001 (whatever the provider or the network does, there is a page that says so)
            return self._refuse(request, 503, "sign_in.unreachable")
        return response

    async def _done(self, request: Request) -> Response:
        held: Mapping[str, Any] = dict(request.session)
        try:
            token = await self._oauth.provider.authorize_access_token(request)
            claims = token["userinfo"]
        except (OAuthError, JoseError, KeyError, TypeError, ValueError):
            return self._refuse(request, 403, "sign_in.failed")
        except Exception:  # noqa: BLE001 (as above)
            return self._refuse(request, 503, "sign_in.unreachable")
        try:
            steward = self._provider.steward(claims)
            await run_in_threadpool(request.app.state.connections.of, steward)
        except AccessDenied as error:
            return self._refuse(request, 403, "sign_in.role", error.message)
        except MpiError as error:
            return self._refuse(request, 503, "problem.503", error.message)
        _begin(request, self._sessions, steward)
        return RedirectResponse(local(str(held.get("next", "/"))), 303)

    def _refuse(self, request: Request, status: int, text: str, detail: str = "") -> Response:
        say = texts(language(request))
        return problem(request.app.state.templates, request, status, say(text), detail)


def sign_out_route(sessions: Sessions) -> Route:
    """Make the route that ends a session, which only a page of that session can call."""

    async def sign_out(request: Request) -> Response:
        session: Session | None = request.state.session
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > 1024:
                break
        if session and session.brings(body.decode("utf-8", "replace").removeprefix("token=")):
            sessions.end(session)
            request.state.session = None
        return RedirectResponse("/sign-in", 303)

    return Route("/sign-out", sign_out, methods=["POST"])


def _begin(request: Request, sessions: Sessions, steward: str) -> None:
    before: Session | None = request.state.session
    if before:
        sessions.end(before)
    request.state.session = sessions.begin(steward)
