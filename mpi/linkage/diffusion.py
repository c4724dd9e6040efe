"""Keyed diffusion of bit vectors: each output bit is the XOR of a few input bits that a secret table names.

Diffusion hides which input bit was set and hardens vectors against pattern attacks (Armknecht, Heng and Schnell,
PoPETs 2023). Two vectors that differ in the share d of their bits differ in (1 - (1 - 2d)^T) / 2 of them after a
diffusion of T: similarities shrink towards one half. An input bit that a row of the table names twice cancels out,
which is part of the definition.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpi.linkage.loops import FAST, compiled

ENTRY_BYTES = 2
"""Bytes of keyed stream for one entry of a table: a 16-bit little-endian number modulo the number of bits."""

_ROWS_AT_ONCE = 32
"""Rows whose tables stay in the processor's cache."""

Bits = npt.NDArray[np.uint8]
"""Bits of vectors, one a byte, one vector a row."""
Tables = npt.NDArray[np.uint16]
"""Tables as they are read from a keyed stream: any leading axes, then T rows of one entry per output bit."""


def table_bytes(bits: int, diffusion: int) -> int:
    """Bytes of keyed stream that a table takes."""
    return bits * diffusion * ENTRY_BYTES


def tables(streams: bytes | bytearray, bits: int, diffusion: int) -> Tables:
    """Read the tables that stand one behind the other in keyed streams: tables x T x bits."""
    return np.frombuffer(streams, dtype="<u2").reshape(-1, diffusion, bits)


def rediffuse(
    packed: npt.NDArray[np.uint8], those: Tables, which: npt.NDArray[np.int64], fast: bool = FAST
) -> npt.NDArray[np.uint8]:
    """Diffuse packed vectors by tables that several may share.

    Args:
        packed: rows of packed vectors.
        those: tables x T x bits.
        which: each row's table.
        fast: use the compiled loop.
    """
    made = np.empty_like(packed)
    if fast:
        compiled("rediffuse_loop")(packed, those, which, made)
        return made
    for at in range(0, len(packed), _ROWS_AT_ONCE):
        part = slice(at, at + _ROWS_AT_ONCE)
        made[part] = diffuse(np.unpackbits(packed[part], axis=1), those[which[part]])
    return made


def diffuse(vectors: Bits, each: Tables) -> npt.NDArray[np.uint8]:
    """Diffuse vectors, each by its own table.

    Args:
        vectors: rows x bits.
        each: rows x T x bits.

    Returns:
        Packed vectors, the first bit highest.
    """
    rows, bits = vectors.shape
    start = (np.arange(rows, dtype=np.int64) * bits)[:, None]
    flat = vectors.reshape(-1)
    mixed = np.zeros_like(vectors)
    for entries in range(each.shape[1]):
        mixed ^= flat.take((each[:, entries] & (bits - 1)) + start)
    return np.packbits(mixed, axis=1)
