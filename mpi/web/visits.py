"""A steward's visit to a page: who asks, in which language, and with which connection to the index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mpi.client import Client
from mpi.domain.access import INSECURE_CALLER, Role, client_named
from mpi.errors import AccessDenied, Conflict, InputRejected, MpiError, NotFound, RateLimited, ServiceUnavailable
from mpi.web.sessions import Notice, Session
from mpi.web.texts import Texts, preferred, texts

MOST_FORM_BYTES = 1 << 16
MOST_FIELDS = 2000
STEWARDS = ("queue", "bulk", "questions", "dashboard", "identities", "rules")
OFFICERS = ("openings", "objections")
"""Pages that people go to by themselves."""
THEMES = ("auto", "light", "dark")

_STATUS: Mapping[type[MpiError], int] = {
    InputRejected: 400,
    AccessDenied: 403,
    NotFound: 404,
    Conflict: 409,
    RateLimited: 429,
    ServiceUnavailable: 503,
}


@dataclass(frozen=True, slots=True)
class Connection:
    """A steward's own connection to the index: what a page may do is what the steward may do.

    Attributes:
        client: the connection.
        urn: the name in its certificate, such as "urn:mpi:steward:somsri", under which the index notes what is done.
    """

    client: Client
    urn: str


class Connections(Protocol):
    """Gives every steward the connection that is theirs."""

    def of(self, steward: str) -> Connection:
        """Give the connection of a steward.

        Raises:
            AccessDenied: the page holds no certificate of this steward.
        """
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, by name; a name may come several times."""

    fields: Mapping[str, list[str]]

    def text(self, name: str) -> str:
        """Give a field; "" where it is missing."""
        return self.fields.get(name, [""])[-1]

    def number(self, name: str) -> int:
        """Give a field that is a number.

        Raises:
            InputRejected: it is missing, or no number.
        """
        return _number(name, self.text(name))

    def numbers(self, name: str) -> list[int]:
        """Give all fields of a name; raises as `number` does."""
        return [_number(name, each) for each in self.fields.get(name, [])]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a signed-in steward.

    Attributes:
        request: what the browser asks.
        session: the steward's session.
        client: the steward's connection to the index.
        urn: the steward's name in the index.
        say: the texts of the steward's language.
        form: what was sent; without fields where nothing was.
        templates: where pages are drawn.
    """

    request: Request
    session: Session
    client: Client
    urn: str
    say: Texts
    form: Form
    templates: Environment

    def cursor(self, longest: int) -> bytes:
        """Where a page of a list begins, as the page before said; empty for the first one.

        Args:
            longest: bytes that such a place has at most.

        Raises:
            InputRejected: it is no such place.
        """
        text = self.request.query_params.get("cursor", "")
        try:
            if len(text) > 2 * longest:
                raise ValueError
            return bytes.fromhex(text)
        except ValueError:
            raise InputRejected("cursor: is what the page before said") from None

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Draw a page; the notice that waits is on it, and waits no longer."""
        notice, self.session.notice = self.session.notice, None
        return draw(
            self.templates, self.request, template, status, session=self.session, notice=notice, say=self.say, **values
        )

    def go(self, path: str, notice: Notice | None = None) -> Response:
        """Send the browser on to another page of ours, which shows the notice."""
        if notice:
            self.session.notice = notice
            if notice.change:
                self.session.changes.append(notice.change)
        return RedirectResponse(local(path), 303)

    def tell(self, **values: Any) -> Response:
        """Answer a script."""
        return JSONResponse(values)


Handler = Callable[[Visit], Response]


def page(path: str, handler: Handler) -> Route:
    """Make the route of a page, which changes nothing."""
    return Route(path, _endpoint(handler), methods=["GET"])


def action(path: str, handler: Handler) -> Route:
    """Make the route of a form, which is taken from a page of the same session alone."""
    return Route(path, _endpoint(handler, acts=True), methods=["POST"])


def local(path: str) -> str:
    """Give a path of this page; the first page for what leads anywhere else."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if inside else "/"


def language(request: Request) -> str:
    """Give the language of the reader: the one chosen, or else the browser's."""
    return request.cookies.get("language") or preferred(request.headers.get("accept-language", ""))


def places_of(urn: str) -> tuple[str, ...]:
    """Pages for the role in a name; whoever needs no certificate may see all of them."""
    named = client_named(urn)
    if named is None:
        return (*STEWARDS, *OFFICERS) if urn == INSECURE_CALLER else STEWARDS
    return OFFICERS if named.role is Role.PRIVACY_OFFICER else STEWARDS


def draw(templates: Environment, request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Draw a page with what every page needs."""
    theme = request.cookies.get("theme", "")
    values.setdefault("session", None)
    values.setdefault("notice", None)
    values.setdefault("say", texts(language(request)))
    values["theme"] = theme if theme in THEMES else THEMES[0]
    values["path"] = request.url.path
    values["places"] = places_of(values["session"].urn if values["session"] else "")
    return HTMLResponse(templates.get_template(template).render(values), status)


def _endpoint(handler: Handler, *, acts: bool = False) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        session: Session | None = request.state.session
        templates: Environment = request.app.state.templates
        say = texts(language(request))
        if session is None or not session.steward:
            if acts:
                return problem(templates, request, 401, say("problem.session"), "")
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(asked, safe='')}", 303)
        try:
            form = Form({})
            if acts:
                form = await _form(request)
                if not session.brings(form.text("token")):
                    return problem(templates, request, 403, say("problem.token"), "")
            # A call of gRPC waits: it must not hold up the other requests.
            return await run_in_threadpool(_answer, handler, request, session, say, form)
        except MpiError as error:
            status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
            return problem(templates, request, status, say(f"problem.{status}"), error.message)

    return endpoint


def _answer(handler: Handler, request: Request, session: Session, say: Texts, form: Form) -> Response:
    state = request.app.state
    connections: Connections = state.connections
    own = connections.of(session.steward)
    session.urn = own.urn
    return handler(Visit(request, session, own.client, own.urn, say, form, state.templates))


def problem(templates: Environment, request: Request, status: int, text: str, detail: str) -> Response:
    """Say what is wrong, on a page, or to a script in its own form."""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"problem": text, "detail": detail}, status)
    session: Session | None = request.state.session
    shown = session if session and session.steward else None
    return draw(templates, request, "problem.html", status, session=shown, text=text, detail=detail, code=status)


async def _form(request: Request) -> Form:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM_BYTES:
            raise InputRejected(f"a form holds at most {MOST_FORM_BYTES >> 10} KiB")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:  # also what is no UTF-8
        raise InputRejected("the form cannot be read") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return Form(fields)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InputRejected(f"{name}: is a number")
    return int(text)
