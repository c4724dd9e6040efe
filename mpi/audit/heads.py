"""Heads: how far each chain had come, signed, in files that do not lie beside the journal.

A chain alone cannot show that its end was cut off. Its head can: it is written after the entries are on disk and
before any of them is answered for. A head is small and is overwritten in its place, so it never needs space.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mpi.audit import lines
from mpi.audit.lines import Fields

_BYTES = 512
"""One sector: it is written whole or not at all."""


class HeadFile:
    """The head of one chain, held open by the process that writes the chain."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a head's file, making it where there is none; raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(path, os.open(path, os.O_RDWR | os.O_CREAT, 0o644))

    def write(self, chain: str, sequence: int, line_digest: str, key: Ed25519PrivateKey) -> None:
        """Say that a chain holds a line; raises OSError."""
        fields = {"at": lines.now(), "chain": chain, "hash": line_digest, "kind": "head", "sequence": sequence}
        line = lines.signed(fields, key)
        if os.pwrite(self._descriptor, line.ljust(_BYTES - 1) + b"\n", 0) != _BYTES:
            raise OSError("the head was not written whole")

    def close(self) -> None:
        """Close the file, once it is on disk."""
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)


def read_head(path: Path, key: Ed25519PublicKey) -> Fields | None:
    """Read a head; None where the file is missing or empty.

    Raises:
        ValueError: what it holds is not a head that the key has signed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES + 1)
    except FileNotFoundError:
        return None
    if not content:
        return None
    if len(content) != _BYTES:
        raise ValueError("is not as long as a head")
    return checked_head(content, key)


def checked_head(content: bytes, key: Ed25519PublicKey) -> Fields:
    """Read a head's line.

    Raises:
        ValueError: it is not a head that the key has signed.
    """
    fields = lines.parsed(content.strip())
    if fields is None or fields.get("kind") != "head" or not lines.is_signed(fields, key):
        raise ValueError("is not a signed head")
    return fields
