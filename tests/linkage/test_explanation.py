"""Explanations: similarities led back through diffusion, sums that hold, and sentences that say what the levels say."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.identity import Evidence
from mpi.encoder.demographics import normalize
from mpi.encoder.encoder import field_views
from mpi.linkage.comparison import similarity
from mpi.linkage.decision import Decider
from mpi.linkage.diffusion import diffuse, tables
from mpi.linkage.explanation import Similar, explain, filter_difference, in_common
from mpi.linkage.fellegi_sunter import Features, Score, weigh
from mpi.rules import ELSEWHERE, FIELDS, Calibration
from tests.building import TODAY, encoded, key_ring, raw, th_v1

RULES = th_v1()
BITS = 1024


def features(channels: str, **numbers: bytes) -> Features:
    return Features.of(
        tuple(IdentifierToken(IdentifierKind(kind), value) for kind, value in numbers.items()), frozenset(channels)
    )


@pytest.mark.parametrize("diffusion", [1, 2, 6, 8])
@pytest.mark.parametrize("difference", [0.0, 0.02, 0.08])
def test_differences_are_led_back_through_a_real_diffusion(diffusion: int, difference: float) -> None:
    """Vectors that a keyed diffusion made of filters give back, on average, how much the filters differ."""
    dice = np.random.default_rng(diffusion)
    rows = 200
    one = dice.integers(0, 2, (rows, BITS), dtype=np.uint8)
    other = one ^ (dice.random((rows, BITS)) < difference)
    table = tables(dice.bytes(BITS * diffusion * 2), BITS, diffusion)
    each = np.repeat(table, rows, axis=0)
    apart = np.bitwise_count(diffuse(one, each) ^ diffuse(other, each)).sum(axis=1) / BITS
    assert filter_difference(float(1 - apart.mean()), diffusion) == pytest.approx(difference, abs=0.004)


@pytest.mark.parametrize("shared", [0, 4, 8, 12, 16])
def test_half_full_filters_tell_how_many_grams_they_share(shared: int) -> None:
    """Filters of 16 grams with 44 bits each, so half full, give back the share of their common grams."""
    dice = np.random.default_rng(shared)
    found = []
    for _ in range(200):
        grams = dice.integers(0, BITS, (32 - shared, 44))
        one, other = np.zeros(BITS, bool), np.zeros(BITS, bool)
        one[grams[:16]] = True
        other[grams[16 - shared :]] = True
        found.append(in_common(1 - float((one ^ other).mean()), 1))
    assert np.mean(found) == pytest.approx(shared / 16, abs=0.03)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_names_are_as_similar_as_their_letter_pairs(tmp_path: Path, start: int) -> None:
    """Vectors of real names give back, in the mean, the share of letter pairs that the names have in common."""
    names = [("สมชาย ใจดี", "สมชาย ใจดีงาม"), ("วรรณา ศรีสุขสวัสดิ์", "วรรณี ศรีสุขสวัสดิ์"), ("อนุชา แก้วมณีวงศ์", "อนุชา แก้วมณี"),
             ("Somchai Rattanaporn", "Somchart Rattanaporn"), ("กิตติพงษ์ ทองประเสริฐ", "กิตติพร ทองประเสริฐ")]  # fmt: skip
    ring = key_ring(tmp_path)
    told, true = [], []
    for pair in names:
        rows = [raw(name, birth_date=f"1{start}/03/2525", sex="1") for name in pair]
        vectors = [
            next(each.vector for each in record.demographics.channels if each.channel == "A")
            for record in encoded(ring, "10661", *rows)
        ]
        one, other = (
            {
                (part, f" {view[part]} "[at : at + 2])
                for part in ("given", "family")
                for at in range(len(view[part]) + 1)
            }
            for view in (next(iter(field_views(normalize(row, TODAY), TODAY))).fields for row in rows)
        )
        told.append(in_common(similarity(*vectors), 1))
        true.append(2 * len(one & other) / (len(one) + len(other)))
    assert all(0.5 < each < 1 for each in true), true
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.06)


def test_nothing_in_common_is_nothing() -> None:
    """Unrelated vectors, and such as differ in more than half of their bits, have nothing in common; equal ones all."""
    assert in_common(0.5, 6) == in_common(0.41, 6) == 0.0
    assert in_common(1.0, 6) == 1.0
    assert filter_difference(0.0, 1) == 0.5


def test_an_interval_holds_what_the_same_similarity_may_mean() -> None:
    """The measured interval has the point inside, is empty for equal vectors, and widens with diffusion."""
    narrow, wide = Similar.measured(0.75, 2, BITS), Similar.measured(0.75, 8, 64)
    assert narrow.least < in_common(0.75, 2) < narrow.most
    assert narrow.most - narrow.least < wide.most - wide.least
    assert Similar.measured(1.0, 6, BITS) == Similar(1.0, 1.0)


@pytest.mark.parametrize("channel", RULES.profile.channels, ids=lambda channel: channel.name)
def test_levels_of_a_channel_follow_each_other_without_a_gap(channel) -> None:
    """From everything in common to nothing: where one level ends the next one begins."""
    comparison = RULES.model.comparisons[channel.name]
    ranges = [Similar.of_level(comparison, level, RULES.gateway[channel.name]) for level in comparison.levels[:-1]]
    assert ranges[0].most == 1.0
    assert ranges[-1].least == 0.0
    assert all(upper.least == lower.most for upper, lower in pairwise(ranges))


def test_terms_add_up_to_the_score() -> None:
    """The reasons are the evidence of the score, in its order, and what is missing is named."""
    sides = features("ABC", national_id=b"1", phone=b"2"), features("ABD", national_id=b"1", phone=b"3")
    score = weigh(RULES.model, *sides, {"A": 0.95})
    made = explain(RULES, score, {"A": 0.95})
    assert [each.comparison for each in made.reasons] == ["A", "B", "national_id", "phone"]
    assert sum(each.weight for each in made.reasons) == pytest.approx(made.weight)
    assert made.weight == score.weight
    assert sum(each.weight for each in made.reasons[:2]) == pytest.approx(made.demographics)
    assert {"C", "D", "passport"} <= set(made.missing)
    assert set(made.missing) | {each.comparison for each in made.reasons} == set(RULES.model.comparisons)
    assert (made.profile, made.model) == (RULES.profile.name, RULES.model.digest)
    assert made.figures()["reasons"][0]["similar"] == [made.reasons[0].similar.least, made.reasons[0].similar.most]


@pytest.mark.parametrize(
    ("comparison", "level", "english", "thai"),
    [
        ("A", "same", "Same birth date and sex; names at least", "วันเดือนปีเกิดและเพศตรงกัน ชื่อและนามสกุลคล้ายกันอย่างน้อย"),
        ("A", "apart", "names less than", "ไม่ถึง"),
        ("A", ELSEWHERE, "Birth date or sex differs.", "วันเดือนปีเกิดหรือเพศไม่ตรงกัน"),
        ("B", "near", "Same consonants of both names; birth date, sex, subdistrict", "พยัญชนะของชื่อและนามสกุล"),
        ("J", ELSEWHERE, "Birth date (1 January, perhaps for an unknown day), sex or consonants", "1 มกราคม"),
        ("national_id", "agree", "Same national id.", "เลขประจำตัวประชาชนตรงกัน"),
        ("phone", "disagree", "Different phone numbers.", "หมายเลขโทรศัพท์ไม่ตรงกัน"),
    ],
)  # fmt: skip
def test_sentences(comparison: str, level: str, english: str, thai: str) -> None:
    """A steward reads in both languages what agreed, what differs, and how similar the rest is."""
    weight = RULES.model.comparisons[comparison].level(level).weight
    (reason,) = explain(RULES, Score(weight, 0.0, (Evidence(comparison, level, weight),))).reasons
    assert english in reason.english
    assert thai in reason.thai


def test_a_known_similarity_is_said_in_percent() -> None:
    """Where the similarity is known the sentence has its interval instead of the level's."""
    term = Evidence("A", "near", 3.0)
    similar = Similar.measured(0.75, RULES.gateway["A"], BITS)
    (reason,) = explain(RULES, Score(3.0, 3.0, (term,)), {"A": 0.75}).reasons
    assert reason.similar == similar
    assert f"names {round(100 * similar.least)} to {round(100 * similar.most)} % similar" in reason.english


def test_every_field_and_every_comparison_has_words() -> None:
    """No rule file can name a field that the sentences do not know, and every level of the shipped one is said."""
    template = RULES.profile.channels[0]
    for field in FIELDS:
        channel = replace(template, bucket=(field,))
        profile = replace(RULES.profile, channels=(channel, *RULES.profile.channels[1:]))
        term = Evidence(channel.name, ELSEWHERE, -1.0)
        (reason,) = explain(replace(RULES, profile=profile), Score(-1.0, -1.0, (term,))).reasons
        assert reason.english
        assert reason.thai
    for name, comparison in RULES.model.comparisons.items():
        for level in comparison.levels:
            (reason,) = explain(RULES, Score(0.0, 0.0, (Evidence(name, level.name, 0.0),))).reasons
            assert reason.english.endswith(".")
            assert "ตรงกัน" in reason.thai


def test_the_rule_is_the_one_that_decides() -> None:
    """The rule that is named is what the decision over a single candidate rests on, and a veto comes before it."""
    decider, seen = Decider(RULES.model), set()
    for alike in ({}, {"A": 0.95}, {"A": 0.95, "B": 0.95}, {"B": 0.95, "C": 0.95}):
        for number in ({}, {"national_id": b"1"}, {"phone": b"1"}):
            score = weigh(RULES.model, features("ABC", **number), features("ABC", **number), alike)
            made = explain(RULES, score)
            assert made.rule == (decider.ground(score) or decider.doubt(score) or "below_review")
            assert made.english
            assert made.thai
            seen.add(made.rule)
    assert {"anchor", "number_and_demographics", "number_alone", "below_review"} <= seen
    sides = features("A", national_id=b"1"), features("A", national_id=b"2")
    assert explain(RULES, weigh(RULES.model, *sides, {"A": 1.0})).rule == "veto"


def test_a_probability_needs_a_calibration() -> None:
    """The probability is that of the model's calibration at the pair's weight; without one nothing is made up."""
    score = Score(10.0, 10.0, (Evidence("A", "near", 10.0),))
    line = replace(RULES.model, calibration=Calibration(((0.0, 0.2), (20.0, 0.8))))
    assert explain(replace(RULES, model=line), score).probability == pytest.approx(0.5)
    bare = replace(RULES.model, calibration=Calibration(()))
    assert explain(replace(RULES, model=bare), score).probability is None
