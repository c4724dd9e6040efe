"""Location: which facilities hold records of a person, and under which pointer."""

from __future__ import annotations

from collections.abc import Sequence

from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken, LocateKey
from mpi.domain.identity import Identity
from mpi.errors import Reason, RecordRejected
from mpi.index.lmdb_index import Index, IndexReader
from mpi.service.gateway import Gateway


class Locator:
    """What the index holds, hidden from nobody; what callers may learn of it is for `Disclosure` to say."""

    def __init__(self, gateway: Gateway, index: Index) -> None:
        self._gateway = gateway
        self._index = index

    def locate(self, key: LocateKey) -> tuple[Identity, ...]:
        """Find the identities that a key leads to: none, one, or several that carry the same number unlinked.

        Raises:
            RecordRejected: a phone, which is not a person's alone.
        """
        with self._index.reading() as reader:
            return reader.locate(admitted(self._gateway, reader, key))

    def revision(self) -> int:
        """Revision of the store that the index stands at."""
        with self._index.reading() as reader:
            return reader.revision()


def admitted_all(gateway: Gateway, reader: IndexReader, keys: Sequence[LocateKey]) -> list[LocateKey | RecordRejected]:
    """Re-key look-up keys as they arrived; for one that cannot be looked up, the error says why."""
    found: list[LocateKey | RecordRejected] = []
    for key in keys:
        try:
            found.append(admitted(gateway, reader, key))
        except RecordRejected as rejected:
            found.append(rejected)
    return found


def admitted(gateway: Gateway, reader: IndexReader, key: LocateKey) -> LocateKey:
    """Re-key a look-up key as it arrived.

    Raises:
        RecordRejected: a phone, which is not a person's alone.
    """
    if isinstance(key, EnterpriseId):
        return key
    found: Sequence[IdentifierToken | LocalIdToken]
    if isinstance(key, LocalIdToken):
        found = gateway.local_id_tokens(key)
    elif key.kind is IdentifierKind.PHONE:
        # Families share phones: who asks by phone would learn of people whom nobody asked about.
        raise RecordRejected(Reason.REQUEST_INVALID, "key.identifier.kind", "a phone names no single person")
    else:
        found = gateway.identifiers(key)
    if len(found) == 1:
        return found[0]
    return next((each for each in found if reader.eids(each)), found[0])
