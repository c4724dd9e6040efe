"""`mpi review`: the stewards' page."""

from __future__ import annotations

import ipaddress
import json
from contextlib import suppress
from pathlib import Path

import typer

from mpi.errors import ConfigInvalid


def run(server: str, steward: str, certs: Path | None, listen: str, *, as_json: bool) -> None:
    """Serve the page of one steward on this machine until interrupted; says its link on standard output."""
    _check_installed()
    from mpi.client import Client
    from mpi.web.app import application, serve
    from mpi.web.connections import OwnConnection, person_named
    from mpi.web.sessions import Sessions
    from mpi.web.sign_in import LocalSignIn

    host = listen.rpartition(":")[0]
    if not _is_loopback(host):
        raise ConfigInvalid("--listen", "is an address of this machine, such as 127.0.0.1:8480; others need --config")
    beside = Path("certs") / f"steward-{steward}"
    folder = certs or (beside if steward and beside.is_dir() else None)
    urn = person_named(folder) if folder else None
    own = urn.rpartition(":")[2] if urn else ""
    if own and steward and own != steward:
        raise ConfigInvalid("--as", f"the certificate in {folder} is of {own}")
    sessions = Sessions()
    name = steward or own or "local"
    sign_in = LocalSignIn(name, sessions)
    with Client(address=server, certificates=folder) as client:
        hosts: set[str] = set()
        connection = OwnConnection(client, urn) if urn else OwnConnection(client)
        app = application(connection, sessions, sign_in, hosts, secure=False)

        def ready(address: str) -> None:
            port = address.rpartition(":")[2]
            hosts.update(f"{each}:{port}" for each in (host, "localhost", "127.0.0.1"))
            link = f"http://{address}{sign_in.path}"
            if as_json:
                typer.echo(json.dumps({"listening": address, "link": link}))
            else:
                typer.echo(f"mpi: the page of {name} is at\n{link}")
                typer.echo(f"Whoever has this link acts as {name}; keep it to yourself. Ctrl-C ends it.")

        serve(app, listen, ready)


def run_for_all(config: Path, *, as_json: bool) -> None:
    """Serve the page of every steward that signs in through a provider, until interrupted."""
    _check_installed()
    from urllib.parse import urlsplit

    from mpi.web.app import application, serve
    from mpi.web.connections import CertificateConnections, person_named
    from mpi.web.sessions import Sessions
    from mpi.web.settings import load_page_config
    from mpi.web.sign_in import ProviderSignIn

    settings = load_page_config(config)
    for folder in settings.stewards.values():
        person_named(folder)
    sessions = Sessions()
    connections = CertificateConnections(settings.server, settings.stewards)
    sign_in = ProviderSignIn(settings.provider, settings.origin, sessions)
    app = application(connections, sessions, sign_in, {urlsplit(settings.origin).netloc}, secure=True)

    def ready(address: str) -> None:
        said = f"mpi: {settings.origin} is served on {address}; stewards sign in at {settings.provider.issuer}"
        typer.echo(json.dumps({"listening": address, "origin": settings.origin}) if as_json else said)

    try:
        serve(app, settings.listen, ready, settings.certificate, settings.key)
    finally:
        connections.close()


def _check_installed() -> None:
    try:
        import authlib  # noqa: F401
        import jinja2  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigInvalid("mpi review", 'needs more packages: pip install "thai-mpi[review]"') from None


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
