"""Registration: take records, link them, keep them; take them back."""

from __future__ import annotations

import logging
import math
import time
from collections import ChainMap, Counter
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mpi.domain.changes import Bond, Cause, Event, Placement
from mpi.domain.consent import Consent
from mpi.domain.grouping import Grouping, demanded
from mpi.domain.identifiers import LocalIdToken, new_eid
from mpi.domain.identity import Decision, Registration
from mpi.domain.record import EncodedDemographics, EncodedRecord, RecordName
from mpi.domain.review import ReviewTask, TaskStatus
from mpi.errors import Conflict, RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.members import Member
from mpi.index.projector import bring_up, project
from mpi.index.reader import IndexReader
from mpi.linkage.decision import Candidate, Outcome
from mpi.service.following import carried_on, carried_over, left_behind
from mpi.service.gateway import Gateway
from mpi.service.matching import Matching
from mpi.service.overlay import Overlay
from mpi.store.reading import Reading
from mpi.store.sql import Store, StoredRecord, Transaction

BUCKET_CAP = 20_000
"""Rows of a bucket beyond which it is not read at registration: comparing with so many takes milliseconds."""
BUCKET_FULL = "bucket_full"

HEARD_SECONDS = 60.0
"""How long it is not noted again that a facility registered: who asks wants to know whether it sends, not how often."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A record that the gateway lets in, as it arrived, with the keyed digest of that."""

    sent: EncodedRecord
    digest: bytes
    names: list[RecordName]
    """Names that find the record again: of its own key epoch, then of the one before."""

    def held_as(self, known: Mapping[RecordName, StoredRecord]) -> StoredRecord | None:
        """Find what is stored of this record, under either name; also when it was retracted."""
        return next((known[name] for name in self.names if name in known), None)


@dataclass(frozen=True, slots=True)
class _Admitted(_Arrived):
    """A record that passed the gateway."""

    record: EncodedRecord


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
        names = [name for item in arrived if isinstance(item, _Arrived) for name in item.names]
        # Unchanged records are the bulk of a nightly feed; they need no lock.
        with self._store.reading() as reading:
            known, revision = reading.find(names), reading.head()
            unheard = self._unheard(reading, {item.sent.facility for item in arrived if isinstance(item, _Arrived)})
        if not unheard and all(_unchanged(item, known) for item in arrived if isinstance(item, _Arrived)):
            return [_answer(item, known) for item in arrived], revision
        admitted = self._admit(arrived, known)
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            with self._index.reading() as reader:
                batch = _Batch(transaction, Overlay(reader, self._bucket_cap), transaction.bearers(names))
                batch.know({held.eid for item in admitted for held in _revised(item, batch.known)})
                placed = [self._place(batch, item) if isinstance(item, _Arrived) else item for item in admitted]
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

    def _arrive(self, record: EncodedRecord) -> _Arrived | RecordRejected:
        refusal = self._gateway.refusal(record)
        if refusal is not None:
            return refusal
        names = [(record.facility, token) for token in self._gateway.local_ids(record)]
        return _Arrived(record, self._gateway.content_digest(record), names)

    def _admit(
        self, arrived: Sequence[_Arrived | RecordRejected], known: Mapping[RecordName, StoredRecord]
    ) -> list[_Arrived | RecordRejected]:
        """Take through the gateway, all at once, what is not known as it is."""
        fresh = [item for item in arrived if isinstance(item, _Arrived) and not _unchanged(item, known)]
        rekeyed = iter(self._gateway.rekeyed([item.sent for item in fresh]))
        those = {id(item) for item in fresh}
        return [
            _Admitted(item.sent, item.digest, item.names, next(rekeyed))
            if isinstance(item, _Arrived) and id(item) in those
            else item
            for item in arrived
        ]

    def _place(self, batch: _Batch, item: _Arrived) -> Registration:
        before = item.held_as(batch.known)
        if before and before.eid and before.digest == item.digest:
            return _registration_of(before)
        if not isinstance(item, _Admitted):  # known as it is a moment ago, and changed by somebody since
            item = _Admitted(item.sent, item.digest, item.names, *self._gateway.rekeyed([item.sent]))
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

    def _between(self, batch: _Batch, one: str, other: str) -> float:
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


class _Batch:
    """What one batch knows and changes: the store's state when it began, and its own placements on top of it.

    Attributes:
        known: which record bears a name, and beneath, which bore it under the epoch before.
        full: channels on which a record was put off because a bucket was too full.
    """

    def __init__(self, transaction: Transaction, held: Overlay, known: ChainMap[RecordName, StoredRecord]) -> None:
        self.transaction = transaction
        self.held = held
        self.known = known
        self.full: frozenset[str] = frozenset()
        self._names: dict[int, list[tuple[MutableMapping[RecordName, StoredRecord], RecordName]]] = {}
        for bearers in known.maps:
            for name, stored in bearers.items():
                self._names.setdefault(stored.number, []).append((bearers, name))
        self._grouping = transaction.surroundings(self._names) if known else Grouping()
        self._read: set[str] = set()
        self._led: set[str] = set()
        self._contents: dict[int, EncodedRecord] = {}
        self._asked: dict[int, list[tuple[ReviewTask, TaskStatus]]] = {}
        self._joined: set[int] = set()
        self._revised: set[int] = set()
        self._amid: dict[int, Member] = {}

    def know(self, eids: Collection[str]) -> None:
        """Read identities from the store, whole, and keep what the batch has changed of them."""
        missing = set(eids) - self._read
        if not missing:
            return
        self._read |= missing
        stored = self.transaction.grouping(missing)
        new = stored.contents.keys() - self._grouping.contents.keys()
        for number in new:
            self._grouping.hold(number, stored.eids.get(number, ""), stored.contents[number])
        for pair, bond in stored.bonds.items():
            if not new.isdisjoint(pair):
                self._grouping.bind(*pair, bond)
        for eid, target in stored.redirects.items():
            if eid not in self._led:
                self._grouping.lead(eid, target)
        self._grouping.partings |= stored.partings

    def eid_of(self, stored: StoredRecord) -> str:
        """Identity that a record is in by now, "" for none."""
        return self.held.placed(stored.number) or stored.eid

    def demanded(self, number: int) -> tuple[str, frozenset[str]]:
        """Say which identity people's decisions want a record in, and which they keep it out of."""
        bonds = {other: kind for kind in (Bond.MUST, Bond.CANNOT) for other in self._grouping.partners(number, kind)}
        if not bonds:
            return "", frozenset()
        return demanded(number, bonds, lambda other: self.held.placed(other) or self._grouping.eids.get(other, ""))

    def kept_apart(self, one: str, other: str) -> bool:
        """Say whether people decided that records of two identities are of two persons."""
        self.know([one, other])
        theirs = set(self._grouping.members(other))
        return any(
            not theirs.isdisjoint(self._grouping.partners(record, Bond.CANNOT))
            for record in self._grouping.members(one)
        )

    def contents(self, eid: str) -> list[EncodedRecord]:
        """Contents of an identity's records."""
        numbers = [member.number for member in self.held.members(eid)]
        missing = [number for number in numbers if number not in self._contents]
        if missing:
            self._contents.update(self.transaction.content(missing))
        return [self._contents[number] for number in numbers]

    def place(self, placement: Placement, item: _Admitted, before: StoredRecord | None) -> None:
        """Place a record, in the store and for the records that follow."""
        leaves = placement.previous not in ("", placement.eid)
        if leaves or self._grouping.is_bound(placement.record):
            if leaves:
                self.know([placement.previous])
            self._grouping.hold(placement.record, placement.previous, placement.content)
            placement = self._grouping.place(placement)
        if before:
            self._revised.add(placement.record)
        if item.record.earlier is not None:
            self._amid[placement.record] = Member.of(placement.record, item.record)
        stored = self.transaction.place(placement, item.record, item.digest, before)
        self._apply(stored.content, placement)
        self.held.place(placement.eid, placement.record, item.record, placement.previous)
        self._contents[placement.record] = item.record
        self._asked.pop(placement.record, None)  # the later content of a batch counts
        self._name(stored, item.names)

    def _name(self, stored: StoredRecord, names: Sequence[RecordName]) -> None:
        """Let a record bear names, and those alone, as it does in the store."""
        for bearers, name in self._names.pop(stored.number, ()):
            if bearers[name].number == stored.number:
                del bearers[name]
        # There is one name, or that of the epoch before as well.
        borne = list(zip(self.known.maps, names, strict=False))
        for bearers, name in borne:
            bearers[name] = stored
        self._names[stored.number] = borne

    def said_before(self, reader: IndexReader) -> list[Consent]:
        """What citizens said that must be said anew, for the batch to change nothing of it."""
        return [*carried_on(reader, self._amid.values()), *carried_over(reader, self.held, self._revised)]

    def join(self, eid: str, others: Sequence[str], facility: str) -> None:
        """Make one identity of several, because of a record of this facility."""
        self.know([eid, *others] if others else [])
        for other in others:
            try:
                event = self._grouping.join(eid, other)
            except Conflict:  # records of the two were parted by people
                continue
            self.transaction.regroup(event, facility)
            self._apply(self.transaction.revision, event)
            self.held.move(event.moves)
            self._joined.update(self._grouping.members(self._grouping.resolve(eid)))

    def ask(self, task: ReviewTask, status: TaskStatus) -> None:
        """Open a task at the end, if by then nobody has answered or asked it."""
        self._asked.setdefault(task.record, []).append((task, status))

    def finish(self, outcomes: Sequence[Registration | RecordRejected]) -> list[Registration | RecordRejected]:
        """Open the tasks, close those that have answered themselves, and bring the answers up to the batch's end."""
        asked = [each for own in self._asked.values() for each in own]
        self.know({eid for task, _ in asked for eid in (task.eid, task.rival) if eid})
        concerned = {number for task, _ in asked if task.rival for number in self._members_of(task)}
        open_pairs = set()
        for held in self.transaction.open_tasks(concerned | self._joined) if concerned or self._joined else ():
            if self._is_one(held.task):
                self.transaction.close_task(held.number, TaskStatus.SETTLED)
            else:
                open_pairs.add(self._pair(held.task))
        for task, status in asked:
            if not task.rival:
                self.transaction.ask(task, status)
            elif (
                not self._is_one(task) and self._pair(task) not in open_pairs and not self.kept_apart(*self._pair(task))
            ):
                open_pairs.add(self._pair(task))
                self.transaction.ask(task, status)
        return [
            replace(each, eid=self._grouping.resolve(each.eid)) if isinstance(each, Registration) else each
            for each in outcomes
        ]

    def _pair(self, task: ReviewTask) -> tuple[str, str]:
        """The two identities that a task is about, as they are by now, the same whichever raised it."""
        own = self._grouping.eids.get(task.record) or self._grouping.resolve(task.eid)
        rival = self._grouping.resolve(task.rival)
        return (own, rival) if own < rival else (rival, own)

    def _is_one(self, task: ReviewTask) -> bool:
        """Say whether a task's record has come into the identity that it was held against."""
        one, other = self._pair(task)
        return one == other

    def _members_of(self, task: ReviewTask) -> list[int]:
        """Records of the two identities that a task is about."""
        return [number for eid in self._pair(task) for number in self._grouping.members(eid)]

    def _apply(self, revision: int, event: Event) -> None:
        self._grouping.apply(revision, event)
        self._led |= {redirect.eid for redirect in event.redirects}


def _without(demographics: EncodedDemographics, channels: frozenset[str]) -> EncodedDemographics:
    if not channels:
        return demographics
    kept = tuple(each for each in demographics.channels if each.channel not in channels)
    return replace(demographics, channels=kept)


def _unchanged(item: _Arrived, known: Mapping[RecordName, StoredRecord]) -> bool:
    before = item.held_as(known)
    return before is not None and bool(before.eid) and before.digest == item.digest


def _revised(item: _Arrived | RecordRejected, known: Mapping[RecordName, StoredRecord]) -> list[StoredRecord]:
    """The record that an item has new content for; none for a new one."""
    if not isinstance(item, _Arrived) or _unchanged(item, known):
        return []
    before = item.held_as(known)
    return [before] if before and before.eid else []


def _registration_of(stored: StoredRecord) -> Registration:
    return Registration(stored.eid, Decision.LINK, None, True, "unchanged")


def _answer(item: _Arrived | RecordRejected, known: Mapping[RecordName, StoredRecord]) -> Registration | RecordRejected:
    if isinstance(item, RecordRejected):
        return item
    before = item.held_as(known)
    assert before is not None  # noqa: S101 (asked only when every record is known)
    return _registration_of(before)
