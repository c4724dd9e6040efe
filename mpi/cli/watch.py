"""`mpi watch`: what changes, from now on or from where the last run ended."""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import typer

from mpi.cli.locate import purpose_named
from mpi.client import Client
from mpi.domain.watching import EventKind, IdentityEvent, Wanted
from mpi.errors import ConfigInvalid

_FRESH = ".new"
_PRIVATE = 0o600
_MOST_BYTES = 1024


def run(
    server: str,
    purpose: str,
    certs: Path | None,
    since: Path | None,
    kinds: Collection[str],
    facilities: Collection[str],
    most: int | None,
    *,
    as_json: bool,
) -> None:
    """Print events as they come, until interrupted.

    The cursor is written once its events have left for standard output: a run that is killed in between prints them
    again the next time, and none is lost.

    Args:
        server: address and port.
        purpose: a word of HL7 PurposeOfUse, such as "TREAT".
        certs: folder of the client's certificate; None speaks plain text to this machine.
        since: file of the cursor, read at the start where it is there, and written; None begins now and keeps nothing.
        kinds: words of `EventKind`; none for every kind.
        facilities: codes; none for every facility.
        most: end after so many events, with the page that holds the last of them; None for never.
        as_json: print a JSON object a line.

    Raises:
        MpiError: an argument, the cursor file or the server refuses, or the server was away for too long.
    """
    wanted, cursor, shown = Wanted(_kinds(kinds), frozenset(facilities)), _read(since), 0
    use = purpose_named(purpose)
    with Client(address=server, certificates=certs) as client, closing(client.watch(use, cursor, wanted)) as pages:
        for page in pages:
            for event in page.events:
                typer.echo(json.dumps(_figures(event)) if as_json else _line(event))
            sys.stdout.flush()
            if since is not None:
                _write(since, page.cursor)
            shown += len(page.events)
            if most is not None and shown >= most:
                return


def _kinds(words: Collection[str]) -> frozenset[EventKind]:
    try:
        return frozenset(EventKind(word.lower().replace("-", "_")) for word in words)
    except ValueError:
        raise ConfigInvalid("--kind", f"is one of {', '.join(EventKind)}") from None


def _read(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            return base64.b64decode(file.read(_MOST_BYTES).strip(), validate=True)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise ConfigInvalid("--since", f"{path.parent} is no folder") from None
        return b""
    except (binascii.Error, ValueError):
        raise ConfigInvalid("--since", f"{path} holds no cursor; take it away to watch from now on") from None
    except OSError as error:
        raise ConfigInvalid("--since", f"{path}: {error.strerror}") from None


def _write(path: Path, cursor: bytes) -> None:
    """Replace the file in one step: whoever reads it finds the old cursor or the new one, whole."""
    fresh = path.with_name(f".{path.name}{_FRESH}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
        with open(descriptor, "wb") as file:
            file.write(base64.b64encode(cursor) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise ConfigInvalid("--since", f"{path}: {error.strerror}") from None


def _figures(event: IdentityEvent) -> dict[str, object]:
    return {"kind": event.kind, "eid": event.eid, "source": event.source, "facilities": event.facilities}


def _line(event: IdentityEvent) -> str:
    source = f"  from {event.source}" if event.source else ""
    facilities = f"  {' '.join(event.facilities)}" if event.facilities else ""
    return f"{event.kind:<10}  {event.eid}{source}{facilities}"
