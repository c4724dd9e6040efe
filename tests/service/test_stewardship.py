"""Stewards' decisions, their history and their undoing, on a real store and index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mpi.domain.changes import Selection
from mpi.domain.grouping import Grouping
from mpi.domain.identifiers import EnterpriseId, IdentifierKind, LocalIdToken
from mpi.domain.identity import Decision, Registration
from mpi.encoder.demographics import RawDemographics
from mpi.encoder.keys import KeyRing
from mpi.encoder.tokens import Tokeniser
from mpi.errors import Conflict, InputRejected, MpiError, NotFound, RecordRejected
from mpi.index.projector import verify
from mpi.store.sql import open_sqlite
from tests.building import AT_REST, encoded, key_ring, raw, th_v1
from tests.service.centres import ACTOR, PERSON, STEWARD, Parts, decided, joined, open_tasks

SOMCHAI = raw("นายสมชาย ใจดี", "1", **PERSON)
MALEE = raw("นางมาลี สีดา", "2", birth_date="04/09/2499", sex="2", national_id="3320100123459")
PRANEE = raw("นางปราณี ทองดี", "3", birth_date="20/11/2510", sex="2")


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return key_ring(tmp_path)


@pytest.fixture
def at(tmp_path: Path, ring: KeyRing) -> Iterator[Parts]:
    store = open_sqlite(tmp_path / "store.db", AT_REST, th_v1().stored_digest)
    with joined(store, tmp_path / "index", (ring.current.name,)) as parts:
        yield parts
        assert verify(parts.index, parts.store) == []


def register(at: Parts, ring: KeyRing, *rows, facility: str = "10661", request: str = "") -> list[str]:
    outcomes, _ = at.registry.register(encoded(ring, facility, *rows), ACTOR, request)
    assert all(isinstance(outcome, Registration) for outcome in outcomes)
    return [outcome.eid for outcome in outcomes]


def located(at: Parts, eid: str) -> tuple[str, int, tuple[str, ...]]:
    """The enterprise id that answers, how many locations it has, and what was split off."""
    (identity,) = at.locator.locate(EnterpriseId(eid))
    return identity.eid, len(identity.locations), identity.split


def test_a_merged_enterprise_id_answers_with_the_older_one(at, ring):
    """The younger id stands for the older one in every lookup, and records of both are found under it."""
    one, other = register(at, ring, SOMCHAI, MALEE)
    done = at.stewardship.merge(other, one, STEWARD, "r")
    assert done.eids == (one,)
    assert located(at, one) == located(at, other) == (one, 2, ())
    view, _ = at.stewardship.identity(other)
    assert (view.eid, view.retired, [member.record for member in view.members]) == (one, (other,), [1, 2])
    assert view.bonds == ((1, 2, "must_link"),)


def test_a_split_identity_says_what_was_split_off(at, ring):
    """The older id answers on, and names the new one, also once that is merged away."""
    one, other = register(at, ring, SOMCHAI, MALEE)
    at.stewardship.merge(one, other, STEWARD, "r")
    (kept, fresh) = sorted(at.stewardship.split(one, [[1]], STEWARD, "r").eids, key=lambda eid: eid != one)
    assert kept == one
    assert located(at, one) == (one, 1, (fresh,))
    assert located(at, fresh) == (fresh, 1, ())
    (third,) = register(at, ring, PRANEE)
    at.stewardship.merge(third, fresh, STEWARD, "r")
    assert located(at, one) == (one, 1, (fresh,))
    assert located(at, third) == (fresh, 2, ())


def test_decisions_outlive_new_registrations(at, ring):
    """Registered anew, a record that a steward parted does not go back, and one that was linked does not leave."""
    (eid,) = register(at, ring, SOMCHAI)
    twin = raw("สมชาย ใจดี", "9", **PERSON)
    assert register(at, ring, twin) == [eid]
    (parted,) = set(at.stewardship.unlink(2, STEWARD, "r").eids) - {eid}
    changed = raw("นาย สมชาย ใจดี", "9", phone="0812345678", **PERSON)
    assert register(at, ring, changed) == [parted]
    (stranger,) = register(at, ring, MALEE)
    at.stewardship.link(3, 1, STEWARD, "r")
    assert register(at, ring, raw("นางมาลี ทองดี", "2", birth_date="04/09/2499", sex="2")) == [eid]
    assert located(at, stranger)[0] == eid


def test_a_decision_outlives_a_retraction(at, ring):
    """A record that comes back after it was retracted is the same one to stewards."""
    (eid,) = register(at, ring, SOMCHAI)
    twin = raw("สมชาย ใจดี", "9", **PERSON)
    register(at, ring, twin)
    at.stewardship.unlink(2, STEWARD, "r")
    token = LocalIdToken(encoded(ring, "10661", twin)[0].local_id_token)
    assert at.registry.retract("10661", token, ACTOR)[0]
    assert register(at, ring, twin) != [eid]


def test_a_retired_identity_that_a_revision_emptied_leads_on(at, ring):
    """When its only record turns out to be another person, the id leads to where that record is."""
    (eid,) = register(at, ring, SOMCHAI)
    (wrong,) = register(at, ring, raw("ก ข", "9", birth_date="01/02/2500", sex="2"))
    assert register(at, ring, raw("สมชาย ใจดี", "9", **PERSON)) == [eid]
    assert located(at, wrong) == (eid, 2, ())


def test_an_undo_by_call_takes_a_whole_batch_back(at, ring):
    """Everything that one call registered goes, nothing else does, and undoing the undo brings it back."""
    (eid,) = register(at, ring, SOMCHAI, request="good")
    register(at, ring, raw("สมชาย ใจดี", "9", **PERSON), MALEE, facility="HL001", request="bad")
    meant = Selection(request="bad")
    preview = at.stewardship.undo(meant, STEWARD, "", preview=True)
    assert (preview.undone, preview.left, preview.identities, preview.request) == (2, (), 2, "")
    assert preview.look_ups > 3
    assert located(at, eid)[1] == 2
    done = at.stewardship.undo(meant, STEWARD, "undo-1")
    assert (done.undone, done.identities, done.look_ups) == (preview.undone, preview.identities, preview.look_ups)
    assert at.store.count()[:2] == (1, 1)
    token = Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, "3320100123459")
    assert at.locator.locate(token) == ()
    at.stewardship.undo(Selection(request="undo-1"), STEWARD, "undo-2")
    assert at.store.count()[:2] == (3, 2)
    assert len(at.locator.locate(token)) == 1


@pytest.mark.parametrize(
    "meant",
    [
        Selection(facility="HL001"),
        Selection(actor=ACTOR, since=datetime(2020, 1, 1, tzinfo=UTC), revisions=(2,)),
        Selection(rules_digest=th_v1().model.digest, facility="HL001"),
        Selection(revisions=(2,)),
    ],
)
def test_an_undo_by_any_cause(at, ring, meant):
    """Changes are meant by facility, actor, rules, time or number."""
    register(at, ring, SOMCHAI)
    register(at, ring, MALEE, facility="HL001")
    assert at.stewardship.undo(meant, STEWARD, "u").undone == 1
    assert at.store.count()[0] == 1


def test_an_undo_that_later_changes_build_on_is_refused_or_keeps_them(at, ring):
    """Without leave nothing is undone; with it, what later changes build on stays."""
    one, other = register(at, ring, SOMCHAI, MALEE, request="bad")
    register(at, ring, raw("นายสมชาย ใจดีมาก", "1", **PERSON))
    with pytest.raises(Conflict) as refused:
        at.stewardship.undo(Selection(request="bad"), STEWARD, "u")
    assert refused.value.revisions == (1,)
    assert at.store.head() == 3
    done = at.stewardship.undo(Selection(request="bad"), STEWARD, "u", keep_later=True)
    assert (done.undone, done.left) == (1, (1,))
    assert at.locator.locate(EnterpriseId(other)) == ()
    assert located(at, one)[1] == 1


def test_an_undone_revision_brings_the_old_numbers_back(at, ring):
    """Lookups by the numbers of the content before find the record again, those after find it no more."""
    register(at, ring, SOMCHAI)
    register(at, ring, raw("นางมาลี สีดา", "1", birth_date="04/09/2499", sex="2", national_id="3320100123459"))
    at.stewardship.undo(Selection(revisions=(2,)), STEWARD, "u")
    tokens = Tokeniser(ring.current)
    assert len(at.locator.locate(tokens.identifier(IdentifierKind.NATIONAL_ID, "1103702488992"))) == 1
    assert at.locator.locate(tokens.identifier(IdentifierKind.NATIONAL_ID, "3320100123459")) == ()
    assert register(at, ring, SOMCHAI)
    assert at.store.head() == 3, "the old content is the one last registered again"


def test_an_undo_of_everything_needs_to_be_said(at):
    """An empty selection means no change, not all of them."""
    with pytest.raises(InputRejected):
        at.stewardship.undo(Selection(), STEWARD, "u")
    with pytest.raises(NotFound):
        at.stewardship.undo(Selection(request="unknown"), STEWARD, "u")


def test_the_past_is_answered_as_it_was(at, ring):
    """An identity and its locations as of a revision or a time: before a merge, after it, and after a revision."""
    one, other = register(at, ring, SOMCHAI, MALEE)
    before = at.store.head()
    at.stewardship.merge(one, other, STEWARD, "r")
    merged = at.store.head()
    register(at, ring, raw("นายสมชาย ใจดีมาก", "1", **PERSON))
    at.stewardship.undo(Selection(revisions=(merged,)), STEWARD, "u")
    past = {revision: at.stewardship.identity(other, revision)[0] for revision in (before, merged)}
    assert [(view.eid, len(view.members)) for view in past.values()] == [(other, 1), (one, 2)]
    assert at.history.locate_at(EnterpriseId(other), merged).answers[0][0].eid == one
    assert len(at.history.locate_at(EnterpriseId(one), merged).answers[0][0].locations) == 2
    contents = [at.stewardship.identity(one, revision)[0].members[0].registered for revision in range(1, 6)]
    assert contents == [1, 1, 1, 4, 4]
    now = datetime.now(UTC)
    assert at.stewardship.identity(one, now) == (at.stewardship.identity(one, 5)[0], 5)
    with pytest.raises(NotFound):
        at.stewardship.identity(other, 1)
    with pytest.raises(InputRejected):
        at.stewardship.identity(one, 99)
    with pytest.raises(RecordRejected):
        at.history.locate_at(Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, "1103702488992"), 1)


def test_a_task_is_answered_once(at, ring):
    """A possible link is decided as one person or two, and cannot be decided again."""
    register(at, ring, SOMCHAI)
    number_alone = raw("นางปราณี ทองดี", "7", birth_date="20/11/2510", sex="2", national_id="1103702488992")
    outcomes, _ = at.registry.register(encoded(ring, "HL001", number_alone), ACTOR)
    assert outcomes[0].decision is Decision.REVIEW
    (task,) = open_tasks(at)
    done = decided(at, task.number, same=False)
    assert len(done.eids) == 2
    assert open_tasks(at) == []
    with pytest.raises(Conflict):
        decided(at, task.number, same=True)
    with pytest.raises(NotFound):
        decided(at, 99, same=True)
    with pytest.raises(Conflict):
        at.stewardship.merge(task.task.eid, task.task.rival, STEWARD, "r")


def test_a_task_said_to_be_one_person_links(at, ring):
    """The record's identity becomes one with the identity that it may belong to."""
    (eid,) = register(at, ring, SOMCHAI)
    number_alone = raw("นางปราณี ทองดี", "7", birth_date="20/11/2510", sex="2", national_id="1103702488992")
    register(at, ring, number_alone, facility="HL001")
    (task,) = open_tasks(at)
    assert decided(at, task.number, same=True).eids == (eid,)
    assert located(at, eid)[1] == 2


@pytest.mark.parametrize("same", [True, False])
def test_a_task_that_was_answered_otherwise_can_be_closed(at, ring, same):
    """What a steward said about the two records already is no second change, and the task waits no longer."""
    register(at, ring, SOMCHAI)
    number_alone = raw("นางปราณี ทองดี", "7", birth_date="20/11/2510", sex="2", national_id="1103702488992")
    register(at, ring, number_alone, facility="HL001")
    at.stewardship.link(1, 2, STEWARD, "r")
    if not same:
        at.stewardship.unlink(2, STEWARD, "r")
    head = at.store.head()
    (task,) = open_tasks(at)
    assert len(decided(at, task.number, same=same).eids) == (1 if same else 2)
    assert open_tasks(at) == []
    assert at.store.head() == head


def test_a_clock_that_jumps_back_changes_no_order(at, ring, monkeypatch):
    """Revisions are the order; a window of time takes what was written down in it, whatever the clock said before."""
    hours = iter([10, 9, 11, 12])

    class Clock:
        @staticmethod
        def now(zone):
            return datetime(2026, 6, 30, next(hours), tzinfo=zone)

    with monkeypatch.context() as patched:
        patched.setattr("mpi.store.writing.datetime", Clock)
        for row in (SOMCHAI, MALEE, PRANEE):
            register(at, ring, row)
    changes, head = at.stewardship.changes(Selection(), 0, 10)
    assert ([change.revision for change in changes], head) == ([1, 2, 3], 3)
    assert [change.cause.at.hour for change in changes] == [10, 9, 11]
    late = Selection(since=datetime(2026, 6, 30, 10, 30, tzinfo=UTC))
    assert at.stewardship.undo(late, STEWARD, "u").undone == 1
    assert at.store.count()[0] == 2
    assert verify(at.index, at.store) == []


PEOPLE = [SOMCHAI, MALEE, PRANEE, raw("สมชาย ใจดี", "4", **PERSON), raw("นายวิชัย แก้ว", "5", birth_date="01/07/2533")]
WANNA = {"birth_date": "15/03/2525", "sex": "2"}
PEOPLE += [
    raw("นางสาววรรณา ใจดี", "6", **WANNA),  # her maiden name, her married name, and a record that shows them one
    raw("นางวรรณา ศรีสุขสวัสดิ์", "7", national_id="3101500012347", **WANNA),
    raw("นางสาววรรณา ใจดี", "8", national_id="3101500012347", **WANNA),
]


class Centre(RuleBasedStateMachine):
    """Any order of registrations and decisions, on a real store and index."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.temporary = tempfile.TemporaryDirectory()
        folder = Path(self.temporary.name)
        self.ring = key_ring(folder)
        store = open_sqlite(folder / "store.db", AT_REST, th_v1().stored_digest)
        self.context = joined(store, folder / "index", (self.ring.current.name,))
        self.at = self.context.__enter__()
        self.eids: dict[str, None] = {}

    def teardown(self) -> None:
        assert verify(self.at.index, self.at.store) == []
        self.context.__exit__(None, None, None)
        self.temporary.cleanup()

    def attempt(self, operation) -> None:
        head = self.at.store.head()
        try:
            operation(self.at.stewardship)
        except MpiError:
            assert self.at.store.head() == head

    @rule(who=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=4), phone=st.sampled_from(["", "0812345678"]))
    def register(self, who: list[RawDemographics], phone: str) -> None:
        """One batch; a person may come in it twice."""
        self.eids |= dict.fromkeys(register(self.at, self.ring, *(replace(row, phone=phone) for row in who)))

    @rule(who=st.integers(0, len(PEOPLE) - 1), erase=st.booleans())
    def retract(self, who: int, erase: bool) -> None:
        token = LocalIdToken(encoded(self.ring, "10661", PEOPLE[who])[0].local_id_token)
        self.at.registry.retract("10661", token, ACTOR, erase=erase and who == 4)

    @rule(one=st.integers(1, 8), other=st.integers(1, 8))
    def link(self, one: int, other: int) -> None:
        self.attempt(lambda steward: steward.link(one, other, STEWARD, "r"))

    @rule(record=st.integers(1, 8))
    def unlink(self, record: int) -> None:
        self.attempt(lambda steward: steward.unlink(record, STEWARD, "r"))

    @rule(picks=st.tuples(st.integers(0, 99), st.integers(0, 99)))
    def merge(self, picks: tuple[int, int]) -> None:
        if self.eids:
            one, other = (list(self.eids)[pick % len(self.eids)] for pick in picks)
            self.attempt(lambda steward: steward.merge(one, other, STEWARD, "r"))

    @rule(pick=st.integers(0, 99), keep_later=st.booleans())
    def undo(self, pick: int, keep_later: bool) -> None:
        # What is drawn depends on nothing that random keys decide, so that a failure can be played again.
        revision = 1 + pick % (self.at.store.head() + 1)
        meant = Selection(revisions=(revision, revision + 1))
        self.attempt(lambda steward: steward.undo(meant, STEWARD, "u", keep_later=keep_later))

    @invariant()
    def the_log_gives_the_state(self) -> None:
        """Replaying the log gives what the tables say, decisions hold, and every id ever given has one answer."""
        replayed = Grouping()
        for change in self.at.store.changes(0):
            replayed.apply(change.revision, change.event)
        with self.at.store.reading() as reading:
            state = reading.grouping(self.eids, range(1, 12))
            assert dict(reading.redirects()) == replayed.redirects
        assert state.eids == replayed.eids
        assert state.bonds == replayed.bonds
        assert state.violations(state.eids) == []
        for eid in self.eids:
            answer = self.at.locator.locate(EnterpriseId(eid))
            assert [each.eid for each in answer] == ([state.resolve(eid)] if state.members(state.resolve(eid)) else [])


TestCentre = Centre.TestCase
TestCentre.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_what_has_changed_since_it_was_looked_at_is_left_alone(at, ring):
    """Whoever decides about what is no longer there is told, whichever of the identities it was; nothing is changed."""
    one, other = register(at, ring, SOMCHAI, MALEE)
    _, seen = at.stewardship.identity(one)
    done = at.stewardship.merge(one, other, STEWARD, "r", seen=seen)
    for attempt in (
        lambda: at.stewardship.split(one, [[1]], STEWARD, "r", seen=seen),
        lambda: at.stewardship.merge(other, one, STEWARD, "r", seen=seen),
    ):
        with pytest.raises(Conflict, match="look at it again"):
            attempt()
    assert at.store.head() == done.change
    (third,) = register(at, ring, PRANEE)  # what happens to others does not matter
    assert len(at.stewardship.split(one, [[1]], STEWARD, "r", seen=done.change).eids) == 2
    with pytest.raises(Conflict, match="look at it again"):
        at.stewardship.merge(third, one, STEWARD, "r", seen=done.change + 1)
