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
    outcome = Decider(MODEL).decide([Candidate("eid", score(similarity, *tokens), 1, "", 0.0)])
    assert outcome.decision is expected, (outcome.why, outcome.candidate)


ALIKE = {"A": 1.0, "B": 1.0, "C": 1.0, "D": 1.0}


def several(*members: int, bits: float = 50.0) -> list[Candidate]:
    """Identities that a record is equally like."""
    return [Candidate(f"eid{place}", score(ALIKE), size, "", bits) for place, size in enumerate(members)]


def test_a_record_joins_the_identities_that_it_links_to() -> None:
    """Where nothing keeps them apart, identities that one record links to are of one person."""
    outcome = Decider(MODEL).decide(several(1, 2), lambda _one, _other: -40.0)
    assert outcome.decision is Decision.LINK
    assert outcome.joined == ("eid1",)
    assert Decider(MODEL).decide(several(1, 2), lambda _one, _other: -60.0).why == "margin"


def test_identities_that_must_stay_apart_are_not_joined() -> None:
    """A record as near to two persons goes to neither by itself."""
    outcome = Decider(MODEL).decide(several(1, 1))
    assert (outcome.decision, outcome.why, outcome.joined) == (Decision.REVIEW, "margin", ())


def test_joined_identities_are_no_larger_than_one_person_is() -> None:
    """The size that no link exceeds holds for joining too."""
    most = MODEL.decision.most_members
    outcome = Decider(MODEL).decide(several(most - 2, 2), lambda _one, _other: 0.0)
    assert outcome.why == "margin"
    assert Decider(MODEL).decide(several(most - 2, 1), lambda _one, _other: 0.0).joined == ("eid1",)


def test_a_linked_record_may_leave_a_question() -> None:
    """Linking with one identity does not silence the doubt whether another one is the same person."""
    linked = Candidate("eid0", score(ALIKE, ID), 1, "", 90.0)
    doubtful = Candidate("eid1", score({"A": 0.7, "C": 0.6}), 1, "", 20.0)
    outcome = Decider(MODEL).decide([doubtful, linked])
    assert (outcome.decision, outcome.candidate) == (Decision.LINK, linked)
    assert [(doubt.candidate, doubt.why) for doubt in outcome.doubts] == [(doubtful, "possible")]


def test_records_that_speak_against_a_link_outweigh_one_that_is_near() -> None:
    """One near record of an identity does not link when the others are of strangers."""
    outcome = Decider(MODEL).decide(several(5, bits=-1.0))
    assert (outcome.decision, outcome.why) == (Decision.REVIEW, "evidence")


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
