"""Evaluation: counts held against a plain count of all pairs, and files that are not what they should be."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from mpi.batch.evaluation import PairQuality, Truth, evaluate, pair_quality, read_clusters, read_truth
from mpi.batch.linker import Pairs
from mpi.batch.review import decided, queue
from mpi.errors import ExtractUnreadable

TRUTH = Truth(
    {"a1": "A", "a2": "A", "a3": "A", "b1": "B", "b2": "B", "c1": "C"},
    {"a1": "thai", "a2": "thai", "a3": "migrant", "b1": "thai", "b2": "thai", "c1": "migrant"},
)


def test_counts_of_a_hand_made_grouping():
    """One link missed, one wrong: precision, recall and strata are what a pencil says."""
    made = evaluate(TRUTH, {"a1": "1", "a2": "1", "a3": "2", "b1": "3", "b2": "3", "c1": "3"})
    assert made.overall == PairQuality(true_links=2, links=4, matches=4)
    assert made.strata["thai"] == PairQuality(2, 2, 2)
    assert made.strata["migrant/thai"] == PairQuality(0, 2, 2)
    assert made.whole == pytest.approx(0)
    assert {frozenset(pair) for pair in made.wrong} == {frozenset(("b1", "c1")), frozenset(("b2", "c1"))}
    assert {frozenset(pair) for pair in made.missed} == {frozenset(("a1", "a3")), frozenset(("a2", "a3"))}


def test_a_perfect_grouping():
    """The truth itself is perfect in every figure, with intervals of no width."""
    made = evaluate(TRUTH, dict(TRUTH.persons))
    assert (made.overall.precision, made.overall.recall, made.overall.f1, made.whole) == (1, 1, 1, 1)
    assert made.adjusted_rand == pytest.approx(1)
    assert made.precision == made.recall == (1, 1)


def test_records_that_were_not_grouped_stand_alone():
    """A record that is missing from the clusters is nobody else's, and neither are two of them each other's."""
    assert evaluate(TRUTH, {}).overall == PairQuality(0, 0, 4)
    assert pair_quality(TRUTH.persons, {"a1": "1"}) == PairQuality(0, 0, 4)


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_a_plain_count(seed):
    """On random groupings all counts are those of looking at each pair."""
    dice = random.Random(seed)
    records = [f"r{number}" for number in range(40)]
    truth = Truth(
        {record: str(dice.randrange(12)) for record in records}, {record: dice.choice("xyz") for record in records}
    )
    found = {record: str(dice.randrange(12)) for record in records}
    expected: dict[str, list[int]] = {}
    for one, other in combinations(records, 2):
        same, linked = truth.persons[one] == truth.persons[other], found[one] == found[other]
        if same or linked:
            tally = expected.setdefault("/".join(sorted({truth.strata[one], truth.strata[other]})), [0, 0, 0])
            for place, counted in enumerate((same and linked, linked, same)):
                tally[place] += counted
    made = evaluate(truth, found)
    assert dict(made.strata) == {name: PairQuality(*tally) for name, tally in expected.items()}
    totals = [sum(tally[place] for tally in expected.values()) for place in range(3)]
    assert made.overall == PairQuality(*totals)
    low, high = made.recall
    assert 0 <= low <= made.overall.recall <= high <= 1


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\n"])
def test_files_that_are_something_else(tmp_path: Path, content: bytes):
    """A file of another kind is refused by its name."""
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    for read in (read_truth, read_clusters):
        if content:
            with pytest.raises(ExtractUnreadable, match=r"file\.csv"):
                read(path)
        with pytest.raises(ExtractUnreadable, match="missing"):
            read(tmp_path / "missing")


def test_a_queue_has_each_pair_of_groups_once():
    """Doubtful pairs between the same two groups are one task, at its heaviest; deciding it joins the groups."""
    count = 4
    pairs = Pairs(
        np.array([0, 0, 1, 2]),
        np.array([2, 3, 2, 4]),
        np.zeros((count, 1), np.int8),
        np.array([20.0, 25.0, 22.0, 9.0]),
        np.zeros(count),
        np.zeros(count, bool),
        np.zeros(count, bool),
        np.array([True, True, True, False]),
    )
    groups = np.array([0, 0, 2, 2, 4])
    tasks = queue(pairs, groups)
    assert (tasks.left.tolist(), tasks.right.tolist(), tasks.pair.tolist()) == ([0], [2], [1])
    assert decided(groups, tasks, np.array([True])).tolist() == [0, 0, 0, 0, 4]
    assert decided(groups, tasks, np.array([False])).tolist() == groups.tolist()
