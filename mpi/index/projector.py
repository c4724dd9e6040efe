"""The projector: carries the store's changes into the index, in order, once each."""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import lmdb

from mpi.at_rest import AtRest
from mpi.domain import changes as changes_of
from mpi.domain.changes import Cause, Change, LastRegistration, Placement
from mpi.domain.record import EncodedRecord
from mpi.errors import IndexBehind, IndexCorrupt, MpiError
from mpi.index.lmdb_index import Index, put_in_place
from mpi.index.members import Member
from mpi.index.reader import IndexReader
from mpi.index.tables import TABLES
from mpi.index.writer import IndexWriter
from mpi.store.reading import LINEAGE, LiveRecord, Reading
from mpi.store.sql import Store
from mpi.store.writing import Transaction

CHANGES_PER_WRITE = 2000
RECORDS_PER_WRITE = 20_000
FOLLOW_SECONDS = 0.05
"""How often a process looks whether another one has committed."""

Told = Callable[[int], None]
"""Told how many more are done."""
SAMPLE = 500
"""Records that a quick check looks up."""

_NOBODY = Cause("urn:mpi:index", "")
"""Cause of a transaction that changes nothing and only keeps others from writing."""
_log = logging.getLogger(__name__)


def _untold(_count: int) -> None:
    pass


def project(index: Index, changes: Iterable[Change], heard: Sequence[LastRegistration] = ()) -> int:
    """Apply changes that follow the revision that the index stands at; those that it has already are passed over.

    Args:
        index: the index.
        changes: the changes, in order.
        heard: when facilities registered, as noted with these changes.

    Returns:
        The revision that the index stands at now.

    Raises:
        IndexBehind: a change is missing in between; nothing was applied.
    """
    batch = list(changes)
    revision = index.write(lambda writer: _project(writer, batch, heard))
    index.cover()
    return revision


def catch_up(index: Index, store: Store) -> int:
    """Apply everything that the store has and the index has not; the way that every process starts.

    Returns:
        The revision that the index stands at now.

    Raises:
        IndexCorrupt: the store has another history than the index followed: it was restored from a backup.
    """
    with index.reading() as reader:
        revision, turn, followed = reader.revision(), reader.turn(), reader.lineage()
    while True:
        with store.reading() as reading:
            lineage = reading.noted(LINEAGE)
            batch = list(reading.changes(revision, CHANGES_PER_WRITE))
            heard = reading.last_registrations(turn)
        if followed and followed != lineage:
            raise IndexCorrupt(
                "the index is of another history than the store, as after a restore; run `mpi index rebuild`"
            )
        if not followed:
            index.write(lambda writer, lineage=lineage: writer.set_lineage(lineage))  # type: ignore[misc]
            followed = lineage
        if not batch and not heard:
            return revision
        revision = project(index, batch, heard)
        turn = max([turn, *(each.turn for each in heard)])


def bring_up(index: Index, transaction: Transaction) -> None:
    """Bring the index up to the store inside a transaction, in case another process has committed and not projected."""
    with index.reading() as reader:
        revision, turn = reader.revision(), reader.turn()
    missing, heard = list(transaction.changes_after(revision)), transaction.last_registrations(turn)
    if missing or heard:
        project(index, missing, heard)


class Follower:
    """A thread that carries over what other processes and other hosts commit, until it is stopped."""

    def __init__(self, index: Index, store: Store, seconds: float = FOLLOW_SECONDS) -> None:
        self._index = index
        self._store = store
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mpi-follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what was committed later is carried over at the next start."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        failing, seen = False, -1
        while not self._stop.wait(self._seconds):
            try:
                commits = self._store.commits()
                if commits is None or commits != seen:
                    catch_up(self._index, self._store)
                    seen = -1 if commits is None else commits
                failing = False
            except MpiError as error:
                # Lookups go on from what the index holds; nothing is lost, only late.
                if not failing:
                    _log.warning("the index cannot follow the store: %s", error.message)
                failing = True


def fill(index: Index, reading: Reading, told: Told = _untold) -> int:
    """Fill an empty index from a snapshot of the store, which takes less work than its whole history.

    Args:
        index: the empty index.
        reading: the snapshot.
        told: told how many more records it holds.

    Returns:
        The revision that the index stands at.
    """

    def speak(writer: IndexWriter) -> None:
        for consents in reading.every_consent():
            for said in consents:
                writer.say(said)

    index.write(speak)  # before the identities, whose answers depend on it
    records = reading.records(by_identity=True)  # so that each identity is written once
    while batch := list(islice(records, RECORDS_PER_WRITE)):
        index.write(lambda writer, batch=batch: _fill(writer, batch))  # type: ignore[misc]
        told(len(batch))
    revision = reading.head()

    def finish(writer: IndexWriter) -> None:
        for eid, target in reading.redirects():
            writer.lead(eid, target)
        for origin, part in reading.partings():
            writer.part(origin, part, held=True)
        writer.hear(reading.last_registrations())
        writer.set_revision(revision)
        writer.set_lineage(reading.noted(LINEAGE))

    index.write(finish)
    index.cover()
    return revision


def rebuild(folder: Path, at_rest: AtRest, store: Store, told: Told = _untold) -> int:
    """Make an index anew from the store beside the one in `folder`, then put it in its place in one step.

    It is sealed with the newest key at rest.

    Servers may run on the old one meanwhile and go on with the new one; what they commit is in it.

    Returns:
        The revision that the index stands at.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh_folder = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh_folder, ignore_errors=True)
    fresh = Index(fresh_folder, at_rest)
    try:
        with store.reading() as reading:
            fill(fresh, reading, told)
        catch_up(fresh, store)
        with store.transaction(_NOBODY):
            # Nobody commits now. Whoever commits later finds the new index; so it misses nothing.
            revision = catch_up(fresh, store)
            fresh.close()
            put_in_place(fresh_folder, folder)
    finally:
        fresh.close()
        shutil.rmtree(fresh_folder, ignore_errors=True)
    return revision


def verify(index: Index, store: Store) -> list[str]:
    """Hold an index against one built anew from the store, row by row; both as they were at one moment.

    Returns:
        What differs, a line a finding; empty when the index is right. Rows are counted, never shown.
    """
    with tempfile.TemporaryDirectory(dir=index.folder.parent, prefix="verify-") as folder:
        fresh = Index(Path(folder), index.at_rest, epoch=index.epoch)
        try:
            with ExitStack() as snapshots:
                with store.transaction(_NOBODY):
                    catch_up(index, store)
                    held = snapshots.enter_context(index.reading())
                    reading = snapshots.enter_context(store.reading())
                    reading.head()  # the snapshot begins with its first statement
                fill(fresh, reading)
                expected = snapshots.enter_context(fresh.reading())
                findings = [line for table in TABLES if (line := _compared(table, expected, held))]
        finally:
            fresh.close()
    return findings


def sampled(index: Index, store: Store, most: int = SAMPLE) -> tuple[int, list[str]]:
    """Hold an index against the store by counts and by records taken at random: seconds where `verify` takes hours.

    Returns:
        How many records were looked up, and what differs, a line a finding.
    """
    with store.transaction(_NOBODY):
        catch_up(index, store)
        # Nobody writes while both are looked at.
        with store.reading() as reading:
            records, identities, _ = reading.count()
            places = reading.places(_some(reading.highest_number(), most))
            contents = reading.content(places)
        with index.reading() as reader:
            findings = _counted(reader, {"records": records, "identities": identities})
            wrong = sum(not _holds(reader, number, places[number], record) for number, record in contents.items())
    if wrong:
        findings.append(f"{wrong} of {len(contents)} records are not as the store has them")
    return len(contents), findings


def _counted(reader: IndexReader, expected: Mapping[str, int]) -> list[str]:
    found = {table: reader.count(table) for table in expected}
    return [f"{table}: {found[table]} rows, not {count}" for table, count in expected.items() if found[table] != count]


def _some(highest: int, most: int) -> Sequence[int]:
    numbers = range(1, highest + 1)
    return numbers if highest <= most else secrets.SystemRandom().sample(numbers, most)


def _holds(reader: IndexReader, number: int, eid: str, record: EncodedRecord) -> bool:
    """Say whether a record is found by everything that leads to it."""
    member = Member.of(number, record)
    if reader.eid_of(number) != eid or member not in reader.members(eid):
        return False
    if any(eid not in reader.eids(key) for key in member.look_up_keys()):
        return False
    for encoding in (each for demographics in record.encodings() for each in demographics.channels):
        numbers, vectors = reader.bucket(encoding.channel, encoding.bucket, len(encoding.vector))
        if not any(vector.tobytes() == encoding.vector for vector in vectors[numbers == number]):
            return False
    return True


def _project(writer: IndexWriter, changes: Sequence[Change], heard: Sequence[LastRegistration]) -> int:
    revision = writer.revision()
    for change in changes:
        if change.revision <= revision:
            continue
        if change.revision != revision + 1:
            raise IndexBehind("the index lacks changes before those that it was given")
        _apply(writer, change)
        revision = change.revision
    writer.flush()
    writer.hear(heard)
    writer.set_revision(revision)
    return revision


def _apply(writer: IndexWriter, change: Change) -> None:
    event, record = change.event, change.record
    content = changes_of.rewrite(change.revision, event)
    for move in changes_of.moves(change.revision, event):
        if not move.target:
            writer.remove(move.record)
        elif isinstance(event, Placement) or not move.source:
            if record is not None:  # else it was erased since
                writer.put(move.record, move.target, record)
        else:
            writer.move(move.record, move.target)
    if content is not None and record is not None and not isinstance(event, Placement):
        writer.rewrite(content.record, record)
    for redirect in event.redirects:
        writer.lead(redirect.eid, redirect.target)
    for parting in changes_of.partings(event):
        writer.part(parting.origin, parting.part, held=parting.after)
    if not isinstance(event, Placement):
        for said in event.consents:
            writer.say(said)


def _fill(writer: IndexWriter, batch: Iterable[LiveRecord]) -> None:
    for live in batch:
        writer.add(live.number, live.eid, live.record)
    writer.flush()


def _compared(table: str, expected: IndexReader, actual: IndexReader) -> str:
    try:
        missing, extra = _differences(expected.rows(table), actual.rows(table))
    except (lmdb.Error, IndexCorrupt):
        return f"{table}: cannot be read"
    if missing or extra:
        return f"{table}: {missing} rows missing or damaged, {extra} rows that should not be there"
    return ""


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
