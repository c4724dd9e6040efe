"""Comparing vectors: Hamming similarity inside a bucket, and the level of agreement that it means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpi.linkage.loops import FAST, compiled
from mpi.rules import Comparison, Level

Vectors = npt.NDArray[np.uint8]
"""Packed vectors, one a row."""


def similarities(vector: bytes, vectors: Vectors, fast: bool = FAST) -> npt.NDArray[np.float64]:
    """Share of equal bits of one packed vector and each row of `vectors`.

    Unrelated vectors have a similarity of one half give or take 0.016 (1024 bits), because diffusion leaves each
    bit set with probability one half.
    """
    wide = vectors.view(np.uint64)
    one = np.frombuffer(vector, dtype=np.uint64)
    different = np.empty(len(wide), np.int64)
    if fast:
        compiled("distances_to_loop")(one, wide, different)
    else:
        np.bitwise_count(wide ^ one).sum(axis=1, dtype=np.int64, out=different)
    shares: npt.NDArray[np.float64] = 1.0 - different / (8 * len(vector))
    return shares


def similarity(one: bytes, other: bytes) -> float:
    """Share of equal bits of two packed vectors: the plain form that `similarities` is held against."""
    different = (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()
    return 1.0 - different / (8 * len(one))


def channel_level(comparison: Comparison, best: float | None) -> Level:
    """Level of a channel that both records have: by the best similarity found in a shared bucket, or elsewhere.

    Args:
        comparison: the channel's levels.
        best: greatest similarity over shared buckets; None when the records share no bucket.
    """
    if best is None:
        return comparison.levels[-1]
    for level in comparison.levels[:-1]:
        if best >= level.similarity:
            return level
    raise AssertionError("the levels of a rule file fall to 0")


def identifier_level(comparison: Comparison, ours: frozenset[bytes], theirs: frozenset[bytes]) -> Level:
    """Level of an identifier kind that both records have: one number in common, or none."""
    agree, disagree = comparison.levels
    return disagree if ours.isdisjoint(theirs) else agree
