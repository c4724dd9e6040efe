"""Identities whatever is done to them: rules on examples, then invariants under any order of operations."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mpi.domain.changes import Action, Bond, Event, Placement, Regrouping
from mpi.domain.grouping import MOST_BINDINGS, Grouping, demanded
from mpi.domain.identity import Decision
from mpi.errors import Conflict, InputRejected, MpiError, NotFound


class Log:
    """A grouping and the changes that made it."""

    def __init__(self) -> None:
        numbers = count(1)
        self.grouping = Grouping(lambda: f"e{next(numbers)}")
        self.changes: dict[int, Event] = {}

    def do(self, event: Event) -> int:
        revision = len(self.changes) + 1
        self.changes[revision] = event
        self.grouping.apply(revision, event)
        return revision

    def register(self, record: int, eid: str) -> int:
        previous = self.grouping.eids.get(record, "")
        placement = Placement(record, eid, previous, Decision.LINK, None, "chosen", "")
        return self.do(self.grouping.place(placement))

    def state(self) -> tuple[object, ...]:
        """What an undo must bring back; contents of records that are not held do not show."""
        held = self.grouping
        contents = {record: held.contents[record] for record in held.eids}
        return dict(held.eids), contents, dict(held.redirects), dict(held.bonds), set(held.partings)


@pytest.fixture
def log() -> Log:
    """Two identities: "a" with records 1, 2, 5 and "b" with 3, 4."""
    log = Log()
    for record, eid in ((1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "a")):
        log.register(record, eid)
    return log


def test_merge_keeps_the_older_enterprise_id(log):
    """The identity whose first record is older survives, whichever was named first; the other stands for it."""
    log.do(log.grouping.merge("b", "a"))
    assert log.grouping.members("a") == [1, 2, 3, 4, 5]
    assert log.grouping.resolve("b") == "a"
    with pytest.raises(Conflict):
        log.grouping.merge("a", "b")


def test_retired_enterprise_ids_resolve_in_one_step(log):
    """An enterprise id that stands for one which is merged away stands for the survivor at once."""
    log.register(6, "c")
    log.do(log.grouping.merge("b", "c"))
    log.do(log.grouping.merge("a", "c"))
    assert log.grouping.redirects == {"b": "a", "c": "a"}


def test_the_larger_part_of_a_split_keeps_the_enterprise_id(log):
    """The part with more records goes on, the rest gets a new enterprise id and is known to come from it."""
    log.do(log.grouping.split("a", [[1, 5]]))
    assert log.grouping.members("a") == [1, 5]
    (parting,) = log.grouping.partings
    assert parting[0] == "a"
    assert log.grouping.members(parting[1]) == [2]
    assert log.grouping.bond(1, 2) is log.grouping.bond(2, 5) is Bond.CANNOT


def test_of_equal_parts_the_older_keeps_the_enterprise_id(log):
    """Two parts of one size: the one with the oldest record goes on."""
    log.do(log.grouping.split("b", [[4], [3]]))
    assert log.grouping.members("b") == [3]


@pytest.mark.parametrize("parts", [[[]], [[1], [1]], [[3]]])
def test_a_split_names_records_of_the_identity_once(log, parts):
    """Empty parts, records twice and foreign records are refused."""
    with pytest.raises(InputRejected):
        log.grouping.split("a", parts)


def test_one_operation_decides_about_so_many_pairs_only():
    """A giant identity cannot be parted into halves at one go."""
    log, half = Log(), int(MOST_BINDINGS**0.5) + 1
    for record in range(1, 2 * half + 1):
        log.grouping.hold(record, "giant", record)
    with pytest.raises(InputRejected):
        log.grouping.split("giant", [range(1, half + 1)])


def test_decisions_outrank_each_other_by_age(log):
    """A pair that was parted can be linked again, which forgets that it was parted; others forbid the link."""
    log.do(log.grouping.unlink(2))
    with pytest.raises(Conflict):
        log.grouping.link(2, 1)  # 5, which is with 1, was parted from 2 as well
    log.do(log.grouping.retract(5, erase=True))
    log.do(log.grouping.link(2, 1))
    assert log.grouping.eids[2] == log.grouping.eids[1] == "a"
    assert log.grouping.bond(1, 2) is Bond.MUST


def test_records_that_were_kept_apart_forbid_a_merge(log):
    """What a steward said about a record and an identity stands in the way of merging the two identities."""
    log.do(log.grouping.keep_apart(1, "b"))
    with pytest.raises(Conflict):
        log.grouping.merge("a", "b")
    with pytest.raises(Conflict):
        log.grouping.keep_apart(1, "a")


def test_what_was_said_before_is_not_said_again(log):
    """A decision that would change nothing is no change."""
    log.do(log.grouping.link(1, 2))
    log.do(log.grouping.keep_apart(1, "b"))
    with pytest.raises(Conflict):
        log.grouping.link(2, 1)
    with pytest.raises(Conflict):
        log.grouping.keep_apart(1, "b")


def test_undoing_a_merge_leaves_what_came_later(log):
    """A record that joined after the merge stays; those that were moved go back, and the old id lives again."""
    merged = log.do(log.grouping.merge("a", "b"))
    log.register(6, "a")
    log.do(log.grouping.undo(merged, log.changes[merged]))
    assert (log.grouping.members("a"), log.grouping.members("b")) == ([1, 2, 5, 6], [3, 4])
    assert log.grouping.redirects == {}
    assert log.grouping.bonds == {}


def test_joining_binds_nobody(log):
    """What a record showed is no decision of a person: it can be taken back, and decisions stand above it."""
    joined = log.do(log.grouping.join("b", "a"))
    assert (log.grouping.members("a"), log.grouping.bonds) == ([1, 2, 3, 4, 5], {})
    log.do(log.grouping.undo(joined, log.changes[joined]))
    log.do(log.grouping.keep_apart(1, "b"))
    with pytest.raises(Conflict):
        log.grouping.join("a", "b")


def test_undoing_an_undo_does_it_again(log):
    """An undo is a change like any other."""
    merged = log.do(log.grouping.merge("a", "b"))
    before = log.state()
    undone = log.do(log.grouping.undo(merged, log.changes[merged]))
    log.do(log.grouping.undo(undone, log.changes[undone]))
    assert log.state() == before


def test_an_undo_that_later_changes_contradict_is_refused(log):
    """A merge whose records were moved on cannot be taken back before that."""
    merged = log.do(log.grouping.merge("a", "b"))
    moved = log.do(log.grouping.unlink(3))
    with pytest.raises(Conflict) as refused:
        log.grouping.undo(merged, log.changes[merged])
    assert refused.value.revisions == (merged,)
    log.do(log.grouping.undo(moved, log.changes[moved]))
    log.do(log.grouping.undo(merged, log.changes[merged]))
    assert log.grouping.members("b") == [3, 4]


def test_a_registration_that_was_revised_is_undone_last_first(log):
    """The first content cannot be taken back while a later one counts; the later one gives way to the first."""
    revised = log.register(1, "a")
    with pytest.raises(Conflict):
        log.grouping.undo(1, log.changes[1])
    log.do(log.grouping.undo(revised, log.changes[revised]))
    assert log.grouping.contents[1] == 1
    log.do(log.grouping.undo(1, log.changes[1]))
    assert 1 not in log.grouping.eids


def test_a_retracted_record_returns_to_where_its_identity_is_now(log):
    """Undoing a retraction after a merge puts the record into the identity that survived."""
    retracted = log.do(log.grouping.retract(3, erase=False))
    log.do(log.grouping.merge("a", "b"))
    log.do(log.grouping.undo(retracted, log.changes[retracted]))
    assert log.grouping.eids[3] == "a"


def test_an_erased_record_never_returns(log):
    """Erasing cannot be undone, and the record is no longer held."""
    erased = log.do(log.grouping.retract(3, erase=True))
    with pytest.raises(Conflict):
        log.grouping.undo(erased, log.changes[erased])
    with pytest.raises(NotFound):
        log.grouping.link(1, 3)


def test_an_undo_cannot_break_what_a_person_decided(log):
    """A revision that moved a record is not taken back once the record was linked where it is."""
    moved = log.register(5, "b")
    log.do(log.grouping.link(5, 3))
    with pytest.raises(Conflict):
        log.grouping.undo(moved, log.changes[moved])


class Operations(RuleBasedStateMachine):
    """Any order of operations on a few records."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.seen: set[str] = set()
        self.erased: set[int] = set()

    def attempt(self, make) -> None:
        """Do what is allowed; a refusal changes nothing."""
        before = self.log.state()
        try:
            event = make()
        except MpiError:
            assert self.log.state() == before
            return
        self.log.do(event)

    def eids(self) -> list[str]:
        return sorted(set(self.log.grouping.eids.values()))

    def records(self) -> list[int]:
        return sorted(self.log.grouping.eids)

    @rule(record=st.integers(1, 8), pick=st.integers(0, 9))
    def register(self, record: int, pick: int) -> None:
        """A record comes, new or revised or back again; the model wishes it anywhere that decisions allow."""
        held = self.log.grouping
        if record in self.erased:
            return  # its number is never given again
        bonds = {other: held.bond(record, other) for bond in Bond for other in held.partners(record, bond)}
        must, cannot = demanded(record, bonds, lambda other: held.eids.get(other, ""))
        open_to_it = [eid for eid in self.eids() if eid not in cannot]
        mine = held.eids.get(record, "")
        alone = [mine] if mine and held.members(mine) == [record] else []
        wishes = [*open_to_it, *alone, f"n{len(self.log.changes)}"]
        self.log.register(record, must or wishes[pick % len(wishes)])

    @precondition(lambda self: self.records())
    @rule(data=st.data(), erase=st.booleans())
    def retract(self, data, erase: bool) -> None:
        record = data.draw(st.sampled_from(self.records()))
        self.attempt(lambda: self.log.grouping.retract(record, erase=erase and record > 6))
        if erase and record > 6:
            self.erased.add(record)

    @precondition(lambda self: self.records())
    @rule(data=st.data())
    def link(self, data) -> None:
        one, other = (data.draw(st.sampled_from(self.records())) for _ in range(2))
        self.attempt(lambda: self.log.grouping.link(one, other))

    @precondition(lambda self: self.records())
    @rule(data=st.data())
    def unlink(self, data) -> None:
        record = data.draw(st.sampled_from(self.records()))
        self.attempt(lambda: self.log.grouping.unlink(record))

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def merge(self, data) -> None:
        one, other = (data.draw(st.sampled_from(sorted(self.seen))) for _ in range(2))
        self.attempt(lambda: self.log.grouping.merge(one, other))

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def join(self, data) -> None:
        one, other = (data.draw(st.sampled_from(sorted(self.seen))) for _ in range(2))
        self.attempt(lambda: self.log.grouping.join(one, other))

    @precondition(lambda self: self.records())
    @rule(data=st.data())
    def split(self, data) -> None:
        eid = data.draw(st.sampled_from(self.eids()))
        members = self.log.grouping.members(eid)
        sides = {record: data.draw(st.integers(0, 2)) for record in members}
        parts = [[record for record in members if sides[record] == side] for side in range(3)]
        self.attempt(lambda: self.log.grouping.split(eid, [part for part in parts if part]))

    @precondition(lambda self: self.records())
    @rule(data=st.data())
    def keep_apart(self, data) -> None:
        record, eid = data.draw(st.sampled_from(self.records())), data.draw(st.sampled_from(self.eids()))
        self.attempt(lambda: self.log.grouping.keep_apart(record, eid))

    @precondition(lambda self: self.log.changes)
    @rule(data=st.data())
    def undo(self, data) -> None:
        revision = data.draw(st.sampled_from(sorted(self.log.changes)))
        self.attempt(lambda: self.log.grouping.undo(revision, self.log.changes[revision]))

    @precondition(lambda self: self.log.changes)
    @rule()
    def undo_the_last_and_redo_it(self) -> None:
        """The newest change can always be taken back, unless it erased; taking that back brings it back."""
        last = len(self.log.changes)
        event = self.log.changes[last]
        if getattr(event, "action", None) is Action.ERASE:
            return
        before = self.log.state()
        try:
            undone = self.log.do(self.log.grouping.undo(last, event))
        except Conflict:
            # A record that came back made bonds give way that do not hold again without it, or its own last
            # content was erased with it; such a change is the newest fact about its records all the same.
            assert event.bindings
            return
        self.log.do(self.log.grouping.undo(undone, self.log.changes[undone]))
        assert self.log.state() == before

    @invariant()
    def enterprise_ids_resolve(self) -> None:
        """Each enterprise id ever given stands for itself or for one that stands for itself, and lives in one place."""
        held = self.log.grouping
        self.seen |= set(held.eids.values())
        for eid, target in held.redirects.items():
            assert target not in held.redirects
            assert held.members(eid) == []
        for eid in self.seen:
            assert held.resolve(held.resolve(eid)) == held.resolve(eid)

    @invariant()
    def decisions_hold(self) -> None:
        """Records that are held are where the steward's decisions want them."""
        assert self.log.grouping.violations(self.records()) == []

    @invariant()
    def every_record_is_in_one_identity(self) -> None:
        """Members and places tell the same."""
        held = self.log.grouping
        placed = [(record, eid) for eid in self.seen for record in held.members(eid)]
        assert sorted(placed) == sorted(held.eids.items())

    @invariant()
    def the_log_gives_the_state(self) -> None:
        """Replaying every change gives the same state, where nothing is left of erased records' registrations."""
        fresh = Log()
        for revision, event in self.log.changes.items():
            if isinstance(event, Placement) and event.record in self.erased:
                event = Regrouping(Action.ERASE, redirects=event.redirects, bindings=event.bindings)
            fresh.grouping.apply(revision, event)
        assert fresh.state() == self.log.state()


TestOperations = Operations.TestCase
TestOperations.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
