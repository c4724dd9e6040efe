"""Pseudonyms: the enterprise ids that a client sees are its own, so that two clients cannot join what they keep.

An id is a block, and each client has a keyed permutation of blocks (AES-256): the centre reads back what it gave, and
an id that another client was given leads nowhere.

What a facility sees for a person of its own stands for the facility's oldest record of that person (`own_eid`), not for
the identity: it stays the same when records that the facility may not see are merged with its own, or parted from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from mpi.index.lmdb_index import Index
from mpi.index.sealing import BlockCipher, eid_bytes, eid_text, eid_texts
from mpi.keyfiles import derive

CLIENTS_KEPT = 4096

_OWN = bytes(8)
"""How an id begins that stands for a record; enterprise ids are random."""


def own_eid(number: int) -> str:
    """The id that stands for a record, before it is made the facility's own."""
    return eid_text(_OWN + number.to_bytes(8, "big"))


class Pseudonyms:
    """Enterprise ids as each client sees them."""

    def __init__(self, secret: bytes, index: Index) -> None:
        self._index = index
        self._cipher = lru_cache(CLIENTS_KEPT)(lambda client: BlockCipher(derive(secret, f"eid/{client}")))

    def outward(self, client: str, eid: str) -> str:
        """The id that a client sees for an enterprise id."""
        return eid_text(self._cipher(client).seal_eid(eid))

    def all_outward(self, client: str, eids: Sequence[str]) -> list[str]:
        """The ids that a client sees for enterprise ids, in their order."""
        return eid_texts(self._cipher(client).seal(bytes.fromhex("".join(eids).replace("-", ""))))

    def inward(self, client: str, eid: str) -> str:
        """The enterprise id behind what a client says."""
        said = self._cipher(client).open_eid(eid_bytes(eid))
        packed = eid_bytes(said)
        if not packed.startswith(_OWN):
            return said
        with self._index.reading() as reader:
            return reader.placed(int.from_bytes(packed, "big")) or said
