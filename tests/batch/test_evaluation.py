"""Evaluation: counts held against a plain count of all pairs, and files that are not what they should be."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mpi.batch.evaluation import (
    STEP,
    GroupQuality,
    PairQuality,
    Truth,
    curve,
    evaluate,
    pair_quality,
    read_clusters,
    read_curve,
    read_truth,
    wilson,
)
from mpi.batch.evaluation_page import render_html
from mpi.batch.linker import Pairs
from mpi.batch.review import decided, queue
from mpi.errors import ExtractUnreadable
from mpi.linkage.clustering import Graph

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
    assert made.groups == GroupQuality(exact=0, groups=3, people=3)
    # Rows of the truth file, whose header is row 1: a1 is row 2, c1 is row 7.
    assert {frozenset(pair) for pair in made.wrong} == {frozenset((5, 7)), frozenset((6, 7))}
    assert {frozenset(pair) for pair in made.missed} == {frozenset((2, 4)), frozenset((3, 4))}


def test_whole_groups_are_counted_from_both_sides():
    """A group counts when it is all of a person and nobody else: here one of four groups, one of three people."""
    made = evaluate(TRUTH, {"a1": "1", "a2": "1", "a3": "2", "b1": "3", "b2": "3", "c1": "2"}).groups
    assert made == GroupQuality(exact=1, groups=3, people=3)
    assert (made.precision, made.recall, made.f1) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    split = evaluate(TRUTH, {"b1": "3", "b2": "3"}).groups
    assert split == GroupQuality(exact=2, groups=5, people=3)
    assert (split.precision, split.recall, split.f1) == pytest.approx((2 / 5, 2 / 3, 1 / 2))


def test_errors_are_told_by_row_and_never_by_record_id():
    """Neither the figures nor the page hold a record id."""
    secret = Truth(
        {f"10661/HN{number}": str(number % 7) for number in range(60)}, {f"10661/HN{n}": "thai" for n in range(60)}
    )
    made = evaluate(secret, {record: str(number % 5) for number, record in enumerate(secret.persons)})
    assert made.wrong
    assert made.missed
    tried = curve(np.array([3.0, 9.0]), np.array([True, False]), 10)
    for text in (repr(made), str(made.figures()), render_html(made, tried)):
        assert "HN" not in text


def test_wilson_is_that_of_the_textbook():
    """Ten of a hundred lie between .0552 and .1744; nothing counted says nothing; all right is not certain."""
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(50, 50)
    assert low == pytest.approx(0.9287, abs=1e-4)
    assert high == pytest.approx(1)
    assert PairQuality(10, 100, 50).precision_interval == wilson(10, 100)
    assert PairQuality(10, 100, 50).recall_interval == wilson(10, 50)


def test_a_curve_is_a_plain_count_at_every_threshold():
    """Each point counts the pairs at least as heavy; those below zero and those never weighed are missed throughout."""
    dice = np.random.default_rng(4)
    weight = dice.normal(10, 20, 500)
    weight[0] = 96.0  # a threshold itself
    same = dice.random(500) < 0.4
    made = curve(weight, same, 300)
    assert [bits for bits, _ in made.points] == list(range(0, 97, STEP))
    for bits, quality in made.points:
        assert quality == PairQuality(int((same & (weight >= bits)).sum()), int((weight >= bits).sum()), 300)
    for bits, one, other in made.spread:
        inside = (weight >= bits) & (weight < bits + STEP)
        assert (one, other) == (int((same & inside).sum()), int((~same & inside).sum()))
    assert curve(np.empty(0), np.empty(0, bool), 3).points == []
    assert curve(np.array([-7.0]), np.array([True]), 3).points == []


def test_a_curve_from_a_file_of_pairs(tmp_path: Path):
    """Pairs are read with their weights; those with a record that the truth lacks are left out."""
    path = tmp_path / "pairs.parquet"
    table = {"left": ["a1", "b1", "a1"], "right": ["a2", "c1", "zz"], "weight": [9.0, 5.0, 7.0], "A": ["x", "y", "z"]}
    pq.write_table(pa.table(table), path)
    assert [quality for _, quality in read_curve(path, TRUTH).points] == [
        PairQuality(1, 2, 4),
        PairQuality(1, 1, 4),
    ]
    path.write_bytes(b"left,right,weight\n")
    with pytest.raises(ExtractUnreadable, match=r"pairs\.parquet"):
        read_curve(path, TRUTH)
    pq.write_table(pa.table({"left": ["a1"]}), path)
    with pytest.raises(ExtractUnreadable, match=r"pairs\.parquet"):
        read_curve(path, TRUTH)
    with pytest.raises(ExtractUnreadable, match="missing"):
        read_curve(tmp_path / "missing", TRUTH)


def test_a_perfect_grouping():
    """The truth itself is perfect in every figure, and a few pairs without an error still do not prove much."""
    made = evaluate(TRUTH, dict(TRUTH.persons))
    assert (made.overall.precision, made.overall.recall, made.overall.f1, made.groups.f1) == (1, 1, 1, 1)
    assert made.adjusted_rand == pytest.approx(1)
    assert made.precision == made.recall == wilson(4, 4)
    assert made.precision[0] < 0.6


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
    graph = Graph(5, pairs.left, pairs.right, pairs.weight, pairs.by_number, {}, np.arange(5))
    tasks = queue(pairs, groups, graph)
    assert (tasks.left.tolist(), tasks.right.tolist(), tasks.pair.tolist()) == ([0], [2], [1])
    assert decided(groups, tasks, np.array([True])).tolist() == [0, 0, 0, 0, 4]
    assert decided(groups, tasks, np.array([False])).tolist() == groups.tolist()
    same = replace(graph, only_one={"national_id": (np.array([1, 3]), np.array([7, 7]))})
    assert len(queue(pairs, groups, same)) == 1
    different = replace(graph, only_one={"national_id": (np.array([1, 3]), np.array([7, 8]))})
    assert len(queue(pairs, groups, different)) == 0  # two persons: nobody is asked
