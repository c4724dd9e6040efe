"""The projector: carries the store's changes into the index, in order, once each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mpi.index.lmdb_index import TABLES, Index, IndexWriter, Member
from mpi.store.sql import Change, LiveRecord, Store

CHANGES_PER_WRITE = 2000
RECORDS_PER_WRITE = 5000


def project(index: Index, changes: Iterable[Change]) -> int:
    """Apply changes that follow the revision that the index stands at.

    Returns:
        The revision that the index stands at now.
    """
    revision = 0
    with index.writing() as writer:
        revision = writer.revision()
        for change in changes:
            if change.revision <= revision:
                continue
            _apply(writer, change)
            revision = change.revision
        writer.flush()
        writer.set_revision(revision)
    index.cover()
    return revision


def catch_up(index: Index, store: Store) -> int:
    """Apply everything that the store has and the index has not; the way that every process starts.

    Returns:
        The revision that the index stands at now.
    """
    with index.reading() as reader:
        revision = reader.revision()
    while True:
        batch = []
        for change in store.changes(revision):
            batch.append(change)
            if len(batch) == CHANGES_PER_WRITE:
                break
        if not batch:
            return revision
        revision = project(index, batch)


def fill(index: Index, store: Store) -> int:
    """Fill an empty index from the store's present state, which takes less work than its whole history.

    Returns:
        The revision that the index stands at.
    """
    # Changes made while the records are read are applied afterwards; applying one again changes nothing.
    head = store.head()
    batch = []
    for live in store.records():
        batch.append(live)
        if len(batch) == RECORDS_PER_WRITE:
            _fill_batch(index, batch)
            batch = []
    _fill_batch(index, batch)
    with index.writing() as writer:
        writer.set_revision(head)
    return catch_up(index, store)


def verify(index: Index, store: Store) -> list[str]:
    """Hold an index against one built anew from the store, row by row.

    Returns:
        What differs, a line a finding; empty when the index is right. Rows are counted, never shown.
    """
    findings = []
    with tempfile.TemporaryDirectory(dir=index.folder.parent, prefix="verify-") as folder:
        fresh = Index(Path(folder), index.at_rest)
        try:
            fill(fresh, store)
            for table in TABLES:
                missing, extra = _differences(fresh.rows(table), index.rows(table))
                if missing or extra:
                    findings.append(
                        f"{table}: {missing} rows missing or damaged, {extra} rows that should not be there"
                    )
        finally:
            fresh.close()
    return findings


def _apply(writer: IndexWriter, change: Change) -> None:
    placement = change.placement
    if change.replaced is not None:
        writer.remove_candidates(placement.record, change.replaced)
    if placement.previous and placement.previous != placement.eid:
        writer.drop_member(placement.previous, placement.record)
    writer.add_candidates(placement.record, change.record)
    writer.put_member(placement.eid, Member.of(placement.record, change.record))


def _fill_batch(index: Index, batch: Iterable[LiveRecord]) -> None:
    with index.writing() as writer:
        for live in batch:
            writer.add_candidates(live.number, live.record)
            writer.put_member(live.eid, Member.of(live.number, live.record))
        writer.flush()


def _differences(expected: Iterator[tuple[bytes, bytes]], actual: Iterator[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Count the rows of two sorted sequences that the other one lacks."""
    missing = extra = 0
    left, right = next(expected, None), next(actual, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(expected, None), next(actual, None)
        elif right is None or (left is not None and left < right):
            missing += 1
            left = next(expected, None)
        else:
            extra += 1
            right = next(actual, None)
    return missing, extra
