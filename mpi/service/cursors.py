"""Cursors of feeds: where a client stands in the log of changes, told to nobody, the client included.

A cursor is sealed for one client, and no two are alike although they stand for the same place: whether anything
happened between two of them, such as a change that is hidden from the client, cannot be seen.
"""

from __future__ import annotations

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from mpi.errors import Reason, RecordRejected
from mpi.keyfiles import derive

_PLACE = struct.Struct(">16sQ")
_SALT_BYTES = 16
_FORMAT = b"\x01"


class Cursors:
    """Seals and opens cursors; every process of a centre does it alike."""

    def __init__(self, secret: bytes) -> None:
        self._box = AESSIV(derive(secret, "watch/cursor", 64))

    def seal(self, client: str, lineage: str, revision: int) -> bytes:
        """Write where a client stands.

        Args:
            client: its name in full.
            lineage: name of the history that the revision is one of, 32 hexadecimal digits.
            revision: the last change that it has been told of, or that was kept from it.
        """
        salt = os.urandom(_SALT_BYTES)
        place = _PLACE.pack(bytes.fromhex(lineage), revision)
        return _FORMAT + salt + self._box.encrypt(place, [client.encode(), salt])

    def open(self, client: str, lineage: str, cursor: bytes) -> int:
        """Read where a client stands; arguments as for `seal`.

        Raises:
            RecordRejected: REQUEST_INVALID: this index never gave such a cursor to this client, or was restored since.
        """
        salt, sealed = cursor[1 : 1 + _SALT_BYTES], cursor[1 + _SALT_BYTES :]
        try:
            if cursor[:1] != _FORMAT:
                raise InvalidTag
            history, revision = _PLACE.unpack(self._box.decrypt(sealed, [client.encode(), salt]))
        except (InvalidTag, ValueError, struct.error):
            raise _unusable("is not one that this index gave to this client") from None
        if history != bytes.fromhex(lineage):
            raise _unusable("is from before the index was restored from a backup")
        return int(revision)


def _unusable(problem: str) -> RecordRejected:
    remedy = "watch from now on, and look up again what you keep"
    return RecordRejected(Reason.REQUEST_INVALID, "cursor", f"{problem}; {remedy}")
