"""The first step with a facility's key: which people a bucket of the files holds.

Tokens are re-keyed, so nothing names a bucket. What is left is how many rows it has and how alike they are: the thief
works out which similarities every group of people of the register would have, and looks for the bucket that has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .encodings import Reals, exact

Numbers = npt.NDArray[np.int64]

_EDGES = np.array([-1, 0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 0.8, 1.001])
"""Similarities, as correlations, that are counted apart: chance alone scatters by about 0.03."""
_GRID = np.linspace(-1, 1, 1001)
_ELSEWHERE = 0.02
"""Share of a group's rows that mistakes move into or out of a bucket."""


def likelihoods(
    buckets: Sequence[Reals], groups: Sequence[Reals], diffusion: int, share: float, sizes: bool = True
) -> Reals:
    """Log-likelihood of every bucket holding every group, up to a constant of the bucket.

    Args:
        buckets: spins of each bucket's rows, as they are stored.
        groups: spins of the vectors of each group's people, as facilities send them.
        diffusion: of the gateway.
        share: of the register that is in the index.
        sizes: whether the number of rows counts, too.
    """
    made = [_shares(exact(group[:0], group, diffusion).correlation, group.shape[1]) for group in groups]
    table = np.zeros((len(buckets), len(groups)), np.float32)
    for row, bucket in enumerate(buckets):
        alike = (bucket @ bucket.T / bucket.shape[1])[np.triu_indices(len(bucket), 1)]
        counted = np.histogram(alike, _EDGES)[0]
        for column, (group, shares) in enumerate(zip(groups, made, strict=True)):
            table[row, column] = (counted * np.log(shares)).sum()
            if sizes:
                scatter = len(group) * (share * (1 - share) + _ELSEWHERE)
                table[row, column] -= (len(bucket) - share * len(group)) ** 2 / (2 * scatter) + np.log(scatter) / 2
    return table


def _shares(correlation: Reals, bits: int) -> npt.NDArray[np.float64]:
    """Share of all pairs of people whose similarity is expected between any two edges."""
    pairs = correlation[np.triu_indices(len(correlation), 1)]
    at, counts = np.unique(np.rint((pairs + 1) * (len(_GRID) - 1) / 2).astype(np.int64), return_counts=True)
    below = np.array([[_below(edge, _GRID[place], bits) for edge in _EDGES] for place in at])
    shares: npt.NDArray[np.float64] = counts.astype(np.float64) @ np.diff(below.reshape(len(at), -1), axis=1)
    shares = shares + 1e-6
    shares /= shares.sum()
    return shares


def _below(edge: float, mean: float, bits: int) -> float:
    scatter = math.sqrt(max(1 - mean**2, 1 / bits) / bits)
    return (1 + math.erf((edge - mean) / (scatter * math.sqrt(2)))) / 2
