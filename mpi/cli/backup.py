"""`mpi backup` and `mpi restore`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import typer

from mpi.cli.progress import Shown, progress
from mpi.config import load_store_config
from mpi.errors import IndexCorrupt, InputRejected
from mpi.rules import load_rules, rule_file


def run_backup(data: Path, config: Path | None, out: Path, *, as_json: bool) -> None:
    """Write a backup of one moment; servers may run meanwhile.

    Raises:
        InputRejected: the file is there already or cannot be written.
        StoreUnusable: the store cannot be read.
    """
    from mpi.server.bootstrap import keys_at_rest, open_store
    from mpi.store.backup import take

    settings = load_store_config(data, config)
    if settings.database is None and not (data / "store.db").is_file():
        raise InputRejected(f"{data}: holds no store")
    with open_store(settings) as store, progress("writing rows", None, quiet=as_json) as shown:
        manifest = take(store, out, keys_at_rest(settings, make=False), _told(shown))
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
        return
    typer.echo(f"{out}: revision {manifest.revision}, {manifest.records} records, {manifest.identities} identities")
    typer.echo(f"  it opens with {settings.service_key} only, which is not in it: keep a copy of that elsewhere")


def run_restore(data: Path, config: Path | None, backup: Path, *, only_check: bool, as_json: bool) -> None:
    """Check a backup, fill an empty store from it, and make its index.

    Raises:
        InputRejected: the backup is unusable, the store is not empty, or the centre's key file is missing.
        StoreUnusable: the store cannot be written; it is as empty as it was.
        IndexCorrupt: the new index is not right.
    """
    from mpi.index.projector import rebuild, verify
    from mpi.server.bootstrap import index_folder, keys_at_rest, open_store, opened
    from mpi.store.backup import check, restore

    settings = load_store_config(data, config)
    at_rest = keys_at_rest(settings, make=False)
    digest = load_rules(rule_file(settings.rules)).stored_digest
    with progress("checking rows", None, quiet=as_json) as shown:
        if only_check:
            manifest = check(backup, at_rest, digest, _told(shown))
        else:
            check(backup, at_rest, digest, _told(shown))  # before anything is made
            with open_store(settings) as store:
                manifest = restore(store, backup, at_rest, digest, _told(shown))
                rebuild(index_folder(settings), at_rest, store, shown)
            with opened(settings) as (store, index):
                findings = verify(index, store)
            if findings:
                raise IndexCorrupt(f"the index differs from the store ({findings[0]}); run `mpi index rebuild`")
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
        return
    done = "is whole and opens" if only_check else f"restored to {data}, and the index is right"
    typer.echo(f"{backup}: taken {manifest.taken}, {done}")
    typer.echo(f"  revision {manifest.revision}, {manifest.records} records, {manifest.identities} identities")
    if not only_check:
        typer.echo(
            "  what came after it must be brought again: registrations, retractions, consents, suspended clients"
        )


def _told(shown: Shown) -> Callable[[str, int, int], None]:
    return lambda what, done, total: shown.step(what, done, total)
