"""How the index is kept at rest: keyed keys, and values that only the at-rest key opens.

Record numbers are encrypted under a key of their own in every channel, so that the rows of one record cannot be
joined across channels by whoever holds the files alone: that join is what the structure attack needs. Everything is
deterministic, so an index rebuilt from the store is byte for byte the index that grew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mpi.domain.record import MAX_CHANNELS
from mpi.errors import IndexCorrupt
from mpi.keyfiles import Keyed, derive

BLOCK = 16
NAME_BYTES = 16
_NONCE_BYTES = 12
_EID_TEXT = 36
_FEW = 16
"""Of fewer ids one is written after the other."""

_NAMES_AT_HAND = 10_000
"""Of a batch, which asks for the same names when it reads and when it writes."""

Numbers = npt.NDArray[np.int64]
"""Record numbers."""


class BlockCipher(threading.local):
    """A keyed permutation of 16-byte blocks (single-block AES-256): each value has one ciphertext under one key.

    Every block that is encrypted under a key is distinct by construction (a record number and row, an enterprise id),
    which is the one case in which encrypting block by block gives nothing away.
    """

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 (single distinct blocks, see above)
        # Blocks leave nothing behind in a context, so that one serves for all of a thread; making one takes longer
        # than a block does.
        self._encryptor, self._decryptor = cipher.encryptor(), cipher.decryptor()

    def seal(self, blocks: bytes) -> bytes:
        """Encrypt blocks, each by itself."""
        return self._encryptor.update(blocks)

    def open(self, blocks: bytes) -> bytes:
        """Decrypt blocks, each by itself."""
        return self._decryptor.update(blocks)

    def seal_number(self, number: int, row: int = 0) -> bytes:
        """Encrypt a record number.

        Args:
            number: the record's number.
            row: which of the record's rows in a channel it stands on. With it no block repeats inside a channel;
                else the count of repeats would be a mark that a record carries from channel to channel.
        """
        return self.seal(number.to_bytes(8, "little") + row.to_bytes(8, "little"))

    def open_numbers(self, blocks: bytes) -> Numbers:
        """Decrypt record numbers.

        Raises:
            IndexCorrupt: a block is not the encryption of a record number under this key.
        """
        halves = np.frombuffer(self.open(blocks), dtype="<i8").reshape(-1, 2)
        if ((halves[:, 1] < 0) | (halves[:, 1] >= MAX_CHANNELS) | (halves[:, 0] < 0)).any():
            raise IndexCorrupt("an entry of the index does not decrypt; the key is another one or the file is damaged")
        return halves[:, 0]

    def seal_eid(self, eid: str) -> bytes:
        """Encrypt an enterprise id."""
        return self.seal(eid_bytes(eid))

    def open_eid(self, block: bytes) -> str:
        """Decrypt an enterprise id."""
        return eid_text(self.open(block))


def eid_text(packed: bytes) -> str:
    """Write the 16 bytes of an enterprise id as everybody reads it; a UUID object would take three times as long."""
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def eid_texts(packed: bytes) -> list[str]:
    """Write enterprise ids that lie one after the other, as `eid_text` does one."""
    count = len(packed) // BLOCK
    if count < _FEW:
        return [eid_text(packed[at : at + BLOCK]) for at in range(0, len(packed), BLOCK)]
    digits = np.frombuffer(packed.hex().encode(), np.uint8).reshape(count, 2 * BLOCK)
    written = np.full((count, _EID_TEXT), ord("-"), np.uint8)
    for at, begin, end in ((0, 0, 8), (9, 8, 12), (14, 12, 16), (19, 16, 20), (24, 20, 32)):
        written[:, at : at + end - begin] = digits[:, begin:end]
    text = written.tobytes().decode()
    return [text[at : at + _EID_TEXT] for at in range(0, len(text), _EID_TEXT)]


def eid_bytes(text: str) -> bytes:
    """Read an enterprise id into 16 bytes."""
    return bytes.fromhex(text.replace("-", ""))


class Sealer:
    """The keys of an index."""

    def __init__(self, at_rest: bytes) -> None:
        self._at_rest = at_rest
        self._name_key = Keyed(derive(at_rest, "index/name"))
        self._values = AESGCM(derive(at_rest, "index/value"))
        self._nonces = Keyed(derive(at_rest, "index/nonce"))
        self._identity_names = BlockCipher(derive(at_rest, "index/identity-name"))
        self.record_key = BlockCipher(derive(at_rest, "index/record"))
        self.record_value = BlockCipher(derive(at_rest, "index/record-eid"))
        self._channels: dict[str, BlockCipher] = {}
        self.name = lru_cache(_NAMES_AT_HAND)(self._name)
        """Key of an entry: 16 bytes of HMAC-SHA256 over table and parts, so that no token stands in the file."""

    def channel(self, channel: str) -> BlockCipher:
        """Cipher of the record numbers of one channel."""
        if channel not in self._channels:
            self._channels[channel] = BlockCipher(derive(self._at_rest, f"index/channel/{channel}"))
        return self._channels[channel]

    def names(self, table: str, parts: Iterable[bytes]) -> list[bytes]:
        """Keys of entries as `name` gives them, and nothing is remembered; several parts have 0x1f between them."""
        before, digest = table.encode() + b"\x1f", self._name_key.digest
        return [digest(before + each)[:NAME_BYTES] for each in parts]

    def identity_name(self, eid: str) -> bytes:
        """Key of an identity's row: its enterprise id, encrypted."""
        return self._identity_names.seal_eid(eid)

    def identity_names(self, eids: bytes) -> list[bytes]:
        """Keys of the rows of identities whose enterprise ids lie one after the other."""
        sealed = self._identity_names.seal(eids)
        return [sealed[at : at + BLOCK] for at in range(0, len(sealed), BLOCK)]

    def _name(self, table: str, *parts: bytes) -> bytes:
        message = b"\x1f".join((table.encode(), *parts))
        return self._name_key.digest(message)[:NAME_BYTES]

    def seal(self, key: bytes, content: bytes) -> bytes:
        """Encrypt a value; its key is authenticated with it, so values cannot be swapped.

        AES-256-GCM under a nonce that is drawn from key and content (HMAC-SHA256, 96 bits): the same value is sealed
        the same way, and two different ones share a nonce as rarely as 96-bit digests collide. AES-SIV would do in one
        step what this does in two, but opens in more than twice the time, and values are opened at every lookup.
        """
        nonce = self._nonces.digest(len(key).to_bytes(2, "big") + key + content)[:_NONCE_BYTES]
        return nonce + self._values.encrypt(nonce, content, key)

    def open(self, key: bytes, sealed: bytes | memoryview) -> bytes:
        """Decrypt a value.

        Raises:
            IndexCorrupt: the value was changed, moved, or sealed with another key.
        """
        try:
            return self._values.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key)
        except (InvalidTag, ValueError):
            raise IndexCorrupt(
                "an entry of the index does not decrypt; the key is another one or the file is damaged"
            ) from None
