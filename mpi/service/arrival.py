"""Records on their way in: as they arrived, and as the gateway admits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mpi.domain.record import EncodedRecord, RecordName
from mpi.store.sql import StoredRecord


@dataclass(frozen=True, slots=True)
class Arrived:
    """A record that the gateway lets in, as it arrived, with the keyed digest of that."""

    sent: EncodedRecord
    digest: bytes
    names: list[RecordName]
    """Names that find the record again: of its own key epoch, then of the one before."""

    def held_as(self, known: Mapping[RecordName, StoredRecord]) -> StoredRecord | None:
        """Find what is stored of this record, under either name; also when it was retracted."""
        return next((known[name] for name in self.names if name in known), None)

    def is_unchanged(self, known: Mapping[RecordName, StoredRecord]) -> bool:
        """Say whether it is stored already with this content, and was not retracted."""
        before = self.held_as(known)
        return before is not None and bool(before.eid) and before.digest == self.digest


@dataclass(frozen=True, slots=True)
class Admitted(Arrived):
    """A record that passed the gateway."""

    record: EncodedRecord
