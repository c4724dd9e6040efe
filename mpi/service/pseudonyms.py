"""Pseudonyms: the enterprise ids that a client sees are its own, so that two clients cannot join what they keep.

An id is a block, and each client has a keyed permutation of blocks (AES-256): the centre reads back what it gave, and
an id that another client was given leads nowhere.
"""

from __future__ import annotations

from functools import lru_cache

from mpi.index.sealing import BlockCipher, eid_bytes, eid_text
from mpi.keyfiles import derive

CLIENTS_KEPT = 4096


class Pseudonyms:
    """Enterprise ids as each client sees them."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = lru_cache(CLIENTS_KEPT)(lambda client: BlockCipher(derive(secret, f"eid/{client}")))

    def outward(self, client: str, eid: str) -> str:
        """The id that a client sees for an enterprise id."""
        return eid_text(self._cipher(client).seal_eid(eid))

    def inward(self, client: str, eid: str) -> str:
        """The enterprise id behind what a client says."""
        return self._cipher(client).open_eid(eid_bytes(eid))
