"""`mpi serve`."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import typer

from mpi.config import load_config
from mpi.errors import ConfigInvalid

ROLES = ("all", "locator", "worker")
"""What one process serves: everything; lookups, following the store by itself; lookups, beside a registrar."""


def run(
    data: Path,
    config: Path | None,
    listen: str | None,
    *,
    insecure: bool,
    as_json: bool,
    role: str = "all",
    workers: int = 0,
    registrar: str | None = None,
    supervised: bool = False,
) -> None:
    """Serve until interrupted; says where it listens on one line of standard output."""
    from mpi.server import app
    from mpi.server.bootstrap import application

    if role not in ROLES:
        raise ConfigInvalid("--role", f"is one of {', '.join(ROLES)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_config(data, config, listen=listen, insecure=insecure)
    how = "mutual TLS" if settings.tls else "PLAIN TEXT, this machine only: everyone on it may do everything"

    def ready(address: str, registrar: str = "") -> None:
        if as_json:
            typer.echo(json.dumps({"listening": address, **({"registrar": registrar} if registrar else {})}))
        else:
            typer.echo(f"mpi: listening on {address} ({how}); data in {data}")
            if registrar:
                typer.echo(f"mpi: lookups are answered there; everything else is served on {registrar}")

    if workers:
        from mpi.server.supervisor import Supervisor, arguments

        if role != "all":
            raise ConfigInvalid("--workers", "goes with the role all: each worker is a locator")
        processes = Supervisor(
            arguments(data, config, insecure=insecure), workers, settings.listen, registrar or _next(settings.listen)
        )
        processes.run(ready)
        return
    if supervised:
        from mpi.server.supervisor import give_way, stop_with_supervisor

        stop_with_supervisor()
        if role == "all":
            give_way()
    lookups_only = role != "all"
    with application(settings, follows=role != "worker", writes=not lookups_only) as served:
        app.run(
            served,
            settings.listen,
            settings.tls,
            ready,
            lookups_only=lookups_only,
            shares_port=role == "worker",
        )


def _next(listen: str) -> str:
    """The address after one: the same host, the port plus one; any free port stays any free port."""
    from mpi.server.app import host_of

    host, port = host_of(listen), int(listen.rpartition(":")[2])
    return f"{host}:{port and port + 1}"
