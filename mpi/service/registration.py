"""Registration: take records, link them, keep them; take them back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mpi.domain.changes import Bond, Cause, Placement
from mpi.domain.grouping import Grouping, demanded
from mpi.domain.identifiers import IdentifierToken, LocalIdToken, new_eid
from mpi.domain.identity import Decision, Registration
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.domain.review import ReviewTask, TaskStatus
from mpi.errors import RecordRejected
from mpi.index.lmdb_index import Index, IndexReader, Member
from mpi.index.projector import bring_up, project
from mpi.index.sealing import Numbers
from mpi.linkage.comparison import Vectors
from mpi.linkage.decision import Candidate, Outcome
from mpi.service.gateway import Gateway
from mpi.service.matching import Matching
from mpi.store.sql import Store, StoredRecord, Transaction

BUCKET_CAP = 20_000
"""Rows of a bucket beyond which it is not read at registration: comparing with so many takes milliseconds."""
BUCKET_FULL = "bucket_full"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A record that passed the gateway, with the keyed digest of what arrived."""

    record: EncodedRecord
    digest: bytes
    refs: tuple[bytes, ...]
    """Names that find the record again: of its own key epoch, then of the one before."""

    def held_as(self, known: Mapping[bytes, StoredRecord]) -> StoredRecord | None:
        """Find what is stored of this record, under either name; also when it was retracted."""
        return next((known[ref] for ref in self.refs if ref in known), None)


class Registry:
    """The use case behind `Register`, `RegisterBatch` and `Retract`. One batch is one transaction.

    Attributes:
        deferred: how many records were placed without being compared with a bucket, because it was too full.
    """

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        index: Index,
        matching: Matching,
        rules_digest: str,
        bucket_cap: int = BUCKET_CAP,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._index = index
        self._matching = matching
        self._rules_digest = rules_digest
        self._bucket_cap = bucket_cap
        self.deferred = 0

    def register(
        self, records: Sequence[EncodedRecord], actor: str, request: str = ""
    ) -> tuple[list[Registration | RecordRejected], int]:
        """Store records and link them, in their order.

        Every record is durable and visible to lookups when this returns. A record whose content was registered
        before changes nothing; one with new content replaces the old and is matched afresh. What stewards decided
        about a record outranks the match.

        Args:
            records: as they arrived.
            actor: the client's name, kept as the cause of every change.
            request: name of the call that they came with, kept likewise.

        Returns:
            For each record what became of it or why it was not taken, and the store's revision.

        Raises:
            StoreUnusable: nothing of the batch was stored.
        """
        admitted = [self._admit(record) for record in records]
        refs = [ref for item in admitted if isinstance(item, _Admitted) for ref in item.refs]
        # Unchanged records are the bulk of a nightly feed; they need no lock.
        with self._store.reading() as reading:
            known, revision = reading.find(refs), reading.head()
        if all(_unchanged(item, known) for item in admitted if isinstance(item, _Admitted)):
            return [_answer(item, known) for item in admitted], revision
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            with self._index.reading() as reader:
                batch = _Batch(transaction, _Overlay(reader, self._bucket_cap), transaction.find(refs))
                outcomes = [self._place(batch, item) if isinstance(item, _Admitted) else item for item in admitted]
            revision, changes = transaction.revision, transaction.changes_made
        project(self._index, changes)
        if batch.full:
            _log.warning("buckets of %s are too full to be read at registration", ", ".join(sorted(batch.full)))
        return outcomes, revision

    def retract(
        self, facility: str, local_id: LocalIdToken, actor: str, request: str = "", *, erase: bool = False
    ) -> tuple[bool, int]:
        """Take a record back. It is gone from every lookup and every bucket when this returns.

        Args:
            facility: whose record it is.
            local_id: token of its local id, as it arrived.
            actor: the client's name, kept as the cause.
            request: name of the call, kept likewise.
            erase: destroy the record's key, so that nothing that was ever kept of it can be opened again; without
                it a steward can undo the retraction.

        Returns:
            Whether there was anything to take back, and the store's revision.

        Raises:
            StoreUnusable: nothing was changed.
        """
        ref = self._store.ref(facility, self._gateway.local_id(local_id).value)
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            held = transaction.find([ref]).get(ref)
            if held is None or not (held.eid or erase):
                return False, transaction.revision
            grouping = transaction.grouping([], [held.number])
            transaction.regroup(grouping.retract(held.number, erase=erase), facility)
            revision, changes = transaction.revision, transaction.changes_made
        project(self._index, changes)
        return True, revision

    def work_off(self, most: int = 100) -> int:
        """Compare records with the buckets that were too full when they were registered.

        It holds nobody up: comparing needs no lock. A possible link becomes a task for a person.

        Returns:
            How many records were looked at.

        Raises:
            StoreUnusable: nothing was changed.
        """
        with self._store.reading() as reading:
            waiting = reading.tasks(TaskStatus.WAITING, most=most)
            records = {held.task.record for held in waiting}
            contents, places = reading.content(records), reading.places(records)
        # The record's identity may have been merged since the task was opened.
        tasks = {held.number: replace(held.task, eid=places.get(held.task.record, "")) for held in waiting}
        found = {number: self._compared(task, contents.get(task.record)) for number, task in tasks.items()}
        if found:
            with self._store.transaction(Cause(DEFERRED_ACTOR, self._rules_digest)) as transaction:
                still = {held.number for held in transaction.tasks(TaskStatus.WAITING, most=most)}
                for number in still & found.keys():
                    transaction.close_task(number, TaskStatus.SETTLED)
                    task = found[number]
                    if task is not None:
                        transaction.ask(task)
        return len(found)

    def _compared(self, task: ReviewTask, record: EncodedRecord | None) -> ReviewTask | None:
        if record is None:
            return None
        with self._index.reading() as reader:
            candidates = self._matching.candidates(reader, record.encodings(), leave_out=task.record)
            outcome = self._matching.decide([each for each in candidates if each.eid != task.eid])
        best = outcome.candidate
        if best is None or outcome.decision is Decision.NEW:
            return None
        return replace(task, rival=best.eid, weight=best.score.weight)

    def _admit(self, record: EncodedRecord) -> _Admitted | RecordRejected:
        try:
            rekeyed = self._gateway.record(record)
        except RecordRejected as rejected:
            return rejected
        return _Admitted(rekeyed, self._gateway.content_digest(record), self._store.refs(rekeyed))

    def _place(self, batch: _Batch, item: _Admitted) -> Registration:
        before = item.held_as(batch.known)
        if before and before.eid and before.digest == item.digest:
            return _registration_of(before)
        number = before.number if before else batch.transaction.new_number()
        previous = before.eid if before else ""
        must, cannot = batch.demanded(number)
        full: frozenset[str] = frozenset()
        if must:
            outcome, eid = Outcome(Decision.LINK, None, Bond.MUST.value), must
        else:
            candidates, full = self._candidates(batch.held, item.record.encodings(), number)
            outcome, eid = self._matching.decide([each for each in candidates if each.eid not in cannot]), ""
        best = outcome.candidate
        if outcome.decision is Decision.LINK and best is not None:
            eid = best.eid
        elif not eid and previous and [m.number for m in batch.held.members(previous)] == [number]:
            eid = previous  # alone in its identity: the identity goes on
        eid = eid or new_eid()
        weight = best.score.weight if best else None
        rival = best.eid if best and outcome.decision is Decision.REVIEW else ""
        content = before.content if before else 0
        placement = Placement(number, eid, previous, outcome.decision, weight, outcome.why, rival, content)
        batch.place(placement, item, before)
        if rival:
            batch.transaction.ask(ReviewTask(number, eid, rival, weight, outcome.why))
        if full and outcome.decision is not Decision.LINK:
            batch.transaction.ask(ReviewTask(number, eid, "", None, BUCKET_FULL), TaskStatus.WAITING)
            batch.full |= full
            self.deferred += 1
        return Registration(eid, outcome.decision, weight, False, outcome.why)

    def _candidates(
        self, held: _Overlay, encodings: Sequence[EncodedDemographics], number: int
    ) -> tuple[list[Candidate], frozenset[str]]:
        """Find candidates, and the channels whose buckets were too full to be read: they count as missing."""
        candidates = self._matching.candidates(held, encodings, leave_out=number)
        full: frozenset[str] = frozenset()
        while found := held.full_channels() - full:
            full |= found
            candidates = self._matching.candidates(held, [_without(each, full) for each in encodings], leave_out=number)
        return candidates, full


DEFERRED_ACTOR = "urn:mpi:index"
"""Who asks when the index itself finds out later what it had no time for."""


class _Batch:
    """What one batch knows and changes: the store's state when it began, and its own placements on top of it.

    Attributes:
        full: channels on which a record was put off because a bucket was too full.
    """

    def __init__(self, transaction: Transaction, held: _Overlay, known: dict[bytes, StoredRecord]) -> None:
        self.transaction = transaction
        self.held = held
        self.known = known
        self.full: frozenset[str] = frozenset()
        self._grouping = transaction.surroundings({stored.number for stored in known.values()}) if known else Grouping()

    def demanded(self, number: int) -> tuple[str, frozenset[str]]:
        """Say which identity people's decisions want a record in, and which they keep it out of."""
        bonds = {other: kind for kind in (Bond.MUST, Bond.CANNOT) for other in self._grouping.partners(number, kind)}
        if not bonds:
            return "", frozenset()
        return demanded(number, bonds, lambda other: self.held.placed(other) or self._grouping.eids.get(other, ""))

    def place(self, placement: Placement, item: _Admitted, before: StoredRecord | None) -> None:
        """Place a record, in the store and for the records that follow."""
        leaves = placement.previous not in ("", placement.eid)
        if leaves or self._grouping.is_bound(placement.record):
            if leaves:
                for member in self.held.members(placement.previous):
                    self._grouping.hold(member.number, placement.previous, 0)
            self._grouping.hold(placement.record, placement.previous, placement.content)
            placement = self._grouping.place(placement)
        stored = self.transaction.place(placement, item.record, item.digest, before)
        self._grouping.apply(stored.content, placement)
        self.held.place(placement.eid, placement.record, item.record, placement.previous)
        self.known.update(dict.fromkeys(item.refs, stored))


def _without(demographics: EncodedDemographics, channels: frozenset[str]) -> EncodedDemographics:
    if not channels:
        return demographics
    kept = tuple(each for each in demographics.channels if each.channel not in channels)
    return replace(demographics, channels=kept)


def _unchanged(item: _Admitted, known: Mapping[bytes, StoredRecord]) -> bool:
    before = item.held_as(known)
    return before is not None and bool(before.eid) and before.digest == item.digest


def _registration_of(stored: StoredRecord) -> Registration:
    return Registration(stored.eid, Decision.LINK, None, True, "unchanged")


def _answer(item: _Admitted | RecordRejected, known: Mapping[bytes, StoredRecord]) -> Registration | RecordRejected:
    if isinstance(item, RecordRejected):
        return item
    before = item.held_as(known)
    assert before is not None  # noqa: S101 (asked only when every record is known)
    return _registration_of(before)


class _Overlay:
    """The index as it will be after this batch: a snapshot, and the batch's own records on top of it."""

    def __init__(self, reader: IndexReader, bucket_cap: int) -> None:
        self._reader = reader
        self._bucket_cap = bucket_cap
        self._full: set[str] = set()
        self._buckets: dict[tuple[str, bytes], list[tuple[int, bytes]]] = {}
        self._members: dict[str, dict[int, Member]] = {}
        self._eids: dict[int, str] = {}
        self._numbers: dict[IdentifierToken, set[str]] = {}

    def bucket(self, channel: str, token: bytes, vector_bytes: int) -> tuple[Numbers, Vectors]:
        """Rows of the snapshot that the batch has not replaced, and the batch's own; none of too full a bucket."""
        own = self._buckets.get((channel, token), [])
        rows = self._reader.bucket_within(channel, token, vector_bytes, self._bucket_cap - len(own))
        if rows is None:
            self._full.add(channel)
            return np.empty(0, np.int64), np.empty((0, vector_bytes), np.uint8)
        numbers, vectors = rows
        if self._eids and len(numbers):
            kept = ~np.isin(numbers, list(self._eids))
            if not kept.all():
                numbers, vectors = numbers[kept], vectors[kept]
        if own:
            numbers = np.concatenate([numbers, np.array([n for n, _ in own], np.int64)])
            fresh = np.frombuffer(b"".join(v for _, v in own), np.uint8).reshape(-1, vector_bytes)
            vectors = np.concatenate([vectors, fresh])
        return numbers, vectors

    def full_channels(self) -> frozenset[str]:
        """Channels on which a bucket was too full to be read since this was asked last."""
        full = frozenset(self._full)
        self._full.clear()
        return full

    def placed(self, number: int) -> str:
        """Identity that this batch placed a record in, "" for none."""
        return self._eids.get(number, "")

    def eids(self, key: IdentifierToken) -> list[str]:
        """Identities that a number leads to."""
        return sorted({*self._reader.eids(key), *self._numbers.get(key, ())})

    def eid_of(self, number: int) -> str:
        """Identity that a record belongs to."""
        return self._eids.get(number) or self._reader.eid_of(number)

    def members(self, eid: str) -> list[Member]:
        """Members of an identity."""
        if eid in self._members:
            return [self._members[eid][number] for number in sorted(self._members[eid])]
        return self._reader.members(eid)

    def place(self, eid: str, number: int, record: EncodedRecord, previous: str) -> None:
        """Put a record of the batch where it was decided that it belongs."""
        if number in self._eids:  # registered twice in one batch: the later content counts
            for rows in self._buckets.values():
                rows[:] = [row for row in rows if row[0] != number]
        if previous:
            self._identity(previous).pop(number, None)
        self._eids[number] = eid
        self._identity(eid)[number] = Member.of(number, record)
        for demographics in record.encodings():
            for encoding in demographics.channels:
                self._buckets.setdefault((encoding.channel, encoding.bucket), []).append((number, encoding.vector))
            for token in demographics.tokens:
                self._numbers.setdefault(token, set()).add(eid)

    def _identity(self, eid: str) -> dict[int, Member]:
        if eid not in self._members:
            self._members[eid] = {member.number: member for member in self._reader.members(eid)}
        return self._members[eid]
