"""Keyed tokens of numbers and local ids, and the pointer that only the facility can open."""

from __future__ import annotations

import functools

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.encoder.keys import Keys
from mpi.errors import InputRejected
from mpi.keyfiles import Keyed

_PAD = 32
"""Local ids are padded to a multiple of this, so that a pointer's length does not tell theirs."""


class Tokeniser:
    """Makes the tokens of one epoch: HMAC-SHA256 under a key of its own for each kind of number."""

    def __init__(self, keys: Keys) -> None:
        self._keyed = functools.cache(lambda purpose: Keyed(keys.derive(purpose)))

    def identifier(self, kind: IdentifierKind, value: str) -> IdentifierToken:
        """Token of a normalised number; a passport's value is its country, a colon and its number."""
        return IdentifierToken(kind, self._keyed(f"token/{kind.value}").digest(value.encode()))

    def local_id(self, facility: str, local_id: str) -> LocalIdToken:
        """Token of a facility's local id: the same local id at two facilities gives two tokens."""
        message = f"{facility}\x1f{local_id}".encode()
        return LocalIdToken(self._keyed("token/local_id").digest(message))


class PointerBox:
    """Seals local ids into pointers and opens them again.

    AES-SIV (RFC 5297) without a nonce: sealing a local id again gives the same pointer, so that registering an
    unchanged record changes nothing. Equality of local ids inside one facility is all that it reveals.

    Args:
        pointer_secret: seals, and opens.
        facility: whose local ids.
        earlier: opens what was sealed before the secret was renewed; None where it never was.
    """

    def __init__(self, pointer_secret: bytes, facility: str, earlier: bytes | None = None) -> None:
        self._cipher = AESSIV(pointer_secret)
        self._earlier = None if earlier is None else AESSIV(earlier)
        self._facility = facility.encode()

    def seal(self, local_id: str) -> bytes:
        """Encrypt a local id."""
        text = local_id.encode()
        return self._cipher.encrypt(text + b"\x80" + bytes(-(len(text) + 1) % _PAD), [self._facility])

    def open(self, pointer: bytes) -> str:
        """Decrypt a pointer of this facility.

        Raises:
            InputRejected: the pointer was sealed by another facility or key, or was changed.
        """
        for cipher in (self._cipher, self._earlier):
            try:
                if cipher is not None:
                    return cipher.decrypt(pointer, [self._facility]).rstrip(b"\x00")[:-1].decode()
            except (InvalidTag, ValueError):
                continue
        raise InputRejected("pointer: not sealed by this facility's key")
