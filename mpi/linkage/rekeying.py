"""Re-keying of vectors at the centre: a diffusion under a secret of the gateway, bound to channel and bucket.

Records of one bucket pass the same diffusion, so they stay comparable. Whoever holds a facility's key and the stored
vectors knows neither the vectors' bits nor their exact distances. The index and batch linkage re-key by this same code,
so that under one secret they weigh alike to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpi.keyfiles import KEY_BYTES, Keyed, derive
from mpi.linkage.diffusion import rediffuse, table_bytes, tables

BUCKET_BYTES = 16
"""Bytes of a bucket token that bind a diffusion to its bucket: enough of a keyed hash to tell a nation's apart."""

NO_SECRET = bytes(KEY_BYTES)
"""Stands for the secret where no centre is asked: it protects nothing, and similarities come out as anywhere."""

Vectors = npt.NDArray[np.uint8]


class Rekeying:
    """Re-keys the vectors of every channel.

    Args:
        secret: of the centre, 32 bytes.
        bits: length of a vector.
        diffusion: how many arriving bits each stored bit is the XOR of, by channel.
        diffused: does the work; another that gives the same bits sooner may take its place.
    """

    def __init__(self, secret: bytes, bits: int, diffusion: Mapping[str, int]) -> None:
        self._bits = bits
        self._diffusion = dict(diffusion)
        self._keys = {channel: Keyed(derive(secret, f"vector/{channel}")) for channel in diffusion}

    def vectors(self, channels: Sequence[str], buckets: Sequence[bytes], vectors: Vectors) -> Vectors:
        """Re-key packed vectors.

        Args:
            channels: channel of each row.
            buckets: bucket token of each row as the facility made it; its first `BUCKET_BYTES` count.
            vectors: packed vectors, one a row.
        """
        moved = np.empty_like(vectors)
        by_diffusion: dict[int, list[int]] = {}
        for row, channel in enumerate(channels):
            by_diffusion.setdefault(self._diffusion[channel], []).append(row)
        for diffusion, rows in by_diffusion.items():
            length = table_bytes(self._bits, diffusion)
            made: dict[tuple[str, bytes], int] = {}
            which = [made.setdefault((channels[row], buckets[row][:BUCKET_BYTES]), len(made)) for row in rows]
            streams = bytearray()
            for channel, bucket in made:
                streams += self._stream(channel, bucket, length)
            moved[rows] = rediffuse(vectors[rows], tables(streams, self._bits, diffusion), np.array(which, np.int64))
        return moved

    def _stream(self, channel: str, bucket: bytes, length: int) -> bytes:
        key = self._keys[channel].digest(bucket)
        return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(length))
