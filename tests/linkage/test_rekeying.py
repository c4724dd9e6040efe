"""Re-keying of vectors: a secret diffusion that leaves near what was near."""

from __future__ import annotations

import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpi.keyfiles import derive
from mpi.linkage.comparison import similarity
from mpi.linkage.diffusion import diffuse, rediffuse, tables
from mpi.linkage.rekeying import Rekeying

BITS = 1024
SECRET = bytes(range(32))


def vectors(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, BITS // 8), dtype=np.uint8)


def bits_of(packed: bytes) -> list[int]:
    return [packed[at // 8] >> (7 - at % 8) & 1 for at in range(len(packed) * 8)]


@pytest.mark.parametrize("diffusion", [1, 3, 4])
def test_it_equals_the_definition(diffusion: int) -> None:
    """Bit by bit, from the docstrings alone."""
    sent = vectors(1)[0].tobytes()
    bucket = b"b" * 32
    key = hmac.new(derive(SECRET, "vector/A"), bucket[:16], "sha256").digest()
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(2 * BITS * diffusion))
    named = [int.from_bytes(stream[at : at + 2], "little") % BITS for at in range(0, len(stream), 2)]
    plain = bits_of(sent)
    made = [sum(plain[named[row * BITS + place]] for row in range(diffusion)) % 2 for place in range(BITS)]
    (moved,) = Rekeying(SECRET, BITS, {"A": diffusion}).vectors(["A"], [bucket], np.frombuffer(sent, np.uint8)[None])
    assert bits_of(moved.tobytes()) == made


def test_rows_together_or_alone_come_out_alike() -> None:
    """Rows of several channels, buckets and diffusions in one call are what each is by itself."""
    rekeying = Rekeying(SECRET, BITS, {"A": 3, "B": 4})
    sent = vectors(6)
    channels, buckets = ["A", "B", "A", "A", "B", "B"], [bytes([n]) * 32 for n in (1, 1, 2, 1, 1, 3)]
    together = rekeying.vectors(channels, buckets, sent)
    for row in range(6):
        (alone,) = rekeying.vectors([channels[row]], [buckets[row]], sent[row : row + 1])
        assert (together[row] == alone).all()
    assert len(rekeying.vectors([], [], sent[:0])) == 0


def test_similarity_shrinks_as_the_law_says() -> None:
    """A share d of different bits becomes (1 - (1 - 2d)^T) / 2; another bucket, channel or secret has no likeness."""
    near = vectors(40)
    flips = np.random.default_rng(2).random((40, BITS)) < 0.06
    other = near ^ np.packbits(flips, axis=1)
    buckets = [bytes([n]) * 32 for n in range(40)]
    rekeying = Rekeying(SECRET, BITS, {"A": 3, "B": 3})
    one, two = (rekeying.vectors(["A"] * 40, buckets, each) for each in (near, other))
    reached = np.mean([similarity(a.tobytes(), b.tobytes()) for a, b in zip(one, two, strict=True)])
    assert reached == pytest.approx((1 + (1 - 2 * flips.mean()) ** 3) / 2, abs=0.01)
    for stranger in (
        rekeying.vectors(["B"] * 40, buckets, near),
        rekeying.vectors(["A"] * 40, buckets[::-1], near),
        Rekeying(bytes(32), BITS, {"A": 3}).vectors(["A"] * 40, buckets, near),
    ):
        shares = [similarity(a.tobytes(), b.tobytes()) for a, b in zip(one, stranger, strict=True)]
        assert np.mean(shares) == pytest.approx(0.5, abs=0.01)


def test_an_entry_named_twice_cancels_out() -> None:
    """The definition leaves it so: the output bit is then the third entry's alone."""
    table = np.zeros(3 * 64, "<u2").reshape(3, 64)
    table[2] = np.arange(64)
    sent = np.random.default_rng(4).integers(0, 2, (1, 64), dtype=np.uint8)
    assert (np.unpackbits(diffuse(sent, tables(table.tobytes(), 64, 3))) == sent[0]).all()


def test_compiled_loops_give_the_same_bits() -> None:
    """With and without compiled loops, and with tables that rows share."""
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    those = np.random.default_rng(5).integers(0, 1 << 16, (3, 4, BITS), dtype=np.uint16)
    which = np.array([2, 0, 0, 1, 2])
    packed = vectors(5)
    assert (rediffuse(packed, those, which, fast=True) == rediffuse(packed, those, which, fast=False)).all()
