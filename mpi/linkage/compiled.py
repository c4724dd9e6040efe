"""Loops that numba compiles; imported only where numba is installed, see `mpi.linkage.loops`."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic


@intrinsic
def _ones(_typing_context: Any, word: Any) -> Any:
    """Count the set bits of a 64-bit word: LLVM's ctpop, one instruction on today's processors."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@numba.njit(cache=True, nogil=True)
def close_pairs_loop(words, ends, most, first, left, right, apart):
    """Scan from row `first` on until the room for what is found might run out; gives the next row and how many."""
    rows, width = words.shape
    found = 0
    row = first
    while row < rows:
        if ends[row] - row > len(left) - found:
            break
        for other in range(row + 1, ends[row]):
            total = numba.uint64(0)
            for word in range(width):
                total += _ones(words[row, word] ^ words[other, word])
            if total <= most:
                left[found], right[found], apart[found] = row, other, total
                found += 1
        row += 1
    return row, found


@numba.njit(cache=True, nogil=True)
def distances_loop(words, left, right, apart):
    """Distances of listed pairs."""
    width = words.shape[1]
    for pair in range(len(left)):
        total = numba.uint64(0)
        for word in range(width):
            total += _ones(words[left[pair], word] ^ words[right[pair], word])
        apart[pair] = total


@numba.njit(cache=True, nogil=True)
def distances_to_loop(one, words, apart):
    """Distances of one vector and each row of `words`."""
    rows, width = words.shape
    for row in range(rows):
        total = numba.uint64(0)
        for word in range(width):
            total += _ones(words[row, word] ^ one[word])
        apart[row] = total


@numba.njit(cache=True, nogil=True)
def rediffuse_loop(packed, those, which, out):
    """Write the diffused rows of `packed` to `out`: see `mpi.linkage.diffusion.rediffuse`."""
    rows, width = packed.shape
    diffusion, bits = those.shape[1], those.shape[2]
    one = np.empty(bits, np.uint8)
    mixed = np.empty(bits, np.uint8)
    for row in range(rows):
        for place in range(bits):
            one[place] = (packed[row, place >> 3] >> (7 - (place & 7))) & 1
        table = which[row]
        for place in range(bits):
            mixed[place] = one[those[table, 0, place] & (bits - 1)]
        for entries in range(1, diffusion):
            for place in range(bits):
                mixed[place] ^= one[those[table, entries, place] & (bits - 1)]
        for byte in range(width):
            gathered = 0
            for bit in range(8):
                gathered = (gathered << 1) | mixed[byte * 8 + bit]
            out[row, byte] = gathered
