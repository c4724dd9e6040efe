"""`mpi register`: send encoded files to an index."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from mpi.client import BatchRegistered, Client
from mpi.domain.record import EncodedRecord
from mpi.encoder.encoded_file import count_encoded, read_numbered
from mpi.errors import MpiError, RecordRejected

BATCH_SECONDS = 60.0
"""How long the answer to one batch may take."""
REFUSED = "refused"

_STORED, _UNCHANGED = "stored", "unchanged"
_OUTCOMES = (_STORED, _UNCHANGED, REFUSED)
_ROWS_SHOWN = 10


@dataclass(slots=True)
class Registered:
    """Figures of a run.

    Attributes:
        records: records that were answered.
        outcomes: how many were stored, unchanged and refused.
        refused: for each reason and part at fault, the files and rows of the extract that it concerns.
        revision: token of the last write, which a lookup can demand to see everything of this run.
        seconds: how long it took.
    """

    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: dict[tuple[str, str], list[tuple[Path, int]]] = field(default_factory=dict)
    revision: bytes = b""
    seconds: float = 0.0

    def add(self, batch: BatchRegistered, rows: Sequence[tuple[Path, int]]) -> None:
        """Count the answer to a batch whose records stand in these rows."""
        for outcome, row in zip(batch.outcomes, rows, strict=True):
            if isinstance(outcome, RecordRejected):
                self.outcomes[REFUSED] += 1
                self.refused.setdefault((outcome.reason.value, outcome.field), []).append(row)
            else:
                self.outcomes[_UNCHANGED if outcome.unchanged else _STORED] += 1
        self.records += len(rows)
        self.revision = batch.revision

    def figures(self) -> dict[str, object]:
        """The figures for a script."""
        return {
            "records": self.records,
            **{name: self.outcomes[name] for name in _OUTCOMES},
            "reasons": [
                {
                    "reason": reason,
                    "field": part,
                    "count": len(rows),
                    "rows": [{"file": str(path), "row": row} for path, row in rows],
                }
                for (reason, part), rows in sorted(self.refused.items())
            ],
            "revision": self.revision.hex(),
            "seconds": round(self.seconds, 3),
            "records_per_second": round(self.records / self.seconds, 1) if self.seconds else None,
        }


def register_files(
    files: Sequence[Path], server: str, certs: Path | None, on_progress: Callable[[int], None] = lambda _: None
) -> Registered:
    """Send encoded files. Sending one again is harmless: what is registered already is "unchanged".

    Args:
        files: encoded files, as `mpi encode` writes them.
        server: address and port.
        certs: folder of the facility's certificate; None speaks plain text to this machine.
        on_progress: told after each batch how many more records were answered.

    Raises:
        MpiError: a file cannot be read, or the server cannot be reached or refuses the client.
    """
    sent: deque[list[tuple[Path, int]]] = deque()
    done = Registered()
    begun = time.monotonic()
    try:
        with Client(address=server, certificates=certs, timeout=BATCH_SECONDS) as client:
            for batch in client.register_batches(_batches(files, sent)):
                rows = sent.popleft()
                done.add(batch, rows)
                on_progress(len(rows))
    except MpiError:
        if done.records:
            typer.echo(f"mpi: stopped after {done.records} records; the same command may simply be repeated", err=True)
        raise
    done.seconds = time.monotonic() - begun
    return done


def run(files: Sequence[Path], server: str, certs: Path | None, *, as_json: bool) -> int:
    """Send encoded files and print what became of their records, the rows of refused ones by reason.

    Returns:
        The exit code: 1 when any record was refused.
    """
    from mpi.cli.progress import progress

    # Counting reads every file's footer: a missing or damaged one is found before the first record is sent.
    total = sum(count_encoded(path) for path in files)
    with progress("registering", total, quiet=as_json) as advance:
        done = register_files(files, server, certs, advance)
    if as_json:
        typer.echo(json.dumps(done.figures(), ensure_ascii=False))
    else:
        _show(done)
    return 1 if done.refused else 0


def _show(done: Registered) -> None:
    counts = ", ".join(f"{done.outcomes[name]} {name}" for name in _OUTCOMES)
    typer.echo(f"{done.records} records in {done.seconds:.1f} s: {counts}")
    for (reason, part), rows in sorted(done.refused.items()):
        typer.echo(f"{len(rows)} records refused: {reason} ({part})")
        for path, row in rows[:_ROWS_SHOWN]:
            typer.echo(f"  {path}, row {row}")
        if len(rows) > _ROWS_SHOWN:
            typer.echo(f"  and {len(rows) - _ROWS_SHOWN} more; --json lists them all")
    typer.echo(f"revision {done.revision.hex()}")


def _batches(files: Sequence[Path], sent: deque[list[tuple[Path, int]]]) -> Iterator[tuple[bytes, list[EncodedRecord]]]:
    """Read the files in batches, and note which rows each batch holds until its answer comes."""
    for path in files:
        for batch in read_numbered(path):
            sent.append([(path, row) for row, _ in batch])
            yield str(batch[-1][0]).encode(), [record for _, record in batch]
