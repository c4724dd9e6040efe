"""`mpi serve`."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import typer

from mpi.config import load_config


def run(data: Path, config: Path | None, listen: str | None, *, insecure: bool, as_json: bool) -> None:
    """Serve until interrupted; says where it listens on one line of standard output."""
    from mpi.server import app
    from mpi.server.bootstrap import application

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_config(data, config, listen=listen, insecure=insecure)

    def ready(address: str) -> None:
        if as_json:
            typer.echo(json.dumps({"listening": address}))
        else:
            how = "mutual TLS" if settings.tls else "PLAIN TEXT, this machine only: everyone on it may do everything"
            typer.echo(f"mpi: listening on {address} ({how}); data in {data}")

    with application(settings) as served:
        app.run(served, settings.listen, settings.tls, ready)
