"""Registration: take records, link them, keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mpi.domain.changes import Cause, Placement
from mpi.domain.identifiers import IdentifierToken, new_eid
from mpi.domain.identity import Decision, Registration
from mpi.domain.record import EncodedRecord
from mpi.domain.review import ReviewTask
from mpi.errors import RecordRejected
from mpi.index.lmdb_index import Index, IndexReader, Member
from mpi.index.projector import project
from mpi.index.sealing import Numbers
from mpi.linkage.comparison import Vectors
from mpi.service.gateway import Gateway
from mpi.service.matching import Matching
from mpi.store.sql import Store, StoredRecord, Transaction


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A record that passed the gateway, with the keyed digest of what arrived."""

    record: EncodedRecord
    digest: bytes
    refs: tuple[bytes, ...]
    """Names that find the record again: of its own key epoch, then of the one before."""

    def held_as(self, known: Mapping[bytes, StoredRecord]) -> StoredRecord | None:
        """Find what is stored of this record, under either name."""
        return next((known[ref] for ref in self.refs if ref in known), None)


class Registry:
    """The use case behind `Register` and `RegisterBatch`. One batch is one transaction."""

    def __init__(self, gateway: Gateway, store: Store, index: Index, matching: Matching, rules_digest: str) -> None:
        self._gateway = gateway
        self._store = store
        self._index = index
        self._matching = matching
        self._rules_digest = rules_digest

    def register(self, records: Sequence[EncodedRecord], actor: str) -> tuple[list[Registration | RecordRejected], int]:
        """Store records and link them, in their order.

        Every record is durable and visible to lookups when this returns. A record whose content was registered
        before changes nothing; one with new content replaces the old and is matched afresh.

        Args:
            records: as they arrived.
            actor: the client's name, kept as the cause of every change.

        Returns:
            For each record what became of it or why it was not taken, and the store's revision.

        Raises:
            StoreUnusable: nothing of the batch was stored.
        """
        admitted = [self._admit(record) for record in records]
        refs = [ref for item in admitted if isinstance(item, _Admitted) for ref in item.refs]
        # Unchanged records are the bulk of a nightly feed; they need no lock.
        known = self._store.find(refs)
        if all(_unchanged(item, known) for item in admitted if isinstance(item, _Admitted)):
            with self._index.reading() as reader:
                revision = reader.revision()
            return [_answer(item, known) for item in admitted], revision
        with self._store.transaction(Cause(actor, self._rules_digest)) as transaction:
            self._catch_up(transaction)
            known = transaction.find(refs)
            with self._index.reading() as reader:
                held = _Overlay(reader)
                outcomes = [
                    self._place(transaction, held, item, known) if isinstance(item, _Admitted) else item
                    for item in admitted
                ]
            revision, changes = transaction.revision, transaction.changes
        project(self._index, changes)
        return outcomes, revision

    def _admit(self, record: EncodedRecord) -> _Admitted | RecordRejected:
        try:
            rekeyed = self._gateway.record(record)
        except RecordRejected as rejected:
            return rejected
        earlier = self._store.earlier_ref(rekeyed)
        refs = (self._store.ref(rekeyed.facility, rekeyed.local_id_token), *([earlier] if earlier else []))
        return _Admitted(rekeyed, self._gateway.content_digest(record), refs)

    def _catch_up(self, transaction: Transaction) -> None:
        """Bring the index up to the store, in case another process committed and has not projected yet."""
        with self._index.reading() as reader:
            revision = reader.revision()
        missing = list(transaction.changes_after(revision))
        if missing:
            project(self._index, missing)

    def _place(
        self, transaction: Transaction, held: _Overlay, item: _Admitted, known: dict[bytes, StoredRecord]
    ) -> Registration:
        before = item.held_as(known)
        if before and before.digest == item.digest:
            return _registration_of(before)
        number = before.number if before else transaction.new_number()
        replaced = transaction.read(number) if before else None
        candidates = self._matching.candidates(held, item.record.encodings(), leave_out=number)
        outcome = self._matching.decide(candidates)
        best = outcome.candidate
        if outcome.decision is Decision.LINK and best is not None:
            eid = best.eid
        elif before and [m.number for m in held.members(before.eid)] == [number]:
            eid = before.eid  # alone in its identity: the identity goes on
        else:
            eid = new_eid()
        weight = best.score.weight if best else None
        rival = best.eid if best and outcome.decision is Decision.REVIEW else ""
        placement = Placement(number, eid, before.eid if before else "", outcome.decision, weight, outcome.why, rival)
        transaction.place(placement, item.record, item.digest, replaced)
        if rival and weight is not None:
            transaction.ask(ReviewTask(number, eid, rival, weight, outcome.why))
        held.place(eid, number, item.record, before.eid if before else "")
        known.update(dict.fromkeys(item.refs, StoredRecord(number, eid, item.digest)))
        return Registration(eid, outcome.decision, weight, False, outcome.why)


def _unchanged(item: _Admitted, known: Mapping[bytes, StoredRecord]) -> bool:
    before = item.held_as(known)
    return before is not None and before.digest == item.digest


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

    def __init__(self, reader: IndexReader) -> None:
        self._reader = reader
        self._buckets: dict[tuple[str, bytes], list[tuple[int, bytes]]] = {}
        self._members: dict[str, dict[int, Member]] = {}
        self._eids: dict[int, str] = {}
        self._numbers: dict[IdentifierToken, set[str]] = {}

    def bucket(self, channel: str, token: bytes, vector_bytes: int) -> tuple[Numbers, Vectors]:
        """Rows of the snapshot that the batch has not replaced, and the batch's own."""
        numbers, vectors = self._reader.bucket(channel, token, vector_bytes)
        if self._eids and len(numbers):
            kept = ~np.isin(numbers, list(self._eids))
            if not kept.all():
                numbers, vectors = numbers[kept], vectors[kept]
        own = self._buckets.get((channel, token), [])
        if own:
            numbers = np.concatenate([numbers, np.array([n for n, _ in own], np.int64)])
            fresh = np.frombuffer(b"".join(v for _, v in own), np.uint8).reshape(-1, vector_bytes)
            vectors = np.concatenate([vectors, fresh])
        return numbers, vectors

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
