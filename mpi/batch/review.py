"""The review queue of a batch: which possible links a person would look at, and the groups once they are decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpi.batch.linker import Pairs
from mpi.linkage.clustering import Graph, Places


@dataclass(frozen=True, slots=True)
class Queue:
    """Tasks: pairs of groups with a possible link between them, each once, by its heaviest pair.

    Attributes:
        left: first record of the one group.
        right: first record of the other.
        pair: place of the heaviest doubtful pair between them.
    """

    left: Places
    right: Places
    pair: Places

    def __len__(self) -> int:
        return len(self.pair)


def queue(pairs: Pairs, groups: Places, graph: Graph) -> Queue:
    """Gather the tasks that are left when groups have been made.

    Two groups with different numbers of a kind of which a person has only one are two persons: nobody is asked.

    Args:
        pairs: the weighed pairs.
        groups: for each record the first record of its group.
        graph: the same pairs as they were grouped, with the numbers.
    """
    one, other = groups[pairs.left], groups[pairs.right]
    open_pairs = np.flatnonzero(pairs.doubtful & (one != other))
    low = np.minimum(one[open_pairs], other[open_pairs])
    high = np.maximum(one[open_pairs], other[open_pairs])
    order = np.lexsort((-pairs.weight[open_pairs], high, low))
    low, high, open_pairs = low[order], high[order], open_pairs[order]
    first = np.ones(len(open_pairs), bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    low, high, open_pairs = low[first], high[first], open_pairs[first]
    kept = ~_parted(low, high, groups, graph.only_one)
    return Queue(low[kept], high[kept], open_pairs[kept])


def _parted(
    left: Places, right: Places, groups: Places, only_one: Mapping[str, tuple[Places, Places]]
) -> npt.NDArray[np.bool_]:
    """Say which pairs of groups hold different numbers of a kind and none in common."""
    concerned = set(left.tolist()) | set(right.tolist())
    parted = np.zeros(len(left), bool)
    for records, values in only_one.values():
        held: dict[int, set[int]] = {}
        for group, value in zip(groups[records].tolist(), values.tolist(), strict=True):
            if group in concerned:
                held.setdefault(group, set()).add(value)
        parted |= np.array(
            [
                one in held and other in held and held[one].isdisjoint(held[other])
                for one, other in zip(left.tolist(), right.tolist(), strict=True)
            ],
            bool,
        )
    return parted


def decided(groups: Places, tasks: Queue, joined: npt.NDArray[np.bool_]) -> Places:
    """Groups after the tasks were decided; `joined` says which of them were found to be one person."""
    name = {int(group): int(group) for group in np.unique(groups)}

    def find(group: int) -> int:
        while name[group] != group:
            name[group] = name[name[group]]
            group = name[group]
        return group

    for one, other in zip(tasks.left[joined].tolist(), tasks.right[joined].tolist(), strict=True):
        low, high = sorted((find(one), find(other)))
        name[high] = low
    return np.array([find(group) for group in groups.tolist()], np.int64)
