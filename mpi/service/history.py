"""History: where a person's records were. The slow path: it reads the store."""

from __future__ import annotations

from mpi.domain.identifiers import EnterpriseId, LocateKey
from mpi.domain.identity import Identity, Lookups
from mpi.errors import Reason, RecordRejected
from mpi.store.history import identity_at
from mpi.store.sql import Store


class History:
    """The use case behind a `Locate` that asks for the past."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def locate_at(self, key: LocateKey, revision: int) -> Lookups:
        """Find the identity that an enterprise id stood for after a revision: none or one.

        Raises:
            RecordRejected: the key is a token, under which the past is not kept, or the revision is yet to come.
        """
        if not isinstance(key, EnterpriseId):
            raise RecordRejected(Reason.REQUEST_INVALID, "as_of", "goes with an enterprise id only")
        with self._store.reading() as reading:
            if revision > reading.head():
                raise RecordRejected(Reason.REQUEST_INVALID, "as_of", "is of a revision that is yet to come")
            found = identity_at(reading, key.value, revision)
        if found is None:
            return Lookups([()], revision)
        places = tuple(sorted(member.location for member in found.members))
        return Lookups([(Identity(found.eid, places, found.split),)], revision)
