"""Comparison, weights and decisions."""

from __future__ import annotations

import random

import numpy as np
import pytest

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.identity import Decision
from mpi.linkage.comparison import channel_level, similarities, similarity
from mpi.linkage.decision import Candidate, Decider
from mpi.linkage.fellegi_sunter import Features, weigh
from tests.building import th_v1

MODEL = th_v1().model
EID, OTHER = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def features(channels: str = "ABCD", **numbers: bytes) -> Features:
    tokens = tuple(IdentifierToken(IdentifierKind(kind), value) for kind, value in numbers.items())
    return Features.of(tokens, frozenset(channels))


def candidate(similarity: dict[str, float], ours: Features, theirs: Features, **fields: object) -> Candidate:
    values = {"eid": EID, "members": 1, "veto": "", "bits": 0.0, **fields}
    return Candidate(score=weigh(MODEL, ours, theirs, similarity), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("fast", [False, True])
def test_fast_similarity_equals_the_plain_one(fast: bool) -> None:
    """The kernels and the plain form agree to the last bit on random vectors, also inside wider rows."""
    rows = random.Random(1)
    vectors = [rows.randbytes(128) for _ in range(200)]
    table = np.frombuffer(b"".join(vectors), np.uint8).reshape(-1, 128)
    expected = [similarity(vectors[0], v) for v in vectors]
    assert similarities(vectors[0], table, fast).tolist() == expected
    rows_of_a_bucket = np.hstack([np.zeros((200, 32), np.uint8), table])
    assert similarities(vectors[0], rows_of_a_bucket[:, 32:], fast).tolist() == expected
    assert similarities(vectors[0], table[:0], fast).tolist() == []


def test_levels_go_by_similarity_and_end_elsewhere() -> None:
    """A channel's level falls with similarity, and without a shared bucket it is elsewhere."""
    a = MODEL.comparisons["A"]
    reached = [channel_level(a, value).name for value in (1.0, 0.80, 0.60, 0.50)]
    assert reached == ["same", "near", "alike", "apart"]
    assert channel_level(a, None).name == "elsewhere"


def test_missing_values_weigh_nothing() -> None:
    """A channel or number that one side lacks is no evidence at all."""
    score = weigh(MODEL, features("AB"), features("CD", national_id=b"x" * 32), {})
    assert score.weight == 0.0
    assert score.evidence == ()


def test_weight_is_the_sum_of_its_evidence() -> None:
    """The weight of a pair is the sum of the terms that explain it."""
    ours, theirs = features(national_id=b"x" * 32), features(national_id=b"x" * 32)
    score = weigh(MODEL, ours, theirs, {"A": 0.99, "B": 0.8, "C": 0.5})
    assert score.weight == pytest.approx(sum(term.weight for term in score.evidence))
    assert score.agrees(IdentifierKind.NATIONAL_ID)


def test_a_number_alone_never_links() -> None:
    """A national id in common with demographics that all disagree goes to a person."""
    same = features(national_id=b"x" * 32)
    outcome = Decider(MODEL).decide([candidate({}, same, same)])
    assert (outcome.decision, outcome.why) == (Decision.REVIEW, "number_alone")


def test_a_veto_outranks_every_weight() -> None:
    """Two different national ids forbid a link however alike everything else is."""
    best = candidate(dict.fromkeys("ABCD", 1.0), features(), features(), veto="national_id")
    outcome = Decider(MODEL).decide([best])
    assert (outcome.decision, outcome.why) == (Decision.NEW, "national_id_veto")


def test_two_identities_equally_near_go_to_a_person() -> None:
    """Without a margin over the runner-up nobody is linked by chance."""
    one = candidate(dict.fromkeys("ABCD", 1.0), features(), features())
    two = candidate(dict.fromkeys("ABCD", 1.0), features(), features(), eid=OTHER)
    decider = Decider(MODEL)
    assert decider.decide([one, two]).why == "margin"
    assert decider.decide([one, two]) == decider.decide([two, one])


def test_a_large_identity_takes_nobody_without_a_person() -> None:
    """An identity that has grown suspiciously large is not linked to automatically."""
    grown = candidate(dict.fromkeys("ABCD", 1.0), features(), features(), members=MODEL.decision.most_members)
    assert Decider(MODEL).decide([grown]).why == "too_many_members"


def test_confirming_channels_count_only_when_looked_at() -> None:
    """A channel that was not looked at is neither agreement nor disagreement."""
    with_e = weigh(MODEL, features("ABCDE"), features("ABCDE"), {"A": 1.0})
    without = weigh(MODEL, features("ABCDE"), features("ABCDE"), {"A": 1.0}, frozenset("E"))
    assert with_e.weight < without.weight
