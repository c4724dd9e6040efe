"""How the store is kept at rest: payloads that only the key at rest opens, and names that only it can make.

Every payload is AES-256-GCM with a random nonce, and the place of its row is authenticated with it, so that rows
cannot be swapped. A record's contents are sealed with a key of its own; without that key nobody opens them.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mpi.domain.record import EncodedRecord
from mpi.errors import StoreUnusable
from mpi.keyfiles import KEY_BYTES, Keyed, derive

_NONCE_BYTES = 12
_NAME_BYTES = 16


class Box:
    """Seals payloads under one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, place: str, content: bytes) -> bytes:
        """Encrypt a payload for its place."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, place.encode())

    def open(self, place: str, sealed: bytes) -> bytes:
        """Decrypt a payload that stands in this place.

        Raises:
            StoreUnusable: the key is another one, or the payload was changed or moved.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            raise StoreUnusable(
                "a row does not open with the key at rest: the key file is another one, or the row was changed"
            ) from None


class Sealing:
    """The keys of a store."""

    def __init__(self, at_rest: bytes) -> None:
        self.box = Box(derive(at_rest, "store/payload"))
        self._ref_key = Keyed(derive(at_rest, "store/ref"))
        self._trace_key = Keyed(derive(at_rest, "store/trace"))
        self._subject_key = Keyed(derive(at_rest, "store/subject"))

    def ref(self, facility: str, local_id_token: bytes) -> bytes:
        """Keyed name that finds a facility's record again, 32 bytes."""
        return self._ref_key.digest(facility.encode() + b"\x1f" + local_id_token)

    def refs(self, record: EncodedRecord) -> tuple[bytes, bytes | None]:
        """Keyed names of a record: of its own key epoch, and of the one before while the epoch is being changed."""
        earlier = record.earlier
        return (
            self.ref(record.facility, record.local_id_token),
            None if earlier is None else self.ref(record.facility, earlier.local_id_token),
        )

    def trace(self, eid: str) -> bytes:
        """Keyed name under which the changes of an identity are found, 16 bytes."""
        return self._trace_key.digest(eid.encode())[:_NAME_BYTES]

    def change(self, revision: int, outer: bytes, inner: bytes) -> bytes:
        """Payload of a row of the log: its outer part sealed here, its inner part sealed already."""
        sealed = self.box.seal(f"change/{revision}", outer)
        return len(sealed).to_bytes(4, "big") + sealed + inner

    def subject(self, packed: bytes) -> bytes:
        """Keyed name under which what was said about somebody is found, 16 bytes."""
        return self._subject_key.digest(packed)[:_NAME_BYTES]

    def new_record_key(self, number: int) -> tuple[Box, bytes]:
        """Make a record's own key; gives what it seals with, and the key sealed for the record's row."""
        key = os.urandom(KEY_BYTES)
        return Box(key), self.box.seal(f"record/{number}", key)

    def record_key(self, number: int, payload: bytes) -> Box:
        """Open the key of a record from its row."""
        return Box(self.box.open(f"record/{number}", payload))
