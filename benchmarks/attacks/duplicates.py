"""Several records of one person are far more alike than any two people: the attacker sees that and joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .assignment import Known
from .encodings import View

Numbers = npt.NDArray[np.int64]


def merged(seen: Sequence[View], known: Known) -> tuple[list[View], Known, Numbers]:
    """Join records that are closer than half-way between equal and what one pair of people in a thousand would be.

    Returns:
        Views with one row a group, the mean of its vectors; the known persons among the groups; each record's group.
    """
    alike = np.mean([view.spins @ view.spins.T / view.spins.shape[1] for view in seen], axis=0)
    apart = np.mean([view.correlation for view in seen], axis=0)
    near = np.quantile(apart[~np.eye(len(apart), dtype=bool)], 0.999)
    group = np.arange(len(alike))
    rows, others = np.nonzero(np.triu(alike > (1 + near) / 2, 1))
    for row, other in zip(rows, others, strict=True):
        group[group == group[other]] = group[row]
    _, group = np.unique(group, return_inverse=True)
    join = np.zeros((group.max() + 1, len(group)), np.float32)
    join[group, np.arange(len(group))] = 1
    join /= join.sum(axis=1, keepdims=True)
    groups, first = np.unique(group[known[0]], return_index=True)
    persons, lone = np.unique(known[1][first], return_index=True)
    return [replace(view, spins=join @ view.spins) for view in seen], (groups[lone], persons), group
