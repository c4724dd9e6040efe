"""How the index is kept at rest: keyed keys, and values that only the at-rest key opens.

Record numbers are encrypted under a key of their own in every channel, so that the rows of one record cannot be
joined across channels by whoever holds the files alone: that join is what the structure attack needs. Everything is
deterministic, so an index rebuilt from the store is byte for byte the index that grew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

from mpi.domain.identifiers import TOKEN_BYTES
from mpi.domain.record import MAX_CHANNELS
from mpi.errors import IndexCorrupt
from mpi.keyfiles import Keyed, derive

BLOCK = 16
NAME_BYTES = 16
_BLOCKS = np.dtype(f"V{BLOCK}")
_NONCE_BYTES = 12
_REDUCTION = (1 << 8 * BLOCK) + 0x87
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


def blocks_of(several: bytes) -> list[bytes]:
    """Take apart blocks that lie one after the other."""
    return np.frombuffer(several, _BLOCKS).tolist()  # type: ignore[no-any-return]


class Mac(threading.local):
    """AES-256-CMAC (NIST SP 800-38B) of messages of whole blocks.

    Blocks of many messages go through the cipher in one call, for which a library of single messages takes twenty times
    as long.
    """

    def __init__(self, key: bytes) -> None:
        self._one = CMAC(algorithms.AES(key))
        self._cipher = BlockCipher(key)
        # Section 6.1: the subkey K1 is the encryption of zeros, doubled in GF(2^128).
        doubled = int.from_bytes(self._cipher.seal(bytes(BLOCK)), "big") << 1
        reduced = doubled ^ (_REDUCTION if doubled >> 8 * BLOCK else 0)
        self._last = np.frombuffer(reduced.to_bytes(BLOCK, "big"), np.uint8)

    def tag(self, message: bytes) -> bytes:
        """The 16 bytes of one message's code."""
        state = self._one.copy()
        state.update(message)
        return state.finalize()

    def tags(self, messages: bytes, count: int) -> list[bytes]:
        """The codes of messages of the same length that lie one after the other."""
        blocks = np.frombuffer(messages, np.uint8).reshape(count, -1, BLOCK)
        state = np.zeros((count, BLOCK), np.uint8)
        for at in range(blocks.shape[1] - 1):
            state = np.frombuffer(self._cipher.seal((state ^ blocks[:, at]).tobytes()), np.uint8).reshape(-1, BLOCK)
        return blocks_of(self._cipher.seal((state ^ blocks[:, -1] ^ self._last).tobytes()))


class Sealer:
    """The keys of an index."""

    def __init__(self, at_rest: bytes) -> None:
        self._at_rest = at_rest
        self._name_key = Keyed(derive(at_rest, "index/name"))
        self._values = AESGCM(derive(at_rest, "index/value"))
        self._nonces = Keyed(derive(at_rest, "index/nonce"))
        self._identity_names = BlockCipher(derive(at_rest, "index/identity-name"))
        self._answer_names = BlockCipher(derive(at_rest, "index/answer-name"))
        self._look_up_names = Mac(derive(at_rest, "index/look-up-name"))
        self.record_key = BlockCipher(derive(at_rest, "index/record"))
        self.record_value = BlockCipher(derive(at_rest, "index/record-eid"))
        self._channels: dict[str, BlockCipher] = {}
        self.look_up_name = lru_cache(_NAMES_AT_HAND)(self._look_up_name)
        """Key of the row of one look-up key, see `look_up_names`."""
        self.name = lru_cache(_NAMES_AT_HAND)(self._name)
        """Key of an entry: 16 bytes of HMAC-SHA256 over table and parts, so that no token stands in the file."""

    def channel(self, channel: str) -> BlockCipher:
        """Cipher of the record numbers of one channel."""
        if channel not in self._channels:
            self._channels[channel] = BlockCipher(derive(self._at_rest, f"index/channel/{channel}"))
        return self._channels[channel]

    def look_up_names(self, labels: Sequence[bytes], tokens: Sequence[bytes]) -> list[bytes]:
        """Keys of the rows of look-up keys, all at once: CMAC over label and token.

        Args:
            labels: what kind of key each is, in 16 bytes.
            tokens: of 32 bytes each.
        """
        assert set(map(len, tokens)) <= {TOKEN_BYTES}  # noqa: S101 (the gateway makes no others)
        if len(tokens) < _FEW:
            return [self._look_up_names.tag(label + token) for label, token in zip(labels, tokens, strict=True)]
        return self._look_up_names.tags(b"".join(chain.from_iterable(zip(labels, tokens, strict=True))), len(tokens))

    def identity_name(self, eid: str) -> bytes:
        """Key of an identity's row: its enterprise id, encrypted."""
        return self._identity_names.seal_eid(eid)

    def answer_name(self, eid: str) -> bytes:
        """Key of the row with an identity's ready answer; another than `identity_name`, so the two cannot be joined."""
        return self._answer_names.seal_eid(eid)

    def answer_names(self, eids: bytes) -> list[bytes]:
        """Keys of the rows with ready answers of identities whose enterprise ids lie one after the other."""
        return blocks_of(self._answer_names.seal(eids))

    def _look_up_name(self, label: bytes, token: bytes) -> bytes:
        return self.look_up_names([label], [token])[0]

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

    def open(self, key: bytes, sealed: bytes) -> bytes:
        """Decrypt a value.

        Raises:
            IndexCorrupt: the value was changed, moved, or sealed with another key.
        """
        return self.open_all([(key, sealed)])[0]

    def open_all(self, rows: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """Decrypt the values of rows, each with its key; raises as `open` does."""
        decrypt = self._values.decrypt
        try:
            return [decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key) for key, sealed in rows]
        except (InvalidTag, ValueError):
            raise IndexCorrupt(
                "an entry of the index does not decrypt; the key is another one or the file is damaged"
            ) from None
