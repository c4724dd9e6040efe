"""Privacy beside F1: plain filters link as they should, and each encoding is judged by the attack that wins most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.filters import CUTS, dice, filters, level, measure
from benchmarks.frontier import CLK, FIELDS, PRIVACY, PROFILE, points
from mpi.batch.population import generate
from mpi.linkage.scoring import MISSING

RUN = "dense, seed 1"


def attacked(encoding: str, right: int, attack: str = "graph", **other: Any) -> dict[str, Any]:
    """A row as the benchmark of privacy writes it."""
    row = {"view": "vectors of a bucket", "attack": attack, "encoding": encoding, "size": 300, "known": 20}
    rates = {"rate": right / 100, "low": right / 200, "high": right / 50, "chance": 1 / 280}
    return {**row, "overlap": 1.0, **rates, **other}


def linked(f1: float, persons: int = 10) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the two benchmarks of linking write."""
    automatic = {"f1": f1, "precision_interval": [0.9, 1.0], "recall_interval": [0.8, 1.0]}
    plain = {CLK: {"f1": 0.8}, FIELDS: {"f1": 0.7}}
    return {"persons": 10, "runs": {RUN: {"automatic": automatic}}}, {"persons": persons, "runs": {RUN: plain}}


PLAIN = [attacked(CLK, 90), attacked(FIELDS, 80)]


def test_the_worst_attack_on_the_worst_channel_counts() -> None:
    """Attacks that are told the answer, other buckets and what else was attacked are left out."""
    figures = [
        *PLAIN,
        attacked("th-v1 A", 3),
        attacked("th-v1 B", 7, "mean field"),
        attacked("th-v1 B", 99, "all others known"),
        attacked("th-v1 B", 50, size=100),
        attacked("th-v1 B", 51, overlap=0.5),
        attacked("th-v1 B", 52, view="files and facility key"),
        attacked("as sent", 98),
    ]
    made = {each.encoding: each for each in points({"figures": figures}, *linked(0.95), RUN)}
    assert {name: each.named for name, each in made.items()} == {PROFILE: 0.07, CLK: 0.9, FIELDS: 0.8}
    assert made[PROFILE].attack == "mean field on th-v1 B"
    assert made[PROFILE].named_interval == (0.035, 0.14)
    assert made[PROFILE].f1_interval == (pytest.approx(0.72 / 0.85), 1.0)
    assert {name: each.f1 for name, each in made.items()} == {PROFILE: 0.95, CLK: 0.8, FIELDS: 0.7}


def test_files_that_do_not_fit_are_refused() -> None:
    """Other populations, another run, and an encoding that nobody attacked."""
    whole = {"figures": [*PLAIN, attacked("th-v1 A", 3)]}
    with pytest.raises(ValueError, match="different sizes"):
        points(whole, *linked(0.9, persons=11), RUN)
    with pytest.raises(KeyError):
        points(whole, *linked(0.9), "another")
    with pytest.raises(ValueError, match="empty"):
        points({"figures": PLAIN}, *linked(0.9), RUN)


def test_what_was_measured_can_be_drawn() -> None:
    """The figures that are kept hold all three encodings; ours gives away less than the plain ones."""
    made = {each.encoding: each for each in points(json.loads(PRIVACY.read_text()), *linked(0.9), RUN)}
    assert made[PROFILE].named_interval[1] < 0.5 < made[CLK].named_interval[0]
    assert made[FIELDS].named > 0.5


def test_dice_tells_names_apart() -> None:
    """The same name gives 1, one letter more or less something between, another name little, none nothing."""
    words = filters({"given": ["somchai", "somchai", "somchay", "prasit", None]})
    left, right = np.zeros(4, np.int64), np.arange(1, 5)
    same, near, other, none = dice(words, left, right).tolist()
    assert same == 1
    assert 0.5 < near < 0.9
    assert other < 0.3
    assert np.isnan(none)
    assert level(np.array([1.0, 0.3, np.nan])).tolist() == [0, len(CUTS), MISSING]


def test_plain_filters_link_a_small_population(tmp_path: Path) -> None:
    """Hardly a pair is missed as a candidate, and either encoding finds most of them and few others."""
    generate(150, 5, tmp_path)
    figures = measure(tmp_path)
    assert figures["candidate_completeness"] > 0.97
    for name in (CLK, FIELDS):
        assert figures[name]["precision"] > 0.95
        assert figures[name]["recall"] > 0.85
