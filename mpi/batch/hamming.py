"""Work on many packed vectors at memory speed: distances of all pairs inside buckets and of listed pairs.

With the extra `fast` the loops are compiled by numba; without it numpy does the same, several times slower. Both give
the same to the last bit, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mpi.linkage.loops import FAST, compiled

Words = npt.NDArray[np.uint64]
"""Packed vectors as 64-bit words, one vector a row."""
Places = npt.NDArray[np.int64]
Distances = npt.NDArray[np.uint16]

_PAIRS_AT_ONCE = 1 << 18
_FOUND_AT_ONCE = 1 << 20


def close_pairs(words: Words, ends: Places, most: int, fast: bool = FAST) -> Iterator[tuple[Places, Places, Distances]]:
    """Compare all pairs inside buckets and give those that are near.

    Args:
        words: vectors sorted by bucket.
        ends: for each row, the row behind the last one of its bucket.
        most: greatest distance in bits that is near.
        fast: use the compiled loops.

    Yields:
        Chunks of (row, later row, distance), in ascending order.
    """
    return (_close_pairs_fast if fast else _close_pairs_plain)(words, ends, most)


def distances(words: Words, left: Places, right: Places, fast: bool = FAST) -> Distances:
    """Hamming distances in bits of listed pairs of rows."""
    if fast:
        found: Distances = np.empty(len(left), np.uint16)
        compiled("distances_loop")(words, left, right, found)
        return found
    parts = [
        np.bitwise_count(words[left[at : at + _PAIRS_AT_ONCE]] ^ words[right[at : at + _PAIRS_AT_ONCE]]).sum(
            axis=1, dtype=np.uint16
        )
        for at in range(0, len(left), _PAIRS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.uint16)


def _close_pairs_plain(words: Words, ends: Places, most: int) -> Iterator[tuple[Places, Places, Distances]]:
    rows = np.arange(len(words), dtype=np.int64)
    later = ends - rows - 1
    behind = np.cumsum(later)
    at = 0
    while at < len(rows):
        done = behind[at - 1] if at else 0
        stop = max(at + 1, int(np.searchsorted(behind, done + _PAIRS_AT_ONCE)))
        counts = later[at:stop]
        left = np.repeat(rows[at:stop], counts)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        apart = distances(words, left, right, fast=False)
        near = apart <= most
        if near.any():
            yield left[near], right[near], apart[near]
        at = stop


def _close_pairs_fast(words: Words, ends: Places, most: int) -> Iterator[tuple[Places, Places, Distances]]:
    if not len(words):
        return
    room = max(_FOUND_AT_ONCE, int((ends - np.arange(len(ends))).max()))
    left, right = np.empty(room, np.int64), np.empty(room, np.int64)
    apart = np.empty(room, np.uint16)
    scan, row = compiled("close_pairs_loop"), 0
    while row < len(words):
        row, count = scan(words, ends, most, row, left, right, apart)
        if count:
            yield left[:count].copy(), right[:count].copy(), apart[:count].copy()
