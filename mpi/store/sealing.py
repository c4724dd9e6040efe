"""How the store is kept at rest: payloads that only the key at rest opens, and names that only it can make.

Every payload is AES-256-GCM with a random nonce, and the place of its row is authenticated with it, so that rows
cannot be swapped. A record's contents are sealed with a key of its own; without that key nobody opens them.

While everything is sealed anew there are two keys at rest: what is written is sealed under the newer one, and what is
read may be sealed and named under either.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mpi.domain.record import EncodedRecord
from mpi.errors import StoreUnusable
from mpi.keyfiles import KEY_BYTES, Keyed, derive

_NONCE_BYTES = 12
_NAME_BYTES = 16
_LENGTH_BYTES = 4


class Box:
    """Seals payloads under its first key, and opens what is sealed under any of its keys."""

    def __init__(self, *keys: bytes) -> None:
        self._ciphers = [AESGCM(key) for key in keys]

    def seal(self, place: str, content: bytes) -> bytes:
        """Encrypt a payload for its place."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, content, place.encode())

    def open(self, place: str, sealed: bytes) -> bytes:
        """Decrypt a payload that stands in this place.

        Raises:
            StoreUnusable: the key is another one, or the payload was changed or moved.
        """
        return self._opened(place, sealed)[1]

    def is_newest(self, place: str, sealed: bytes) -> bool:
        """Say whether a payload is sealed under the first key; raises as `open` does."""
        return self._opened(place, sealed)[0] == 0

    def anew(self, place: str, sealed: bytes) -> bytes:
        """The payload under the first key, as it is where it was that already; raises as `open` does."""
        key, content = self._opened(place, sealed)
        return self.seal(place, content) if key else sealed

    def _opened(self, place: str, sealed: bytes) -> tuple[int, bytes]:
        """Which of the keys opens a payload, and the content."""
        for key, cipher in enumerate(self._ciphers):
            try:
                return key, cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
            except (InvalidTag, ValueError):
                continue
        raise StoreUnusable(
            "a row does not open with the key at rest: the key file is another one, or the row was changed"
        )


class Names:
    """Keyed names under one key at rest: only who holds it can tell what they stand for."""

    def __init__(self, at_rest: bytes) -> None:
        self._ref_key = Keyed(derive(at_rest, "store/ref"))
        self._trace_key = Keyed(derive(at_rest, "store/trace"))
        self._subject_key = Keyed(derive(at_rest, "store/subject"))

    def ref(self, facility: str, local_id_token: bytes) -> bytes:
        """Name that finds a facility's record again, 32 bytes."""
        return self._ref_key.digest(facility.encode() + b"\x1f" + local_id_token)

    def refs(self, record: EncodedRecord) -> tuple[bytes, bytes | None]:
        """Names of a record: of its own key epoch, and of the one before while the facilities change epochs."""
        ref, *earlier = (self.ref(*name) for name in record.names())
        return ref, earlier[0] if earlier else None

    def trace(self, eid: str) -> bytes:
        """Name under which the changes of an identity are found, 16 bytes."""
        return self._trace_key.digest(eid.encode())[:_NAME_BYTES]

    def subject(self, packed: bytes) -> bytes:
        """Name under which what was said about somebody is found, 16 bytes."""
        return self._subject_key.digest(packed)[:_NAME_BYTES]

    def facility(self, code: str) -> bytes:
        """Name under which what a facility is asked is found, 16 bytes."""
        return self.subject(b"facility/" + code.encode())


class Sealing:
    """The keys of a store.

    Args:
        secrets: the keys at rest that rows are sealed with, from the oldest epoch on; the last one seals.

    Attributes:
        box: what payloads are sealed in.
        every: names under each key, the newest first.
        names: names that are given now.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        newest_first = secrets[::-1]
        self.box = Box(*(derive(secret, "store/payload") for secret in newest_first))
        self.every = tuple(Names(secret) for secret in newest_first)
        self.names = self.every[0]
        self._newest = newest_first[0]

    @property
    def newest(self) -> Sealing:
        """The newest key alone."""
        return Sealing([self._newest])

    def change(self, revision: int, outer: bytes, inner: bytes) -> bytes:
        """Payload of a row of the log: its outer part sealed here, its inner part sealed already."""
        sealed = self.box.seal(f"change/{revision}", outer)
        return len(sealed).to_bytes(_LENGTH_BYTES, "big") + sealed + inner

    def parted(self, payload: bytes) -> tuple[bytes, bytes]:
        """The outer and the inner part of a row of the log, both sealed."""
        end = _LENGTH_BYTES + int.from_bytes(payload[:_LENGTH_BYTES], "big")
        return payload[_LENGTH_BYTES:end], payload[end:]

    def new_record_key(self, number: int) -> tuple[Box, bytes]:
        """Make a record's own key; gives what it seals with, and the key sealed for the record's row."""
        key = os.urandom(KEY_BYTES)
        return Box(key), self.box.seal(f"record/{number}", key)

    def record_key(self, number: int, payload: bytes) -> Box:
        """Open the key of a record from its row: the one that seals, and the one before while it is replaced."""
        return Box(*self.record_keys(number, payload))

    def record_keys(self, number: int, payload: bytes) -> list[bytes]:
        """Open a record's row: the key that seals, and the one before while it is replaced."""
        keys = self.box.open(f"record/{number}", payload)
        return [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]
