"""The initial load: a population that was linked in one batch becomes the identities that registration goes on from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mpi.at_rest import RestKey
from mpi.domain.changes import Cause
from mpi.domain.record import EncodedRecord, RecordName
from mpi.errors import InputRejected, RecordRejected
from mpi.service.gateway import Gateway
from mpi.store.loading import Arrival, SealedRows, seal_rows
from mpi.store.sealing import Sealing
from mpi.store.sql import Store

LOAD_ACTOR = "urn:mpi:import"
WHY = "import"
_SETTING = "import"

Placed = Sequence[tuple[EncodedRecord, str, bool]]
"""Records as they arrived, each with its identity, and whether it is the first of it; all of one facility."""
Prepare = Callable[[int, int, frozenset[RecordName]], SealedRows | None]
"""Makes rows ready for a first number and a first revision, without the records of these names; None for none."""


class Preparing:
    """Makes records ready to be written: re-keyed by the gateway, as everything that arrives, and sealed."""

    def __init__(self, gateway: Gateway, at_rest: Sequence[RestKey]) -> None:
        self._gateway = gateway
        self._sealing = Sealing([key.secret for key in at_rest])
        self._at_rest = " ".join(key.name for key in at_rest)

    def rows(
        self, placed: Placed, number: int, revision: int, leave_out: frozenset[RecordName] = frozenset()
    ) -> SealedRows | None:
        """Make rows ready.

        Args:
            placed: the records.
            number: that the first of them will get.
            revision: that the first of them will be.
            leave_out: names of records that are not loaded.

        Raises:
            RecordRejected: the gateway does not admit one of them.
        """
        admitted = self._gateway.records([record for record, _, _ in placed])
        arrivals: list[Arrival] = []
        names = set(leave_out)
        for (record, eid, begins), rekeyed in zip(placed, admitted, strict=True):
            if isinstance(rekeyed, RecordRejected):
                raise rekeyed
            if names.isdisjoint(rekeyed.names()):
                arrivals.append(Arrival(rekeyed, self._gateway.content_digest(record), eid, begins))
                names.update(rekeyed.names())
        return seal_rows(self._sealing, self._at_rest, arrivals, number, revision, WHY) if arrivals else None


class InitialLoad:
    """The use case behind `mpi import`. How far it has come stands in the store and is committed with the records.

    Attributes:
        position: how many records of the load are done with, counted from its beginning.
        written: how many of them this run wrote.
        kept: how many of them this run left as they were held.
    """

    def __init__(self, store: Store, name: str, rules_digest: str) -> None:
        """Begin a load, or go on with it.

        Args:
            store: where to.
            name: tells this load from any other; its changes have it as their request.
            rules_digest: of the rules that linked it.

        Raises:
            InputRejected: the store holds records, or what citizens said, that this load did not bring.
        """
        self._store = store
        self._name = name
        self._cause = Cause(LOAD_ACTOR, rules_digest, name)
        self.written = self.kept = 0
        with store.reading() as reading:
            earlier, _, position = reading.noted(_SETTING).partition(" ")
            head = reading.head()
        if earlier not in ("", name) or (not earlier and head):
            raise InputRejected(
                "the store holds records or consents that this import did not bring, and the clusters say nothing of "
                "them; nothing was changed. Import into an empty store, or register these files with `mpi register`"
            )
        self.position = int(position or 0)

    def next_place(self) -> tuple[int, int]:
        """Number and revision that the next record gets if nobody else writes meanwhile."""
        with self._store.loading(self._cause) as loading:
            return loading.number + 1, loading.revision + 1

    def take(self, parts: Sequence[tuple[SealedRows | None, int, Prepare]]) -> tuple[int, int]:
        """Write parts in one transaction. A record that is held already stays as it is.

        Args:
            parts: rows, how many records of the load they stand for, and how to make them again when they do not fit.

        Returns:
            Number and revision that the record after them gets.

        Raises:
            StoreUnusable: nothing of them was written.
            InputRejected: another load began meanwhile, or another run of this one.
        """
        written, position = 0, self.position
        with self._store.loading(self._cause) as loading:
            if not position and loading.revision and not loading.noted(_SETTING):
                raise InputRejected("somebody registered records while the import began; nothing of it was written")
            if position and loading.noted(_SETTING) != f"{self._name} {position}":
                raise InputRejected("another import runs on this store; let it end")
            for rows, count, prepare in parts:
                held = loading.held(rows.names) if rows is not None else frozenset()
                if rows is not None and (held or not loading.fits(rows)):
                    rows = prepare(loading.number + 1, loading.revision + 1, held)
                if rows is not None:
                    loading.write(rows)
                    written += len(rows.records)
                position += count
            loading.note(_SETTING, f"{self._name} {position}")
            reached = loading.number + 1, loading.revision + 1
        self.kept += position - self.position - written
        self.written += written
        self.position = position
        return reached
