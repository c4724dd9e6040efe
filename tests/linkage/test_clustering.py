"""Clustering: what joins, what never does, and that the order of records and pairs means nothing."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.linkage.clustering import Clustering, Graph, cluster

STRANGERS = -10.0
Pair = tuple[int, int, float, bool]


def graph(total: int, pairs: list[Pair], numbers: dict[int, int] | None = None) -> Graph:
    ordered = sorted((min(a, b), max(a, b), weight, links) for a, b, weight, links in pairs)
    left, right, weight, links = zip(*ordered, strict=True) if ordered else ((), (), (), ())
    owners = numbers or {}
    return Graph(
        total,
        np.array(left, np.int64),
        np.array(right, np.int64),
        np.array(weight, float),
        np.array(links, bool),
        {"national_id": (np.array(list(owners), np.int64), np.array(list(owners.values()), np.int64))},
        np.arange(total),
    )


def groups(clustering: Clustering) -> list[set[int]]:
    found: dict[int, set[int]] = {}
    for record, group in enumerate(clustering.groups.tolist()):
        found.setdefault(group, set()).add(record)
    return sorted(found.values(), key=min)


def test_links_chain_where_nothing_speaks_against_it():
    """A record between two others joins them when the missing pair weighs less than the others."""
    made = cluster(graph(4, [(0, 1, 30, True), (1, 2, 30, True)]), 60, STRANGERS)
    assert groups(made) == [{0, 1, 2}, {3}]


def test_two_national_ids_are_two_people():
    """A chain between two different numbers is cut at its weakest pair, and the refusal is told."""
    made = cluster(graph(3, [(0, 1, 40, True), (1, 2, 35, True)], {0: 7, 2: 8}), 60, STRANGERS)
    assert groups(made) == [{0, 1}, {2}]
    assert made.why == ["number"]


def test_one_number_in_common_is_enough():
    """A group may hold several numbers, as long as the other one shares one of them."""
    pairs = [(0, 1, 40, True), (1, 2, 35, True)]
    both = graph(3, pairs, {0: 7, 2: 8})
    shared = Graph(**{name: getattr(both, name) for name in both.__slots__ if name != "only_one"}, only_one={
        "national_id": (np.array([0, 1, 1, 2]), np.array([7, 7, 8, 8]))
    })  # fmt: skip
    assert groups(cluster(shared, 60, STRANGERS)) == [{0, 1, 2}]


def test_many_strangers_outweigh_one_link():
    """Two well-knit groups with a single pair between them stay apart: the twins' case."""
    knit = [(a, b, 40.0, True) for group in ((0, 1, 2), (3, 4, 5)) for a in group for b in group if a < b]
    made = cluster(graph(6, [*knit, (2, 3, 29, True)]), 60, STRANGERS)
    assert groups(made) == [{0, 1, 2}, {3, 4, 5}]
    assert made.why == ["evidence"]


def test_evidence_against_counts():
    """A pair that met and disagrees speaks against a join like a stranger or more."""
    pairs = [(0, 1, 40, True), (1, 2, 30, True), (0, 2, -50, False)]
    assert groups(cluster(graph(3, pairs), 60, STRANGERS)) == [{0, 1}, {2}]


def test_a_group_never_outgrows_its_limit():
    """Beyond the limit nobody joins, and the refusal is told."""
    pairs = [(a, b, 40.0, True) for a in range(8) for b in range(a + 1, 8)]
    made = cluster(graph(8, pairs), 5, STRANGERS)
    assert max(map(len, groups(made))) <= 5
    assert set(made.why) == {"members"}


def test_ties_are_settled_by_the_records_and_not_by_their_order():
    """A record as near to either of two people goes to the same one, however the records are numbered."""

    def made(names: list[int]) -> set[frozenset[int]]:
        at = {record: place for place, record in enumerate(names)}
        pairs = sorted((min(at[a], at[b]), max(at[a], at[b])) for a, b in ((0, 1), (1, 2)))
        left, right = (np.array(side) for side in zip(*pairs, strict=True))
        numbers = np.array([at[0], at[2]]), np.array([7, 8])
        tied = Graph(3, left, right, np.full(2, 30.0), np.ones(2, bool), {"national_id": numbers}, np.array(names))
        return {frozenset(names[place] for place in group) for group in groups(cluster(tied, 60, STRANGERS))}

    assert len({frozenset(made(list(order))) for order in permutations(range(3))}) == 1


def test_nobody():
    """No records, no groups."""
    assert groups(cluster(graph(0, []), 60, STRANGERS)) == []
    assert groups(cluster(graph(2, []), 60, STRANGERS)) == [{0}, {1}]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Pair], dict[int, int]]:
    total = draw(st.integers(1, 12))
    edges = draw(st.sets(st.tuples(st.integers(0, total - 1), st.integers(0, total - 1)).filter(lambda e: e[0] < e[1])))
    # Different weights, so that no tie is left for the records' order to settle.
    weights = draw(st.permutations(range(len(edges))))
    pairs = [(a, b, float(40 - 2 * weight), weight < 18) for (a, b), weight in zip(sorted(edges), weights, strict=True)]
    owners = draw(st.dictionaries(st.integers(0, total - 1), st.integers(0, 2)))
    return total, pairs, owners


@settings(max_examples=300, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_groups_hold_what_they_promise(made, dice):
    """No group holds two contradicting numbers or too many records, and renaming the records changes nothing."""
    total, pairs, owners = made
    found = groups(cluster(graph(total, pairs, owners), 6, STRANGERS))
    for group in found:
        assert len(group) <= 6
        linked = {record for a, b, _, links in pairs if links and {a, b} <= group for record in (a, b)}
        assert len(group) == 1 or linked == group
    names = list(range(total))
    dice.shuffle(names)
    renamed = [(names[a], names[b], weight, links) for a, b, weight, links in pairs]
    again = groups(cluster(graph(total, renamed, {names[k]: v for k, v in owners.items()}), 6, STRANGERS))
    assert sorted(sorted(names[record] for record in group) for group in found) == sorted(map(sorted, again))


@pytest.mark.parametrize("size", [2, 5])
def test_a_clean_component_takes_the_short_way(size):
    """Where every pair carries a link the group is the component, as settled pair by pair."""
    pairs = [(a, b, 40.0, True) for a in range(size) for b in range(a + 1, size)]
    assert groups(cluster(graph(size, pairs, {0: 1}), 60, STRANGERS)) == [set(range(size))]
