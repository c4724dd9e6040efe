"""Identities from weighed pairs: constrained correlation clustering, greedy and local.

Pairs that carry a link are taken from the heaviest on, and join the two groups that they lie between unless

* a number of which a person has only one forbids it: the groups hold different ones and none in common;
* the group would grow beyond what one person's records plausibly are;
* the evidence between the groups speaks against it: the sum of the weights of all pairs across them, those that are
  against included, where two records that never met count as strangers.

So one false pair cannot chain two people together as connected components would let it (Draisbach and Naumann 2013;
Bansal, Blum and Chawla 2004 on correlation clustering). The result depends on the pairs alone, not on their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Graph:
    """Weighed pairs of records.

    Attributes:
        total: how many records there are; they are numbered from 0.
        left: first record of each pair.
        right: second record of each pair, a later one.
        weight: match weight of each pair, bits.
        links: whether the pair carries a link.
        only_one: for each kind of number of which a person has one: the records that have it, and which number.
        rank: place of each record in an order that is the record's own and not that of the files: it settles ties.
    """

    total: int
    left: Places
    right: Places
    weight: npt.NDArray[np.float64]
    links: npt.NDArray[np.bool_]
    only_one: Mapping[str, tuple[Places, Places]]
    rank: Places


@dataclass(frozen=True, slots=True)
class Clustering:
    """Groups of records.

    Attributes:
        groups: for each record the first record of its group.
        refused: places of pairs that carry a link but lie between two groups.
        why: why each of them was refused: "number", "members" or "evidence".
    """

    groups: Places
    refused: Places
    why: list[str]


def cluster(graph: Graph, most_members: int, strangers: float) -> Clustering:
    """Group records.

    Args:
        graph: the weighed pairs.
        most_members: records of the largest group.
        strangers: what two records that never met count for, bits; negative.
    """
    groups = _components(graph)
    dirty = _dirty(graph, groups, most_members)
    refused: list[int] = []
    why: list[str] = []
    if dirty.any():
        concerned = np.flatnonzero(dirty[groups[graph.left]] & (groups[graph.left] == groups[graph.right]))
        _settle(graph, concerned, groups, dirty, most_members, strangers, refused, why)
    return Clustering(groups, np.array(refused, np.int64), why)


def _components(graph: Graph) -> Places:
    """First record of each connected component of the links."""
    groups = np.arange(graph.total)
    left, right = graph.left[graph.links], graph.right[graph.links]
    while True:
        low = np.minimum(groups[left], groups[right])
        before = groups.copy()
        np.minimum.at(groups, before[left], low)
        np.minimum.at(groups, before[right], low)
        while not np.array_equal(groups, groups[groups]):
            groups = groups[groups]
        if np.array_equal(groups, before):
            return groups


def _dirty(graph: Graph, groups: Places, most_members: int) -> npt.NDArray[np.bool_]:
    """Say of each component, by its first record, whether anything in it speaks against its being one group."""
    size = np.bincount(groups, minlength=graph.total)
    inside = graph.links & (groups[graph.left] == groups[graph.right])
    linked = np.bincount(groups[graph.left[inside]], minlength=graph.total)
    # Where each pair carries a link nothing is against it but numbers and size.
    dirty = (linked < size * (size - 1) // 2) | (size > most_members)
    for records, numbers in graph.only_one.values():
        held = np.unique(np.stack([groups[records], numbers]), axis=1)
        several = np.bincount(held[0], minlength=graph.total) > 1
        dirty |= several
    return dirty


@dataclass(slots=True)
class _Group:
    """A group while pairs are being taken."""

    members: list[int]
    numbers: dict[str, set[int]] = field(default_factory=dict)
    across: dict[int, tuple[float, int]] = field(default_factory=dict)
    """By the other group's name: sum of the weights of the pairs across, and how many pairs there are."""


def _settle(
    graph: Graph,
    pairs: Places,
    groups: Places,
    dirty: npt.NDArray[np.bool_],
    most_members: int,
    strangers: float,
    refused: list[int],
    why: list[str],
) -> None:
    """Group the records of dirty components anew, pair by pair, and write the outcome to `groups`."""
    records = np.flatnonzero(dirty[groups])
    held = {int(record): _Group([int(record)]) for record in records}
    name = {record: record for record in held}
    for kind, (owners, numbers) in graph.only_one.items():
        for owner, number in zip(owners.tolist(), numbers.tolist(), strict=True):
            if owner in held:
                held[owner].numbers.setdefault(kind, set()).add(number)
    left, right, weight = graph.left[pairs].tolist(), graph.right[pairs].tolist(), graph.weight[pairs].tolist()
    for one, other, bits in zip(left, right, weight, strict=True):
        held[one].across[other] = held[other].across[one] = (bits, 1)
    linking = pairs[graph.links[pairs]]
    ranks = graph.rank[graph.left[linking]], graph.rank[graph.right[linking]]
    order = np.lexsort((np.maximum(*ranks), np.minimum(*ranks), -graph.weight[linking]))
    for pair in linking[order].tolist():
        one, other = name[int(graph.left[pair])], name[int(graph.right[pair])]
        if one == other:
            continue
        against = _against(held[one], held[other], other, most_members, strangers)
        if against:
            refused.append(pair)
            why.append(against)
        else:
            _join(held, name, min(one, other), max(one, other))
    for record, group in name.items():
        groups[record] = group


def _against(one: _Group, other: _Group, name: int, most_members: int, strangers: float) -> str:
    for kind in one.numbers.keys() & other.numbers.keys():
        if one.numbers[kind].isdisjoint(other.numbers[kind]):
            return "number"
    if len(one.members) + len(other.members) > most_members:
        return "members"
    bits, met = one.across.get(name, (0.0, 0))
    missing = len(one.members) * len(other.members) - met
    return "evidence" if bits + missing * strangers < 0 else ""


def _join(held: dict[int, _Group], name: dict[int, int], into: int, gone: int) -> None:
    """Join the group named `gone` to the group named `into`: a group bears the name of its first record."""
    lost, kept = held.pop(gone), held[into]
    for record in lost.members:
        name[record] = into
    kept.members += lost.members
    for kind, numbers in lost.numbers.items():
        kept.numbers.setdefault(kind, set()).update(numbers)
    for other, (bits, met) in lost.across.items():
        if other == into:
            continue
        before, count = kept.across.get(other, (0.0, 0))
        kept.across[other] = held[other].across[into] = (before + bits, count + met)
        del held[other].across[gone]
    kept.across.pop(gone, None)
