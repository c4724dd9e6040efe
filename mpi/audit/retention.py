"""Retention: what is older than it must be kept goes, and a signed stub stays, so that the chain still verifies."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mpi.audit import lines
from mpi.audit.keys import JournalKeys
from mpi.audit.segments import stub_name
from mpi.audit.verify import Examination, Segment
from mpi.errors import AuditUnusable

_DAYS_A_YEAR = 365.25


def expire(
    journal: Path, heads: Path, keys: JournalKeys, years: float, *, now: datetime | None = None, preview: bool = False
) -> list[Segment]:
    """Remove the sealed segments whose last entry is older than a number of years; servers may run meanwhile.

    Args:
        journal: folder of the journal.
        heads: folder of its heads.
        keys: the journal's keys, which sign the stubs.
        years: how long entries are kept.
        now: the time to count back from; None for the present one.
        preview: remove nothing.

    Returns:
        The segments that went, or would go.

    Raises:
        AuditUnusable: the journal does not verify, so that a stub would bear out what is false; or it cannot be
            written.
    """
    examination = Examination(journal, heads, keys.signing.public_key()).run()
    if examination.findings:
        raise AuditUnusable(f"{journal}: does not verify, so nothing is removed; see `mpi audit verify`")
    before = ((now or datetime.now(UTC)) - timedelta(days=years * _DAYS_A_YEAR)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    newest = {each.chain: each.number for each in examination.segments}
    due = [
        each
        for each in examination.segments
        if each.sealed and not each.expired and each.number != newest[each.chain] and each.ended < before
    ]
    if not preview:
        try:
            for each in due:
                _replace(each, keys, years)
        except OSError as error:
            raise AuditUnusable(f"{journal}: {error.strerror or 'cannot be written'}") from None
    return due


def _replace(segment: Segment, keys: JournalKeys, years: float) -> None:
    stub = lines.signed(
        {
            "kind": "expired",
            "at": lines.now(),
            "begun": segment.begun,
            "chain": segment.chain.name,
            "ended": segment.ended,
            "entries": segment.entries,
            "first": segment.first,
            "hash": segment.digest,
            "last": segment.last,
            "previous": segment.previous,
            "segment": segment.number,
            "years": years,
        },
        keys.signing,
    )
    path = segment.chain / stub_name(segment.number)
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(stub + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(segment.chain, os.O_RDONLY)
    try:
        os.fsync(folder)  # the stub is there for good before the segment goes
        segment.path.unlink()
        os.fsync(folder)
    finally:
        os.close(folder)
