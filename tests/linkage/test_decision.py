"""What carries a link, and what sends a pair to a person."""

from __future__ import annotations

import numpy as np
import pytest

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.identity import Decision
from mpi.linkage.decision import Candidate, Decider
from mpi.linkage.fellegi_sunter import Features, Score, weigh
from mpi.linkage.scoring import MISSING, PairScorer
from tests.building import th_v1

MODEL = th_v1().model
ID = IdentifierToken(IdentifierKind.NATIONAL_ID, b"1" * 32)
PHONE = IdentifierToken(IdentifierKind.PHONE, b"2" * 32)


def score(similarity: dict[str, float], *tokens: IdentifierToken, channels: str = "ABCD") -> Score:
    """The score of two records that share these numbers and lie so near on these channels."""
    ours = Features.of(tokens, frozenset(channels))
    return weigh(MODEL, ours, ours, similarity, frozenset("E"))


@pytest.mark.parametrize(
    ("similarity", "tokens", "expected"),
    [
        ({}, (ID,), Decision.REVIEW),  # the number alone
        ({"C": 0.5}, (ID,), Decision.REVIEW),  # a brother's number: same family and month of birth, nothing else
        ({"A": 0.5, "C": 0.5}, (ID,), Decision.LINK),  # same birth date and sex as well
        ({"A": 0.5, "C": 0.6}, (ID,), Decision.LINK),
        ({"A": 1.0, "B": 1.0, "C": 1.0, "D": 1.0}, (), Decision.LINK),
        ({"A": 0.7, "C": 0.6}, (), Decision.REVIEW),  # a twin's given name
        ({"A": 0.7, "D": 0.6}, (), Decision.LINK),  # a slip in the family name
        ({"A": 0.56, "B": 0.62, "C": 0.6}, (), Decision.LINK),
        ({"A": 0.5, "D": 0.5}, (PHONE,), Decision.REVIEW),  # married: same given name, birth date and phone
        ({"B": 0.5}, (), Decision.NEW),
    ],
)
def test_what_links(similarity: dict[str, float], tokens: tuple[IdentifierToken, ...], expected: Decision) -> None:
    """The shipped rules, case by case."""
    outcome = Decider(MODEL).decide([Candidate("eid", score(similarity, *tokens), 1, "")])
    assert outcome.decision is expected, (outcome.why, outcome.candidate)


def test_pairs_that_only_a_number_leads_to() -> None:
    """Without the national id a pair is weighed if it is near on a channel or shares another number, and else not."""
    scorer = PairScorer(MODEL)
    places = {name: place for place, name in enumerate(scorer.names)}
    levels = {name: [level.name for level in each.levels] for name, each in MODEL.comparisons.items()}

    def row(**reached: str) -> list[int]:
        made = [MISSING] * len(places)
        for name, level in reached.items():
            made[places[name]] = levels[name].index(level)
        return made

    evidence = np.array(
        [
            row(national_id="agree", A="apart", B="elsewhere"),
            row(national_id="agree", A="alike"),
            row(national_id="agree", phone="agree", A="elsewhere"),
            row(national_id="disagree", phone="disagree", D="near"),
        ],
        np.int8,
    )
    assert scorer.found_without(evidence, IdentifierKind.NATIONAL_ID).tolist() == [False, True, True, True]
