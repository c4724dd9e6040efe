"""Watching: the changes of identities, as each client may learn of them, in order, none twice and none left out.

What is told follows from two things alone: the log of changes, and what the client may be shown now. An event is about
the records that may be shown at the moment it is told; a change without such records is passed over. Whether anything
is said of an identity that records came from or went to depends on its other records before the change: where there
were some and none of them may be shown, the client is told what it would be told if they did not exist. So nothing is
told that looking up would not tell, and the price is silence: what may be shown no longer goes without a word.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from mpi.domain import changes as changes_of
from mpi.domain.changes import Action, Change, Move, Placement, Regrouping, Selection
from mpi.domain.consent import Asking, Consent, Stance
from mpi.domain.identifiers import IdentifierToken
from mpi.domain.watching import EventKind, IdentityEvent, Wanted
from mpi.index.lmdb_index import Index
from mpi.index.members import Member
from mpi.index.reader import IndexReader
from mpi.service.cursors import Cursors
from mpi.service.disclosure import Disclosure
from mpi.service.pseudonyms import own_eid
from mpi.store.history import records_before
from mpi.store.reading import Reading
from mpi.store.sql import Store

KEPT = 4000
"""Changes kept at hand for all who watch: some seconds of the fastest registration, some megabytes."""
CHANGES_AT_ONCE = 40
"""Changes that are read at a time: some milliseconds, in which lookups of the same process take longer."""

Name = Callable[[str], str]
"""Gives the id that a client knows an identity by."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change as those who watch need it: who went where, and nothing of what was registered.

    Attributes:
        revision: of the change.
        moves: records that came to be held, went from one identity to another, or were taken back.
        retired: enterprise ids that stand for others from now on.
        parted: identities with those that they were split into.
        before: the records of identities that records left, and of those that they went to, before the change.
        rewritten: records with new content.
        said: what citizens said.
        facility: whose record was taken back; "" where none was.
    """

    revision: int
    moves: tuple[Move, ...]
    retired: frozenset[str]
    parted: frozenset[tuple[str, str]]
    before: Mapping[str, frozenset[int]]
    rewritten: tuple[int, ...]
    said: tuple[Consent, ...]
    facility: str

    def records(self) -> Iterator[int]:
        """Numbers of all records that matter."""
        yield from (move.record for move in self.moves)
        yield from (number for numbers in self.before.values() for number in numbers)
        yield from self.rewritten


@dataclass(frozen=True, slots=True)
class Page:
    """What a client may learn of some changes, and the last of these changes."""

    events: tuple[IdentityEvent, ...]
    revision: int


class Tail:
    """The end of the log, read once for all who watch; whoever is further behind reads the store."""

    def __init__(self, store: Store, kept: int = KEPT) -> None:
        self._store = store
        self._steps = deque[Step](maxlen=kept)
        self._lock = threading.Lock()

    def after(self, revision: int, most: int = CHANGES_AT_ONCE) -> Sequence[Step]:
        """Give the changes after a revision, at most so many.

        Raises:
            StoreUnusable: they are not at hand, and the database cannot be read.
        """
        with self._lock:
            held = self._steps
            if held and not held[0].revision - 1 <= revision <= held[-1].revision:
                if revision > held[-1].revision:
                    held.clear()  # nobody watched for a while
            elif held and revision < held[-1].revision:
                start = revision + 1 - held[0].revision
                return list(islice(held, start, start + most))
            if not held or revision == held[-1].revision:
                # The others wait for this rather than read the same.
                fresh = self._read(revision, most)
                held.extend(fresh)
                return fresh
        return self._read(revision, most)

    def _read(self, revision: int, most: int) -> list[Step]:
        with self._store.reading() as reading:
            return [_step(reading, change) for change in reading.selected(Selection(), revision, most)]


class Watching:
    """The use case behind `WatchIdentities`."""

    def __init__(
        self,
        index: Index,
        store: Store,
        disclosure: Disclosure,
        cursors: Cursors,
        outward: Callable[[str, str], str],
        tail: Tail | None = None,
    ) -> None:
        self._index = index
        self._store = store
        self._disclosure = disclosure
        self._cursors = cursors
        self._outward = outward
        self._tail = tail or Tail(store)

    def revision(self) -> int:
        """The last change that can be told."""
        with self._index.reading() as reader:
            return reader.revision()

    def opened(self, client: str, cursor: bytes) -> int:
        """Read the revision that a client's cursor stands for; it may be ahead of this process's index.

        Raises:
            RecordRejected: it is none of this client's, or of another history.
        """
        with self._index.reading() as reader:
            return self._cursors.open(client, reader.lineage(), cursor)

    def cursor(self, client: str, revision: int) -> bytes:
        """Write a client's cursor for what comes after a revision."""
        with self._index.reading() as reader:
            return self._cursors.seal(client, reader.lineage(), revision)

    def page(self, asking: Asking, wanted: Wanted, after: int, *, outside: bool) -> Page:
        """Say what a client may learn of the next changes, at most `CHANGES_AT_ONCE` of them.

        Args:
            asking: who watches, and why; it takes note of what the events rest on.
            wanted: which events are.
            after: the last revision that was dealt with.
            outside: the client knows identities by ids of its own.

        Raises:
            StoreUnusable: the log cannot be read just now; nothing is lost.
        """
        steps = self._tail.after(after)
        with self._index.reading() as reader:
            head = reader.revision()
            steps = [step for step in steps if step.revision <= head]
            if not steps:
                return Page((), after)
            places = {number: reader.placed(number) for step in steps for number in step.records()}
            gone = [number for number, eid in places.items() if not eid]
            contents = self._store.content(gone) if gone else {}
            members = {number: Member.of(number, record) for number, record in contents.items()}
            view = _View(self._disclosure, reader, asking, members, places)
            name = self._name(reader, asking, outside=outside)
            events = [event for step in steps for event in self._told(step, view, wanted, name)]
        return Page(tuple(events), steps[-1].revision)

    def _told(self, step: Step, view: _View, wanted: Wanted, name: Name) -> list[IdentityEvent]:
        """What a client may learn of one change; the order must not tell that of the index."""
        told = []
        for kind, eid, source, concerned in _happened(step, view):
            facilities = tuple(sorted({view.facility(number) for number in concerned}))
            if wanted.has(kind, facilities):
                view.note(concerned)
                shown = () if kind is EventKind.LOOK_AGAIN else facilities
                told.append(IdentityEvent(name(eid), source and name(source), kind, shown))
        return sorted(told)

    def _name(self, reader: IndexReader, asking: Asking, *, outside: bool) -> Name:
        def name(eid: str) -> str:
            if asking.facility:
                # A facility that was given the right to watch knows persons of its own by its own records.
                members = reader.members(reader.resolve(eid))
                own = [each.number for each in members if each.location.facility == asking.facility]
                eid = own_eid(min(own)) if own else eid
            return self._outward(asking.client, eid) if outside else eid

        return name


class _View:
    """Which records a client may be shown, in one snapshot of the index.

    A record that is no longer held is judged together with those that it was together with, so that taking it back can
    be told. Of an erased one nothing is left to judge by; it counts as one of somebody who said nothing only where
    that is certain.
    """

    def __init__(
        self,
        disclosure: Disclosure,
        reader: IndexReader,
        asking: Asking,
        gone: Mapping[int, Member],
        places: dict[int, str],
    ) -> None:
        self.disclosure = disclosure
        self.reader = reader
        self.asking = asking
        self._gone = gone
        self._places = places
        self._identities: dict[str, tuple[frozenset[int], frozenset[str]]] = {}
        self._facilities: dict[int, str] = {number: each.location.facility for number, each in gone.items()}
        self._why: dict[int, frozenset[str]] = {}

    def place(self, number: int) -> str:
        """The identity of a record; "" for one that is not held."""
        if number not in self._places:
            self._places[number] = self.reader.placed(number)
        return self._places[number]

    def seen(self, numbers: Collection[int], company: Collection[int] = (), eids: Collection[str] = ()) -> list[int]:
        """Those of some records that may be shown.

        Args:
            numbers: the records.
            company: those that they were together with.
            eids: the identities that they were in.
        """
        found = []
        lost = sorted(number for number in numbers if number in self._gone)
        if lost:
            members = {member.number: member for member in self._together([*lost, *company], eids)}
            shown, why = self.disclosure.lasting(self.reader, [*members.values()], self.asking)
            found += [number for number in lost if number in shown]
            self._why.update(dict.fromkeys(lost, why))
        for number in numbers:
            if eid := self.place(number):
                shown, why = self._judged(eid)
                found += [number] if number in shown else []
                self._why[number] = why
        return sorted(found)

    def note(self, numbers: Collection[int]) -> None:
        """Note what telling of records rests on."""
        for number in numbers:
            self.asking.weighed.grounds |= self._why.get(number, frozenset())

    def erased_seen(self, step: Step, move: Move) -> bool:
        """Say whether an erased record could be shown, whatever it was."""
        if self.asking.whole:
            known = True
        elif self.reader.is_silent():
            known = self.disclosure.is_plain(self.asking, step.facility)
        else:
            others = self._together(step.before[move.source], [move.source])
            silent = not self.reader.consents(others) and not self.reader.said(move.record)
            known = bool(others) and silent and self.disclosure.is_plain(self.asking, step.facility)
        if known:
            self._facilities[move.record] = step.facility
        return known

    def held(self, numbers: Collection[int]) -> list[int]:
        """Those of some records that are held."""
        return [number for number in numbers if self.place(number)]

    def is_gone(self, number: int) -> bool:
        """Say whether a record is neither held nor can be read any more."""
        return number not in self._gone and not self.place(number)

    def facility(self, number: int) -> str:
        """Whose a record is that may be shown."""
        return self._facilities[number]

    def is_shifted(self, eid: str, came: Collection[int], went: Collection[int]) -> bool:
        """Say whether other records of an identity may be shown, or not, because some came and some went."""
        members = self.reader.members(eid)
        others = [member for member in members if member.number not in came]
        gone = self._together(went)
        if not others or not self.reader.consents([*members, *gone]):
            return False
        before, _ = self.disclosure.lasting(self.reader, [*others, *gone], self.asking)
        now, _ = self._judged(eid)
        return any((member.number in before) is not (member.number in now) for member in others)

    def _together(self, numbers: Collection[int], eids: Collection[str] = ()) -> list[Member]:
        """Records by number, as far as they are known, and all records of identities."""
        members = [self._gone[number] for number in numbers if number in self._gone]
        places = {self.place(number) for number in numbers} - {""}
        members += [each for eid in places for each in self.reader.members(eid) if each.number in numbers]
        return members + [each for eid in {*map(self.reader.resolve, eids)} for each in self.reader.members(eid)]

    def _judged(self, eid: str) -> tuple[frozenset[int], frozenset[str]]:
        if eid not in self._identities:
            members = self.reader.members(eid)
            self._facilities.update((member.number, member.location.facility) for member in members)
            self._identities[eid] = self.disclosure.lasting(self.reader, members, self.asking)
        return self._identities[eid]


Happened = tuple[EventKind, str, str, Collection[int]]
"""Kind, identity, the one that records came from, and the records that it is about."""


def _happened(step: Step, view: _View) -> Iterator[Happened]:
    """What a change was in the eyes of somebody who sees no other records than a client may."""
    between: dict[tuple[str, str], list[int]] = {}
    for move in step.moves:
        between.setdefault((move.source, move.target), []).append(move.record)
        if not move.target and view.is_gone(move.record) and view.erased_seen(step, move):
            yield EventKind.RETRACT, move.source, "", [move.record]
    for (source, target), records in between.items():
        before = {eid: step.before.get(eid, frozenset()) for eid in (source, target)}
        # Who was registered and taken back again is not told of: nobody knows any more whom that was together with.
        company, eids = before[source] | before[target], {source, target} - {""}
        seen = view.seen(records if source else view.held(records), company, eids)
        if not seen:
            continue
        if not source:
            yield EventKind.LINK, target, "", seen
        elif not target:
            yield EventKind.RETRACT, source, "", seen
        else:
            leaving = {move.record for move in step.moves if move.source == source}
            stays = view.seen(before[source] - leaving, before[source], [source])
            there = view.seen(before[target], before[target], [target])
            if stays:
                is_part = (source, target) in step.parted and not there
                yield EventKind.SPLIT if is_part else EventKind.UNLINK, target, source, seen
            elif there or (source in step.retired and not before[target]):
                yield EventKind.MERGE, target, source, seen
            elif source not in step.retired:
                # What stays behind is hidden, so nothing is said of it. Where the other id was retired instead, it
                # goes on answering, and nothing need be said at all.
                yield EventKind.LINK, target, "", seen
    yield from _look_again(step, view)


def _look_again(step: Step, view: _View) -> Iterator[Happened]:
    eids = {view.place(number) for number in view.seen(step.rewritten)} | set(_shifted(step, view))
    for said in step.said:
        counts = said.purpose is view.asking.purpose and said.stance is not Stance.USED and not view.asking.whole
        if counts and view.disclosure.asks_over(view.asking, said.network):
            subject = said.subject
            eids.update(view.reader.eids(subject) if isinstance(subject, IdentifierToken) else {view.place(subject)})
    for eid in sorted(eids - {""}):
        if shown := view.seen([member.number for member in view.reader.members(eid)]):
            yield EventKind.LOOK_AGAIN, eid, "", shown


def _shifted(step: Step, view: _View) -> Iterator[str]:
    """Identities of which more or less may be shown because of whose records came, went or have other numbers.

    A consent or an objection comes and goes with the records that carry its number, hidden ones too.
    """
    if view.reader.is_silent() or view.asking.whole:
        return
    came, went = defaultdict[str, set[int]](set), defaultdict[str, set[int]](set)
    for number in (*(move.record for move in step.moves), *step.rewritten):
        came[view.place(number)].add(number)
    for move in step.moves:
        if move.source and (left := view.reader.resolve(move.source)) != view.place(move.record):
            went[left].add(move.record)
    for eid in {*came, *went} - {""}:
        if view.is_shifted(eid, came[eid], went[eid]):
            yield eid


def _step(reading: Reading, change: Change) -> Step:
    event = change.event
    moves = [move for move in changes_of.moves(change.revision, event) if move.source != move.target]
    rewrite = changes_of.rewrite(change.revision, event)
    is_split = isinstance(event, Regrouping) and event.action is Action.SPLIT
    touched = {eid for move in moves if move.source for eid in (move.source, move.target)} - {""}
    return Step(
        change.revision,
        tuple(moves),
        frozenset(each.eid for each in event.redirects if each.target),
        frozenset((each.origin, each.part) for each in changes_of.partings(event)) if is_split else frozenset(),
        {eid: records_before(reading, eid, change.revision) for eid in sorted(touched)},
        () if rewrite is None or rewrite.record in {move.record for move in moves} else (rewrite.record,),
        () if isinstance(event, Placement) else event.consents,
        change.cause.facility if change.cause is not None else "",
    )
