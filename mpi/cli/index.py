"""`mpi index`."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

from mpi.config import load_store_config


def run_verify(data: Path, config: Path | None) -> int:
    """Compare index and store; returns the exit code."""
    from mpi.index.projector import catch_up, verify
    from mpi.server.bootstrap import opened

    with opened(load_store_config(data, config)) as (store, index):
        catch_up(index, store)
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
    """Make the index anew beside the old one, then put it in its place."""
    from mpi.index.lmdb_index import Index
    from mpi.index.projector import fill
    from mpi.server.bootstrap import open_store
    from mpi.service.keys import open_service_keys

    settings = load_store_config(data, config)
    fresh, current = data / "index.new", data / "index"
    shutil.rmtree(fresh, ignore_errors=True)
    with open_store(settings) as store:
        index = Index(fresh, open_service_keys(settings.service_key).at_rest)
        try:
            revision = fill(index, store)
        finally:
            index.close()
    shutil.rmtree(current, ignore_errors=True)
    fresh.rename(current)
    typer.echo(f"the index was made anew and stands at revision {revision}")
