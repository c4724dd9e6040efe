"""What people's decisions become labels of, and what new rules would change, on real stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mpi.domain.changes import Selection
from mpi.domain.identifiers import LocalIdToken
from mpi.domain.identity import Decision
from mpi.domain.learning import Label, Thresholds
from mpi.domain.review import TaskKind, Verdict
from mpi.encoder.keys import KeyRing
from mpi.errors import InputRejected, RateLimited
from mpi.rules import Rules, load_rules, rule_file
from mpi.service.learning import Learning, foresee, labels
from tests.building import encoded, key_ring, raw, th_v1
from tests.databases import BACKENDS, database
from tests.service.centres import ACTOR, STEWARD, Parts, joined
from tests.service.test_review import doubtful, register


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


def with_rules(**changes: object) -> Rules:
    """The rules with other thresholds."""
    rules = th_v1()
    return replace(rules, model=replace(rules.model, decision=replace(rules.model.decision, **changes)))


def test_each_decision_is_a_label(at, ring):
    """Same and different become labels with the levels that the steward saw; what nobody decided becomes none."""
    first, second, third, fourth = doubtful(at, ring, 4)
    seen = {term.comparison: term.level for term in at.review.task(first).pairs[0].terms}
    at.review.decide(first, Verdict.SAME, STEWARD, "r")
    at.review.decide(second, Verdict.DIFFERENT, STEWARD, "r")
    at.review.decide(third, Verdict.UNSURE, STEWARD, "r")
    found = sorted(labels(at.store, at.index, th_v1()), key=lambda label: label.same)
    assert [(label.same, label.kind) for label in found] == [(False, TaskKind.OVERLAY), (True, TaskKind.OVERLAY)]
    assert found[1].levels == seen
    assert [Label.from_line(label.to_line()) for label in found] == found
    assert at.review.task(fourth).listed.held.decided is None


def test_a_decision_that_was_taken_back_is_no_label(at, ring):
    """Undo opens the task again; nothing of the verdict is learned."""
    (number,) = doubtful(at, ring)
    at.review.decide(number, Verdict.SAME, STEWARD, "wrong")
    assert len(list(labels(at.store, at.index, th_v1()))) == 1
    at.stewardship.undo(Selection(request="wrong"), STEWARD, "undo")
    assert list(labels(at.store, at.index, th_v1())) == []


def test_a_record_that_is_gone_leaves_no_label(at, ring):
    """What is held no longer is not learned from."""
    (number,) = doubtful(at, ring)
    at.review.decide(number, Verdict.DIFFERENT, STEWARD, "r")
    (record,) = encoded(ring, "11111", raw("x", "b0"))
    at.registry.retract("11111", LocalIdToken(record.local_id_token), ACTOR, erase=False)
    assert list(labels(at.store, at.index, th_v1())) == []


@pytest.mark.parametrize(
    "line",
    ["", "[]", "{}", '{"same": 1, "kind": "overlay", "levels": {}}', '{"same": true, "kind": "x", "levels": {}}',
     '{"same": true, "kind": "overlay", "levels": {"A": 1}}', '{"same": true, "kind": "overlay", "levels": []}'],
)  # fmt: skip
def test_a_line_that_is_no_label_is_refused(line):
    """Only what `to_line` writes is read."""
    with pytest.raises(ValueError, match=r".*"):
        Label.from_line(line)


def people(at: Parts, ring: KeyRing) -> None:
    """Three people at two facilities each, who link by number, and two people alone."""
    for turn, number in enumerate(("1103702488992", "3320100123459", "1101700230708")):
        birth = f"{turn + 3}/03/25{turn}5"
        row = raw(("นายสมชาย ใจดี", "นางมาลี สีดา", "นายวิชัย แก้วมณี")[turn], f"p{turn}", birth_date=birth, sex="1")
        row = replace(row, national_id=number)
        register(at, ring, row)
        assert register(at, ring, row, "11111").decision is Decision.LINK
    register(at, ring, raw("นายเกษม ทองดี", "alone", birth_date="9/09/2500", sex="1"))


def test_the_same_rules_change_nothing(at, ring):
    """Every record falls into a stratum of what both do; none is gained or lost."""
    people(at, ring)
    head = at.store.head()
    seen = foresee(at.store, at.index, th_v1(), th_v1(), 100)
    assert (seen.records, seen.sampled, sum(seen.strata.values())) == (7, 7, 7)
    assert all(stratum.before == stratum.after and not stratum.moved for stratum in seen.strata)
    assert {stratum.before[0] for stratum in seen.strata} == {Decision.LINK, Decision.NEW}
    assert (seen.gained, seen.lost) == (0, 0)
    assert at.store.head() == head


def test_stricter_rules_lose_links_and_the_other_way_round_gain_them(at, ring):
    """With thresholds that nothing reaches six records would not link; seen from there, today's rules gain six."""
    people(at, ring)
    strict = with_rules(link=1000.0, demographics=1000.0)
    lost = foresee(at.store, at.index, th_v1(), strict, 100)
    assert (lost.gained, lost.lost) == (0, 6)
    assert {stratum.after[0] for stratum in lost.strata if stratum.loses} == {Decision.REVIEW}
    gained = foresee(at.store, at.index, strict, th_v1(), 100)
    assert (gained.gained, gained.lost) == (6, 0)


def test_people_s_decisions_stand_against_new_rules(at, ring):
    """Rules that would link what people kept apart, or never ask about what people joined, are told of."""
    same, different = doubtful(at, ring, 2)
    at.review.decide(same, Verdict.SAME, STEWARD, "r")
    at.review.decide(different, Verdict.DIFFERENT, STEWARD, "r")
    seen = foresee(at.store, at.index, th_v1(), th_v1(), 100)
    assert (seen.decided, seen.linked_against, seen.missed) == (2, 0, 0)
    loose = with_rules(demographics=-1000.0, supports={"A": "elsewhere"})
    assert foresee(at.store, at.index, th_v1(), loose, 100).linked_against == 1
    blind = with_rules(identifying=(), review=1000.0, shared_phone=1000.0)
    assert foresee(at.store, at.index, th_v1(), blind, 100).missed == 1


def test_a_sample_is_no_larger_than_asked_for(at, ring):
    """Of many records a few are looked at, and the same ones again."""
    people(at, ring)
    one, other = (foresee(at.store, at.index, th_v1(), th_v1(), 3) for _ in range(2))
    assert one == other
    assert (one.records, one.sampled) == (7, 3)


def test_rules_of_another_profile_are_refused(at):
    """Records are encoded by a profile: weights under another one would mean nothing."""
    with pytest.raises(InputRejected, match="encoded anew"):
        foresee(at.store, at.index, th_v1(), load_rules(rule_file("latin-v1")), 3)


def test_a_preview_of_thresholds_is_that_of_the_rules_with_them(at, ring):
    """Whether thresholds are named or a whole file, the same is foreseen; without either it tells what holds."""
    for number in doubtful(at, ring, 3)[:2]:
        at.review.decide(number, Verdict.SAME, STEWARD, "r")
    learning = Learning(at.store, at.index, th_v1())
    decision = th_v1().model.decision
    present = learning.preview(None, 100)
    assert present.thresholds == Thresholds(decision.link, decision.review, decision.margin)
    assert (present.rules_digest, present.foresight.sampled) == (th_v1().model.digest, 0)
    seen = learning.preview(Thresholds(-50.0, -60.0, 0.0), 100).foresight
    expected = foresee(at.store, at.index, th_v1(), with_rules(link=-50.0, review=-60.0, margin=0.0), 100)
    assert seen == expected
    assert (seen.sampled, seen.decided) == (at.store.count()[0], 2)
    text = rule_file("th-v1").read_text(encoding="utf-8")
    assert learning.preview(text, 100).foresight.gained == 0


@pytest.mark.parametrize(
    ("candidate", "problem"),
    [
        (Thresholds(1.0, 2.0, 0.0), "review is not above link"),
        (Thresholds(float("nan"), 2.0, 0.0), "finite"),
        ("[", "not readable as TOML"),
        ("[[[[" * 5000, "not readable as TOML"),
        ("[profile]\n", "is missing"),
        (rule_file("latin-v1").read_text(encoding="utf-8"), "another profile"),
    ],
)
def test_what_cannot_be_rules_is_not_looked_ahead_with(at, candidate, problem):
    """Each is told as such."""
    with pytest.raises(InputRejected, match=problem):
        Learning(at.store, at.index, th_v1()).preview(candidate, 10)


def test_one_preview_runs_at_a_time(at, ring, monkeypatch):
    """A second one is told to wait, and the first is not the last."""
    learning = Learning(at.store, at.index, th_v1())
    inside = []

    def busy(*_: object, **__: object) -> object:
        with pytest.raises(RateLimited):
            learning.preview(Thresholds(2.0, 1.0, 0.0), 10)
        inside.append(True)
        return present.foresight

    present = learning.preview(None, 10)
    monkeypatch.setattr("mpi.service.learning.foresee", busy)
    for _ in range(2):
        learning.preview(Thresholds(2.0, 1.0, 0.0), 10)
    assert len(inside) == 2
