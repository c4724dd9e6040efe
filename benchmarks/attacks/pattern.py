"""The pattern attack: learn from known persons which bits each gram sets, then read everybody else.

Every bit is a ridge regression on the known vectors, with the encoding's own expected correlation as the kernel. For
filters without diffusion that is the linear model of bits on grams; with it, it is the best that any such model does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .assignment import NOBODY, Known, greedy
from .encodings import View

Numbers = npt.NDArray[np.int64]

_RIDGE = 0.05


def attack(seen: Sequence[View], known: Known = NOBODY) -> Numbers:
    """Guess the person of every record from the vectors of known persons; without any there is nothing to learn."""
    records, persons = known
    scores = np.zeros((len(seen[0].spins), len(seen[0].bias)), np.float32)
    if not len(records):
        return np.full(len(scores), -1, np.int64)
    for view in seen:
        kernel = view.correlation[np.ix_(persons, persons)] + np.float32(_RIDGE) * np.eye(
            len(persons), dtype=np.float32
        )
        learnt = view.correlation[:, persons] @ np.linalg.solve(kernel, view.spins[records])
        left = np.maximum(1 - (learnt**2).mean(axis=1), _RIDGE)
        # Log-likelihood of independent normal spins about what was learnt, with what was not learnt as variance.
        bits = np.float32(view.spins.shape[1])
        scores += view.spins @ (learnt / left[:, None]).T
        scores -= ((learnt**2).sum(axis=1) + bits) / (2 * left) + bits * np.log(left) / 2
    return greedy(scores.astype(np.float32), known)
