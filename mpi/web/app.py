"""Joins the pages, their guard and the connections to the index into one application, and serves it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from pathlib import Path
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mpi.errors import ConfigInvalid
from mpi.web import bulk, dashboard, identity, privacy, queue, rules, task
from mpi.web.guard import Guard
from mpi.web.sessions import SessionCookies, Sessions
from mpi.web.showing import environment
from mpi.web.sign_in import SignIn, sign_out_route
from mpi.web.texts import LANGUAGES, texts
from mpi.web.visits import THEMES, Connections, Visit, language, local, page, places_of, problem

YEAR = 365 * 86400
HIGHEST_PORT = 65535
MOST_REQUESTS = 256
"""Connections at once; further ones are told to come back."""


def application(
    connections: Connections, sessions: Sessions, sign_in: SignIn, hosts: Collection[str], *, secure: bool
) -> ASGIApp:
    """Join the parts.

    Args:
        connections: whose connection a page uses.
        sessions: the sessions that are open.
        sign_in: how stewards sign in.
        hosts: names and ports under which browsers reach the page; looked at with every request.
        secure: browsers reach it over TLS.
    """
    app = Starlette(
        routes=[
            page("/", _first),
            *queue.routes(),
            *task.routes(),
            *bulk.routes(),
            *dashboard.routes(),
            *rules.routes(),
            *privacy.routes(),
            *identity.routes(),
            *sign_in.routes(),
            sign_out_route(sessions),
            Route("/preferences", _prefer, methods=["POST"]),
            Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
        ],
        exception_handlers={HTTPException: _not_there, 500: _failed},
    )
    app.state.templates = environment()
    app.state.connections = connections
    # Around the whole application: its own middleware would leave the page that tells of a fault unguarded.
    return Guard(SessionCookies(app, sessions, secure), hosts, secure)


def serve(
    app: ASGIApp,
    listen: str,
    ready: Callable[[str], None],
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        app: the application.
        listen: address and port; port 0 takes any free one.
        ready: called with the address once it listens.
        certificate: the page's certificate chain; None for plain text.
        key: its key.

    Raises:
        ConfigInvalid: nothing can listen there, or the certificate cannot be used.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses hold enterprise ids
        server_header=False,
        limit_concurrency=MOST_REQUESTS,
        # Whatever a proxy says of the scheme or the client is of no use here: the origin is a setting.
        proxy_headers=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except OSError as error:  # also what TLS finds wrong
        raise ConfigInvalid("tls", f"{certificate} and {key}: {error.strerror or 'are not usable'}") from None
    with _listening(listen) as listener:
        host, port = listener.getsockname()[:2]
        ready(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        uvicorn.Server(config).run(sockets=[listener])


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise ConfigInvalid("listen", "is an address and a port, such as 127.0.0.1:8443")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=MOST_REQUESTS)
    except OSError as error:
        raise ConfigInvalid("listen", f"{listen}: {error.strerror or 'nothing can listen there'}") from None


def _first(visit: Visit) -> Response:
    return visit.go(f"/{places_of(visit.urn)[0]}")


async def _prefer(request: Request) -> Response:
    """Keep the chosen language and theme in the browser; the guard has seen that our own page asks."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > 4096:
            break
    chosen = dict(parse_qsl(bytes(body[:4096]).decode("utf-8", "replace"), max_num_fields=8))
    response = RedirectResponse(local(chosen.get("next", "/")), 303)
    for name, values in (("language", LANGUAGES), ("theme", THEMES)):
        if chosen.get(name) in values:
            response.set_cookie(name, chosen[name], max_age=YEAR, samesite="lax", httponly=True)
    return response


async def _not_there(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    say = texts(language(request))
    return problem(request.app.state.templates, request, status, say("problem.404"), "")


async def _failed(request: Request, error: Exception) -> Response:
    say = texts(language(request))
    return problem(request.app.state.templates, request, 500, say("problem.500"), "")
