"""Registration: take records, link them, keep them; take them back."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mpi.domain.changes import Bond, Cause, Placement
from mpi.domain.identifiers import LocalIdToken, new_eid
from mpi.domain.identity import Decision, Registration
from mpi.domain.record import EncodedDemographics, EncodedRecord, RecordName
from mpi.domain.review import ReviewTask, TaskStatus
from mpi.errors import RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.projector import bring_up, project
from mpi.linkage.decision import Candidate, Outcome
from mpi.service.arrival import Admitted, Arrived
from mpi.service.following import left_behind
from mpi.service.gateway import Gateway
from mpi.service.matching import Matching
from mpi.service.overlay import Overlay
from mpi.service.registration_batch import Batch
from mpi.store.reading import Reading
from mpi.store.sql import Store, StoredRecord

BUCKET_CAP = 20_000
"""Rows of a bucket beyond which it is not read at registration: comparing with so many takes milliseconds."""
BUCKET_FULL = "bucket_full"

HEARD_SECONDS = 60.0
"""How long it is not noted again that a facility registered: who asks wants to know whether it sends, not how often."""

_log = logging.getLogger(__name__)


class Registry:
    """The use case behind `Register`, `RegisterBatch` and `Retract`. One batch is one transaction.

    Attributes:
        counts: what was done since the start: how often each rule decided what, how many identities were "joined", and
            how many records were "deferred" on a channel, because a bucket was too full to be read.
    """

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        index: Index,
        matching: Matching,
        rules_digest: str,
        bucket_cap: int = BUCKET_CAP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._index = index
        self._matching = matching
        self._rules_digest = rules_digest
        self._bucket_cap = bucket_cap
        self._clock = clock
        self._noted: dict[str, float] = {}
        self.counts = Counter[tuple[str, str]]()

    def register(
        self, records: Sequence[EncodedRecord], actor: str, request: str = ""
    ) -> tuple[list[Registration | RecordRejected], int]:
        """Store records and link them, in their order.

        Every record is durable and visible to lookups when this returns. A record whose content was registered
        before changes nothing; one with new content replaces the old and is matched afresh. A record that shows
        several identities to be one person joins them. What stewards decided about a record outranks the match.

        Args:
            records: as they arrived.
            actor: the client's name, kept as the cause of every change.
            request: name of the call that they came with, kept likewise.

        Returns:
            For each record what became of it or why it was not taken, and the store's revision.

        Raises:
            StoreUnusable: nothing of the batch was stored.
        """
        arrived = [self._arrive(record) for record in records]
        names = [name for item in arrived if isinstance(item, Arrived) for name in item.names]
        # Unchanged records are the bulk of a nightly feed; they need no lock.
        with self._store.reading() as reading:
            known, revision = reading.find(names), reading.head()
            unheard = self._unheard(reading, {item.sent.facility for item in arrived if isinstance(item, Arrived)})
        if not unheard and all(item.is_unchanged(known) for item in arrived if isinstance(item, Arrived)):
            return [_answer(item, known) for item in arrived], revision
        admitted = self._admit(arrived, known)
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            with self._index.reading() as reader:
                batch = Batch(transaction, Overlay(reader, self._bucket_cap), transaction.bearers(names))
                batch.know({held.eid for item in admitted for held in _revised(item, batch.known)})
                placed = [self._place(batch, item) if isinstance(item, Arrived) else item for item in admitted]
                said = batch.said_before(reader)
            outcomes = batch.finish(placed)
            if said:
                transaction.say(said)
            heard = transaction.heard_from(unheard) if unheard else []
            revision, changes = transaction.revision, transaction.changes_made
        self._noted.update(dict.fromkeys(unheard, self._clock()))
        project(self._index, changes, heard)
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
        names = [(facility, each.value) for each in self._gateway.local_id_tokens(local_id)]
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            held = next(iter(transaction.find(names).values()), None)
            if held is None or not (held.eid or erase):
                return False, transaction.revision
            grouping = transaction.grouping([], [held.number])
            with self._index.reading() as reader:
                kept = left_behind(reader, held.number, erase=erase)
            transaction.regroup(grouping.retract(held.number, erase=erase), facility)
            if kept:
                transaction.say(kept)
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
        priority = self._matching.priority(best.score.weight, best.members + 1)
        return replace(task, rival=best.eid, weight=best.score.weight, priority=priority)

    def _unheard(self, reading: Reading, facilities: Collection[str]) -> set[str]:
        """Facilities of which nobody noted lately that they registered."""
        now = self._clock()
        missing = {each for each in facilities if self._noted.get(each, -math.inf) <= now - HEARD_SECONDS}
        for each in reading.last_registrations_of(missing) if missing else ():
            ago = (datetime.now(UTC) - each.at).total_seconds()
            if 0 <= ago < HEARD_SECONDS:  # by another process
                self._noted[each.facility] = now - ago
                missing.discard(each.facility)
        return missing

    def _arrive(self, record: EncodedRecord) -> Arrived | RecordRejected:
        refusal = self._gateway.refusal(record)
        if refusal is not None:
            return refusal
        names = [(record.facility, token) for token in self._gateway.local_ids(record)]
        return Arrived(record, self._gateway.content_digest(record), names)

    def _admit(
        self, arrived: Sequence[Arrived | RecordRejected], known: Mapping[RecordName, StoredRecord]
    ) -> list[Arrived | RecordRejected]:
        """Take through the gateway, all at once, what is not known as it is."""
        fresh = [item for item in arrived if isinstance(item, Arrived) and not item.is_unchanged(known)]
        rekeyed = iter(self._gateway.rekeyed([item.sent for item in fresh]))
        those = {id(item) for item in fresh}
        return [
            Admitted(item.sent, item.digest, item.names, next(rekeyed))
            if isinstance(item, Arrived) and id(item) in those
            else item
            for item in arrived
        ]

    def _place(self, batch: Batch, item: Arrived) -> Registration:
        before = item.held_as(batch.known)
        if before and item.is_unchanged(batch.known):
            return _registration_of(before)
        if not isinstance(item, Admitted):  # known as it is a moment ago, and changed by somebody since
            item = Admitted(item.sent, item.digest, item.names, *self._gateway.rekeyed([item.sent]))
        number = before.number if before else batch.transaction.new_number()
        previous = batch.eid_of(before) if before else ""
        must, cannot = batch.demanded(number)
        full: frozenset[str] = frozenset()
        if must:
            outcome, eid = Outcome(Decision.LINK, None, Bond.MUST.value), must
        else:
            candidates, full = self._candidates(batch.held, item.record.encodings(), number)
            open_to_it = [each for each in candidates if each.eid not in cannot]
            outcome, eid = self._matching.decide(open_to_it, lambda *pair: self._between(batch, *pair)), ""
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
        batch.join(eid, outcome.joined, item.record.facility)
        for doubt in outcome.doubts:
            doubted = doubt.candidate
            records = doubted.members + len(batch.held.members(eid))
            priority = self._matching.priority(doubted.score.weight, records)
            task = ReviewTask(number, eid, doubted.eid, doubted.score.weight, doubt.why, priority)
            batch.ask(task, TaskStatus.OPEN)
        if full and outcome.decision is not Decision.LINK:
            batch.ask(ReviewTask(number, eid, "", None, BUCKET_FULL), TaskStatus.WAITING)
            batch.full |= full
            self.counts.update(("deferred", channel) for channel in full)
        self.counts[outcome.decision.value, outcome.why] += 1
        self.counts["joined", ""] += len(outcome.joined)
        return Registration(eid, outcome.decision, weight, False, outcome.why)

    def _between(self, batch: Batch, one: str, other: str) -> float:
        """Say what the records of two identities say of each other, bits."""
        if batch.kept_apart(one, other):
            return -math.inf
        return self._matching.between(batch.contents(one), batch.contents(other))

    def _candidates(
        self, held: Overlay, encodings: Sequence[EncodedDemographics], number: int
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


def _without(demographics: EncodedDemographics, channels: frozenset[str]) -> EncodedDemographics:
    if not channels:
        return demographics
    kept = tuple(each for each in demographics.channels if each.channel not in channels)
    return replace(demographics, channels=kept)


def _revised(item: Arrived | RecordRejected, known: Mapping[RecordName, StoredRecord]) -> list[StoredRecord]:
    """The record that an item has new content for; none for a new one."""
    if not isinstance(item, Arrived) or item.is_unchanged(known):
        return []
    before = item.held_as(known)
    return [before] if before and before.eid else []


def _registration_of(stored: StoredRecord) -> Registration:
    return Registration(stored.eid, Decision.LINK, None, True, "unchanged")


def _answer(item: Arrived | RecordRejected, known: Mapping[RecordName, StoredRecord]) -> Registration | RecordRejected:
    if isinstance(item, RecordRejected):
        return item
    before = item.held_as(known)
    assert before is not None  # noqa: S101 (asked only when every record is known)
    return _registration_of(before)
