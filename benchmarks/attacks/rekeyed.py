"""The attack with a facility's key: which people a bucket of the files holds, and who is who among them.

The gateway's permutation and mask keep every distance. Whoever can encode the register as facilities do knows the
distances of all people exactly: a few rows have distances to each other that only their own people have. From those
few, graph matching reads the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from . import graph
from .assignment import NOBODY, Known
from .duplicates import merged
from .encodings import View

Reals = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

_ROWS = 6
"""Rows whose distances to each other are looked for; fifteen distances are the mark of very few people."""
_TRIES = 12
_MOST = 200_000
"""Partial answers that are followed up."""


def attack(groups: Sequence[View], seed: int = 0) -> tuple[int, Numbers]:
    """Find the group of people whom a bucket holds, and each row's person in it.

    Args:
        groups: for each group of people that may be in the bucket, its vectors beside their exact correlations.
        seed: of the choice of rows.

    Returns:
        The group's place, and for each row a person's place in the group; (-1, all -1) where none is found.
    """
    for place, view in enumerate(groups):
        exact = np.rint(view.correlation * view.spins.shape[1])
        known = anchors(view.spins @ view.spins.T, exact, np.random.default_rng(seed))
        if len(known[0]):
            joined, anchored, group = merged([view], known)
            return place, graph.attack(joined, anchored)[group]
    return -1, np.full(len(groups[0].spins), -1, np.int64)


def anchors(ours: Reals, theirs: Reals, dice: np.random.Generator) -> Known:
    """Find a few rows whose distances to each other only one choice of people has.

    Args:
        ours: products of the rows' spins, whole numbers, which tell distances.
        theirs: the same of the people.
        dice: chooses the rows.

    Returns:
        The rows and their people; nobody, where a dozen tries find none.
    """
    if len(ours) < _ROWS:
        return NOBODY
    for _ in range(_TRIES):
        rows = dice.permutation(len(ours))[:_ROWS]
        partial = np.arange(len(theirs))[:, None]
        for at in range(1, _ROWS):
            fits = np.ones((len(partial), len(theirs)), bool)
            for before in range(at):
                fits &= theirs[partial[:, before]] == ours[rows[before], rows[at]]
            which, person = np.nonzero(fits)
            if not 0 < len(which) <= _MOST:
                break
            partial = np.column_stack([partial[which], person])
        else:
            if len(partial) == 1:
                return rows, partial[0]
    return NOBODY
