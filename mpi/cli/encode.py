"""`mpi encode`."""

from __future__ import annotations

import csv
import datetime
import functools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mpi.domain.identifiers import is_facility_code
from mpi.domain.record import EncodedRecord
from mpi.errors import ExtractUnreadable, InputRejected

if TYPE_CHECKING:
    from mpi.encoder.demographics import Demographics

ROWS_PER_BATCH = 500
SOURCES = ("person43", "fhir", "csv")


@dataclass(slots=True)
class Encoded:
    """Figures of a run: records written, rows set aside by reason, remarks by kind, seconds."""

    records: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    quarantine: Path | None = None

    def figures(self) -> dict[str, object]:
        """The figures for a script."""
        return {
            "records": self.records,
            "quarantined": sum(self.quarantined.values()),
            "reasons": dict(self.quarantined),
            "remarks": dict(sorted(self.remarks.items())),
            "seconds": round(self.seconds, 3),
            "records_per_second": round(self.records / self.seconds, 1) if self.seconds else None,
        }


def encode_extract(
    extract: Path,
    keys: Path,
    facility: str,
    source: str,
    out: Path,
    profile: str,
    mapping: Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Encoded:
    """Encode an extract into `out`, and rows that cannot be used into a quarantine file beside it.

    Both appear under their names when they are complete; an interruption leaves what was there before.

    Raises:
        InputRejected: an unusable extract, key ring, rule file, facility code or format.
    """
    from mpi.encoder.demographics import normalize
    from mpi.encoder.encoded_file import EncodedFileHeader, whole_file, write_encoded
    from mpi.encoder.encoder import Encoder
    from mpi.encoder.keys import load_key_ring
    from mpi.encoder.sources import RejectedRow, RowReason, SourceRow, fhir, person43
    from mpi.encoder.sources import csv as csv_source
    from mpi.rules import load_rules, rule_file

    if not is_facility_code(facility):
        raise InputRejected("--facility: a code has 5 to 9 upper-case letters and digits")
    if source not in SOURCES:
        raise InputRejected(f"--source is one of {', '.join(SOURCES)}")
    if (source == "csv") != (mapping is not None):
        raise InputRejected("--mapping names the columns of a csv source, and goes with no other")
    rows_of: Callable[[Path], Iterator[SourceRow | RejectedRow]]
    if mapping is not None:
        rows_of = functools.partial(csv_source.read, mapping=csv_source.load_mapping(mapping))
    else:
        rows_of = {"person43": person43.read, "fhir": fhir.read}[source]
    rules = load_rules(rule_file(profile))
    ring = load_key_ring(keys)
    today = datetime.datetime.now(datetime.UTC).date()
    encoder = Encoder(rules.profile, ring, facility, today)
    header = EncodedFileHeader(facility, rules.profile.name, rules.profile.digest, ring.current.name)
    quarantine_file = out.with_suffix(".quarantine.csv")
    done = Encoded(quarantine=quarantine_file)
    begun = time.monotonic()
    if not out.parent.is_dir():
        raise InputRejected(f"--out: {out.parent} is not a folder")

    with _writing(out), whole_file(quarantine_file) as quarantine, quarantine.open("w", encoding="utf-8") as aside:
        rejected = csv.writer(aside)
        rejected.writerow(("row", "reason"))

        def set_aside(row: int, reason: RowReason) -> None:
            rejected.writerow((row, reason.value))
            done.quarantined[reason.value] += 1

        def usable() -> Iterator[tuple[int, str, Demographics]]:
            for entry in rows_of(extract):
                if isinstance(entry, RejectedRow):
                    set_aside(entry.row, entry.reason)
                    continue
                person = normalize(entry.raw, today)
                done.remarks.update(person.flags)
                if person.identifiers or person.names:
                    yield entry.row, entry.raw.local_id, person
                else:
                    set_aside(entry.row, RowReason.NOTHING_TO_MATCH)

        def batches() -> Iterator[list[tuple[int, EncodedRecord]]]:
            rows: list[tuple[int, str, Demographics]] = []
            for row in usable():
                rows.append(row)
                if len(rows) == ROWS_PER_BATCH:
                    yield encoded(rows)
                    rows = []
            if rows:
                yield encoded(rows)

        def encoded(rows: list[tuple[int, str, Demographics]]) -> list[tuple[int, EncodedRecord]]:
            records = encoder.encode([(local_id, person) for _, local_id, person in rows])
            on_progress(len(rows))
            return [(row, record) for (row, _, _), record in zip(rows, records, strict=True)]

        done.records = write_encoded(out, header, rules.profile.bits // 8, batches())
    done.seconds = time.monotonic() - begun
    return done


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExtractUnreadable(out, f"cannot be written ({error.strerror or type(error).__name__})") from None


def run(
    extract: Path,
    keys: Path,
    facility: str,
    source: str,
    out: Path,
    profile: str,
    mapping: Path | None,
    *,
    as_json: bool,
) -> None:
    """Encode an extract and say how it went."""
    from mpi.cli.progress import progress

    with progress("encoding", None, quiet=as_json) as advance:
        done = encode_extract(extract, keys, facility, source, out, profile, mapping, advance)
    if as_json:
        typer.echo(json.dumps(done.figures()))
        return
    typer.echo(f"{out}: {done.records} records in {done.seconds:.1f} s")
    if done.quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in done.quarantined.most_common())
        typer.echo(f"{done.quarantine}: {sum(done.quarantined.values())} rows set aside ({reasons})")
    for remark, count in done.remarks.most_common():
        typer.echo(f"  {count:>8} {remark}")
