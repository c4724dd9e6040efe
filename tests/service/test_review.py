"""The queue of tasks: who works on what, what a person sees, what a verdict does, and how it is taken back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mpi.domain.changes import Selection
from mpi.domain.consent import Policy
from mpi.domain.identifiers import LocalIdToken
from mpi.domain.identity import Decision, Registration
from mpi.domain.review import Answer, RemarkKind, TaskFilter, TaskKind, TaskStatus, Verdict
from mpi.encoder.demographics import RawDemographics
from mpi.encoder.keys import KeyRing
from mpi.errors import Conflict, InputRejected, NotFound
from mpi.index.projector import verify
from mpi.service.matching import Matching
from mpi.service.policy import load_policy
from mpi.service.questions import Questions
from mpi.service.review import LEASE, Review
from tests.building import encoded, key_ring, raw, th_v1
from tests.databases import BACKENDS, database
from tests.service.centres import ACTOR, STEWARD, Parts, joined

OTHER = "urn:mpi:steward:malee"
THIRD = "urn:mpi:steward:wichai"
SOMCHAI = raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1", national_id="1103702488992")
NUMBER_ALONE = raw("นางปราณี ทองดี", "2", birth_date="20/11/2510", sex="2", national_id="1103702488992")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return key_ring(tmp_path)


@pytest.fixture(params=BACKENDS)
def at(request: pytest.FixtureRequest, tmp_path: Path, ring: KeyRing) -> Iterator[Parts]:
    with (
        database(request.param, tmp_path, th_v1().stored_digest) as opener,
        joined(opener(), tmp_path / "index", (ring.current.name,)) as parts,
    ):
        yield parts
        assert verify(parts.index, parts.store) == []


def review_of(at: Parts, clock: Clock | None = None, policy: Policy | None = None, confirm: int = 10) -> Review:
    rules = th_v1()
    matching = Matching(rules.profile, rules.model)
    return Review(at.store, at.index, matching, rules, policy or load_policy(), confirm, clock or Clock())


def register(at: Parts, ring: KeyRing, row: RawDemographics, facility: str = "10661") -> Registration:
    (outcome,), _ = at.registry.register(encoded(ring, facility, row), ACTOR, f"{facility}-{row.local_id}")
    assert isinstance(outcome, Registration)
    return outcome


def number_of(turn: int) -> str:
    """A national id with its check digit."""
    digits = f"11037024{turn:04d}"
    return f"{digits}{(11 - sum(int(digit) * (13 - place) for place, digit in enumerate(digits)) % 11) % 10}"


def doubtful(at: Parts, ring: KeyRing, count: int = 1) -> list[int]:
    """Raise tasks, each about two people with one number; gives their numbers."""
    for turn in range(count):
        number = number_of(turn)
        one = raw("นายสมชาย ใจดี", f"a{turn}", birth_date=f"{turn % 28 + 1}/03/2525", sex="1", national_id=number)
        other = raw("นางปราณี ทองดี", f"b{turn}", birth_date=f"{turn % 28 + 1}/11/2510", sex="2", national_id=number)
        register(at, ring, one)
        assert register(at, ring, other, "11111").decision is Decision.REVIEW
    return [listed.held.number for listed in at.review.tasks(most=1000)[0]]


def test_a_task_shows_what_a_person_needs(at, ring):
    """Both identities, what the records say of each other in words, and what would come of a link."""
    (number,) = doubtful(at, ring)
    detail = at.review.task(number)
    assert detail.listed.held.task.kind is TaskKind.OVERLAY
    assert detail.listed.facilities == ("10661", "11111")
    assert [len(side.members) for side in (detail.left, detail.right)] == [1, 1]
    (pair,) = detail.pairs
    assert (pair.record, pair.other) == (2, 1)
    assert pair.weight == pytest.approx(sum(term.weight for term in pair.terms))
    assert {term.comparison: term.level for term in pair.terms}["national_id"] == "agree"
    assert all(term.english and term.thai for term in pair.terms)
    what = detail.if_linked
    assert (what.eid, what.records, what.facilities) == (detail.right.eid, 2, ("10661", "11111"))
    assert (what.veto, what.forbidden, what.confirmation) == ("", False, False)
    assert detail.revision == at.store.head()
    with pytest.raises(NotFound):
        at.review.task(99)


def test_the_weight_shown_is_the_weight_that_decided(at, ring):
    """What a person reads is what registration weighed, to the last bit."""
    (number,) = doubtful(at, ring)
    detail = at.review.task(number)
    assert detail.pairs[0].weight == detail.listed.held.task.weight


def test_the_most_valuable_task_comes_first(at, ring):
    """The queue goes by the records that an answer is expected to help; pages follow each other without a gap."""
    numbers = doubtful(at, ring, 7)
    for turn in range(3):  # the last pair's first person is known better than the others
        row = raw("นายสมชาย ใจดี", f"c{turn}", birth_date="7/03/2525", sex="1", national_id=number_of(6))
        register(at, ring, row, f"2222{turn}")
    late = raw("นางวันเพ็ญ สีดา", "d", birth_date="9/09/2500", sex="2", national_id=number_of(6))
    assert register(at, ring, late, "33333").decision is Decision.REVIEW
    first, place = at.review.tasks(most=3)
    assert first[0].held.number not in numbers
    assert first[0].held.task.priority > first[1].held.task.priority
    seen = [listed.held.number for listed in first]
    while place is not None:
        page, place = at.review.tasks(after=place, most=3)
        seen += [listed.held.number for listed in page]
    assert seen == [listed.held.number for listed in at.review.tasks(most=1000)[0]]
    assert set(seen) > set(numbers)


def test_filters(at, ring):
    """Tasks by kind, reason, facility and weight; what is not meant is left out."""
    numbers = doubtful(at, ring, 3)
    every = [listed.held for listed in at.review.tasks()[0]]
    weights = sorted(held.task.weight for held in every)

    def found(**wanted: object) -> int:
        return len(at.review.tasks(TaskFilter(**wanted))[0])

    assert found(kind=TaskKind.OVERLAY) == found(why="number_alone") == found(facility="11111") == len(numbers)
    assert found(kind=TaskKind.OVER_MERGE) == found(why="possible") == found(facility="99999") == 0
    assert found(least=weights[0], most=weights[-1]) == 3
    assert found(least=weights[-1] + 1) == found(status=TaskStatus.SAME) == found(assignee=STEWARD) == 0
    at.review.assign(numbers[0], STEWARD, OTHER)
    assert found(assignee=STEWARD) == 1
    at.review.assign(numbers[0], "", OTHER)
    assert found(assignee=STEWARD) == 0


def test_a_filter_that_finds_few_goes_on(at, ring, monkeypatch):
    """A page looks through so many tasks and no more; its cursor goes on from there."""
    monkeypatch.setattr("mpi.service.review._SCANNED", 2)
    doubtful(at, ring, 5)
    meant, place, pages = TaskFilter(facility="99999"), None, 0
    while True:
        page, place = at.review.tasks(meant, place, 1)
        assert page == []
        pages += 1
        if place is None:
            break
    assert pages > 1


def test_a_claim_holds_for_a_while(at, ring):
    """Who has claimed a task decides it; another steward is told, and may when the while is over."""
    clock = Clock()
    review, (number,) = review_of(at, clock), doubtful(at, ring)
    claimed = review.claim(0, None, STEWARD)
    assert (claimed.held.number, claimed.held.holder) == (number, STEWARD)
    assert claimed.held.held_until == clock.time + LEASE
    with pytest.raises(Conflict, match="another steward"):
        review.claim(number, None, OTHER)
    with pytest.raises(Conflict, match="another steward"):
        review.decide(number, Verdict.SAME, OTHER, "r")
    with pytest.raises(NotFound):
        review.claim(0, None, OTHER)
    assert review.tasks(TaskFilter(unclaimed_by_others=OTHER))[0] == []
    assert len(review.tasks(TaskFilter(unclaimed_by_others=STEWARD))[0]) == 1
    assert len(review.tasks(TaskFilter(holder=STEWARD))[0]) == 1
    clock.time += LEASE
    assert review.claim(number, None, OTHER).held.holder == OTHER
    review.release(number, STEWARD)  # not his any longer
    assert review.task(number).listed.held.holder == OTHER
    review.release(number, OTHER)
    assert review.claim(number, None, STEWARD).held.holder == STEWARD


def test_two_stewards_at_once(at, ring):
    """Of two verdicts at the same moment one counts, and the other steward is told."""
    (number,) = doubtful(at, ring)
    start, told = threading.Barrier(2), []

    def decide(actor: str, verdict: Verdict) -> None:
        start.wait()
        try:
            told.append(at.review.decide(number, verdict, actor, actor).status)
        except Conflict as refused:
            told.append(refused.message)

    threads = [
        threading.Thread(target=decide, args=pair) for pair in ((STEWARD, Verdict.SAME), (OTHER, Verdict.DIFFERENT))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [each for each in told if isinstance(each, TaskStatus)]
    assert len(statuses) == 1
    assert "the task is no longer open" in told
    assert at.review.task(number).listed.held.status is statuses[0]


def test_a_stale_page_decides_nothing(at, ring):
    """An identity that changed after the steward looked makes the verdict fail; looking again helps."""
    (number,) = doubtful(at, ring)
    seen = at.review.task(number).revision
    row = raw("นายสมชาย ใจดี", "c", birth_date="1/03/2525", sex="1", national_id=number_of(0))
    register(at, ring, row, "22222")
    eid = at.review.task(number).right.eid
    assert len(at.review.task(number).right.members) == 2, eid
    with pytest.raises(Conflict, match="look again"):
        at.review.decide(number, Verdict.SAME, STEWARD, "r", seen=seen)
    seen = at.review.task(number).revision
    assert at.review.decide(number, Verdict.SAME, STEWARD, "r", seen=seen).status is TaskStatus.SAME


def test_a_verdict_is_taken_back_and_given_again(at, ring):
    """Undoing the change opens the task; undoing that closes it; every step is remembered."""
    (number,) = doubtful(at, ring)
    done = at.review.decide(number, Verdict.SAME, STEWARD, "r", reason="typing_error", text="โทรถามแล้ว")
    assert at.review.tasks()[0] == []
    assert at.review.task(number).if_linked is None
    at.stewardship.undo(Selection(revisions=(done.regrouped.change,)), OTHER, "u")
    assert at.review.task(number).listed.held.status is TaskStatus.OPEN
    assert len(at.review.tasks()[0]) == 1
    at.stewardship.undo(Selection(request="u"), OTHER, "v")
    assert at.review.task(number).listed.held.status is TaskStatus.SAME
    remarks = at.review.task(number).remarks
    assert [(each.kind, each.actor) for each in remarks] == [
        (RemarkKind.VERDICT, STEWARD),
        (RemarkKind.UNDONE, OTHER),
        (RemarkKind.UNDONE, OTHER),
    ]
    assert (remarks[0].word, remarks[0].reason, remarks[0].text) == ("same", "typing_error", "โทรถามแล้ว")


def test_what_is_kept_apart_stays_apart(at, ring):
    """A verdict "two persons" outlives new content of a record, and raises no task again."""
    (number,) = doubtful(at, ring)
    at.review.decide(number, Verdict.DIFFERENT, STEWARD, "r")
    again = raw("นางปราณี ทองดี", "b0", birth_date="2/11/2510", sex="2", national_id=number_of(0))
    register(at, ring, again, "11111")
    assert at.review.tasks()[0] == []


def test_new_content_asks_again(at, ring):
    """A record that is registered with new content and is still in doubt has one open task, not none."""
    (number,) = doubtful(at, ring)
    again = raw("นางปราณี ทองดี", "b0", birth_date="2/11/2510", sex="2", national_id=number_of(0))
    assert register(at, ring, again, "11111").decision is Decision.REVIEW
    (listed,) = at.review.tasks()[0]
    assert listed.held.task.record == 2
    assert listed.held.number > number
    assert at.review.task(number).listed.held.status is TaskStatus.SETTLED


def test_nobody_can_tell(at, ring):
    """Such a task leaves the queue without a change, is not asked again by others, and can still be decided."""
    (number,) = doubtful(at, ring)
    head = at.store.head()
    assert at.review.decide(number, Verdict.UNSURE, STEWARD, "r").regrouped is None
    assert at.store.head() == head
    assert at.review.tasks()[0] == []
    assert len(at.review.tasks(TaskFilter(status=TaskStatus.UNSURE))[0]) == 1
    assert at.review.decide(number, Verdict.SAME, OTHER, "r").status is TaskStatus.SAME


def test_two_stewards_have_to_agree_on_much(at, ring):
    """A link that makes a large identity waits for a second steward; they may disagree, and a third one decides."""
    review, (number,) = review_of(at, confirm=2), doubtful(at, ring)
    assert review.task(number).if_linked.confirmation
    assert review.decide(number, Verdict.SAME, STEWARD, "r").status is TaskStatus.CONFIRMING
    assert at.store.head() == 2
    with pytest.raises(Conflict, match="second steward"):
        review.decide(number, Verdict.SAME, STEWARD, "r")
    assert review.decide(number, Verdict.DIFFERENT, OTHER, "r").status is TaskStatus.OPEN
    assert review.decide(number, Verdict.SAME, THIRD, "r").status is TaskStatus.CONFIRMING
    assert review.decide(number, Verdict.SAME, OTHER, "r").status is TaskStatus.SAME
    assert at.store.head() == 3
    board = {each.steward: each for each in review.dashboard().stewards}
    assert (board[OTHER].decided, board[OTHER].seconded, board[OTHER].agreed) == (2, 3, 1)


def test_sensitive_facilities_need_two_stewards(at, ring):
    """Records of a facility whose name alone says something are joined by two people."""
    shipped = load_policy()
    policy = Policy(shipped.networks, {"psychiatry": frozenset({"11111"})})
    review, (number,) = review_of(at, policy=policy), doubtful(at, ring)
    assert review.decide(number, Verdict.SAME, STEWARD, "r").status is TaskStatus.CONFIRMING
    assert review.decide(number, Verdict.SAME, OTHER, "r").status is TaskStatus.SAME


def test_many_at_once(at, ring):
    """What a filter shows is decided together, each for itself, and undone by one name."""
    numbers = doubtful(at, ring, 4)
    at.review.claim(numbers[0], None, OTHER)
    done = at.review.decide_all(TaskFilter(kind=TaskKind.OVERLAY), numbers, Verdict.DIFFERENT, STEWARD, "bulk", "twins")
    assert [status for _, status, _ in done] == [None, *[TaskStatus.DIFFERENT] * 3]
    assert "another steward" in done[0][2]
    other = at.review.decide_all(TaskFilter(kind=TaskKind.OVER_MERGE), numbers[:1], Verdict.DIFFERENT, OTHER, "b2")
    assert other == [(numbers[0], None, "the filter does not mean it any longer")]
    undone = at.stewardship.undo(Selection(request="bulk"), STEWARD, "u")
    assert undone.undone == 3
    assert len(at.review.tasks()[0]) == 4


def test_remarks_are_bounded(at, ring):
    """A remark is text of a bounded length, and a reason is a code."""
    (number,) = doubtful(at, ring)
    at.review.comment(number, "<script>alert(1)</script>\u202e", "", STEWARD)
    assert at.review.task(number).remarks[0].text == "<script>alert(1)</script>\u202e"
    for text, reason in (("", ""), ("x" * 2001, ""), ("x", "not a code"), ("x", "a" * 41)):
        with pytest.raises(InputRejected):
            at.review.comment(number, text, reason, STEWARD)
    with pytest.raises(NotFound):
        at.review.comment(99, "x", "", STEWARD)


def test_facilities_are_asked(at, ring):
    """Each facility sees the question about its own record alone; when all have answered the task is open again."""
    questions, (number,) = Questions(at.store, at.review), doubtful(at, ring)
    assert at.review.decide(number, Verdict.ASK, STEWARD, "r").status is TaskStatus.ASKED
    (ours,), (theirs,) = (questions.waiting(facility, 0, 10) for facility in ("10661", "11111"))
    assert ours.pointer != theirs.pointer
    assert {term.comparison for term in ours.terms} >= {"national_id"}
    with pytest.raises(NotFound):
        questions.answer(ours.question.number, Answer.YES, "", "11111", "urn:mpi:facility:11111")
    questions.answer(ours.question.number, Answer.YES, "", "10661", "urn:mpi:facility:10661")
    assert questions.waiting("10661", 0, 10) == []
    assert at.review.task(number).listed.held.status is TaskStatus.ASKED
    questions.answer(theirs.question.number, Answer.NO, "typing_error", "11111", "urn:mpi:facility:11111")
    detail = at.review.task(number)
    assert detail.listed.held.status is TaskStatus.OPEN
    assert [(each.kind, each.word) for each in detail.remarks[1:]] == [
        (RemarkKind.ANSWER, "yes"),
        (RemarkKind.ANSWER, "no"),
    ]
    with pytest.raises(NotFound):
        questions.answer(theirs.question.number, Answer.NO, "", "11111", "urn:mpi:facility:11111")


def test_an_erased_record_takes_its_tasks_along(at, ring):
    """Erasing a record leaves no task, remark or question about it."""
    (number,) = doubtful(at, ring)
    at.review.comment(number, "บันทึก", "", STEWARD)
    at.review.decide(number, Verdict.ASK, STEWARD, "r")
    (record,) = encoded(ring, "11111", raw("x", "b0"))
    assert at.registry.retract("11111", LocalIdToken(record.local_id_token), ACTOR, erase=True)[0]
    with pytest.raises(NotFound):
        at.review.task(number)
    assert Questions(at.store, at.review).waiting("10661", 0, 10) == []


def test_a_graph_shows_what_joins_records(at, ring):
    """Records are nodes; an edge is a pair that speaks for one person, or that people decided about."""
    (number,) = doubtful(at, ring)
    row = raw("นายสมชาย ใจดี", "c", birth_date="1/03/2525", sex="1", national_id=number_of(0))
    register(at, ring, row, "22222")
    detail = at.review.task(number)
    at.review.decide(number, Verdict.DIFFERENT, STEWARD, "r")
    graph = at.review.graph([detail.left.eid, detail.right.eid])
    assert [(record, facility) for record, _, facility in graph.nodes] == [(1, "10661"), (2, "11111"), (3, "22222")]
    edges = {(each.record, each.other): each for each in graph.edges}
    assert edges[1, 3].carries
    assert edges[1, 2].bond == "cannot_link"
    assert not graph.truncated
    with pytest.raises(NotFound):
        at.review.graph(["00000000-0000-0000-0000-000000000000"])


def test_the_dashboard_counts(at, ring):
    """Open and decided tasks by day, what the weight was worth, and who decided."""
    numbers = doubtful(at, ring, 3)
    at.review.decide(numbers[0], Verdict.SAME, STEWARD, "r")
    done = at.review.decide(numbers[1], Verdict.DIFFERENT, STEWARD, "r")
    at.stewardship.undo(Selection(revisions=(done.regrouped.change,)), OTHER, "u")
    board = at.review.dashboard()
    counts = {(each.kind, each.status): each.count for each in board.counts}
    assert counts == {(TaskKind.OVERLAY, TaskStatus.OPEN): 2, (TaskKind.OVERLAY, TaskStatus.SAME): 1}
    ((day, opened, decided),) = board.days
    today = (datetime.now(UTC) + timedelta(hours=7)).date()
    assert (opened, decided) == (3, 1)
    assert abs((today - day).days) <= 1
    (steward,) = board.stewards
    assert (steward.steward, steward.decided, steward.undone) == (STEWARD, 2, 1)
    assert [(band.same, band.different) for band in board.bands] == [(1, 0)]
    assert dict(board.facilities) == {"10661": 2, "11111": 2}
