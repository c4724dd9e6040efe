"""One batch of registrations: what it knows of the store, and what it has changed so far."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, MutableMapping, Sequence
from dataclasses import replace

from mpi.domain.changes import Bond, Event, Placement
from mpi.domain.consent import Consent
from mpi.domain.grouping import Grouping, demanded
from mpi.domain.identity import Registration
from mpi.domain.record import EncodedRecord, RecordName
from mpi.domain.review import ReviewTask, TaskStatus
from mpi.errors import Conflict, RecordRejected
from mpi.index.members import Member
from mpi.index.reader import IndexReader
from mpi.service.arrival import Admitted
from mpi.service.following import carried_on, carried_over
from mpi.service.overlay import Overlay
from mpi.store.sql import StoredRecord, Transaction


class Batch:
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

    def place(self, placement: Placement, item: Admitted, before: StoredRecord | None) -> None:
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
