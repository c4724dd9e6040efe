"""`mpi index`."""

from __future__ import annotations

from pathlib import Path

import typer

from mpi.config import load_store_config


def run_verify(data: Path, config: Path | None) -> int:
    """Compare index and store; returns the exit code."""
    from mpi.index.projector import verify
    from mpi.server.bootstrap import opened

    with opened(load_store_config(data, config)) as (store, index):
        findings = verify(index, store)
        records, identities, _ = store.count()
    for finding in findings:
        typer.echo(finding, err=True)
    if findings:
        typer.echo("mpi: the index differs from the store; run `mpi index rebuild`", err=True)
        return 1
    typer.echo(f"the index is right: {records} records, {identities} identities")
    return 0


def run_rebuild(data: Path, config: Path | None) -> None:
    """Make the index anew beside the old one, then put it in its place; servers may run meanwhile."""
    from mpi.index.projector import rebuild
    from mpi.server.bootstrap import index_folder, keys_at_rest, open_store

    settings = load_store_config(data, config)
    with open_store(settings) as store:
        revision = rebuild(index_folder(settings), keys_at_rest(settings), store)
    typer.echo(f"the index was made anew and stands at revision {revision}")
