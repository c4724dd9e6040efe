"""Location: which facilities hold records of a person, and under which pointer."""

from __future__ import annotations

from collections.abc import Sequence

from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocateKey
from mpi.domain.identity import Identity
from mpi.errors import Reason, RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.members import TokenKey
from mpi.index.reader import IndexReader
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


def admitted_all(
    gateway: Gateway, reader: IndexReader, keys: Sequence[LocateKey | RecordRejected]
) -> list[LocateKey | RecordRejected]:
    """Re-key look-up keys as they arrived; for one that cannot be looked up, the error says why."""
    found, *others = gateway.look_up_keys([_phone() if _is_phone(key) else key for key in keys])
    if others:
        every = [each for under_one in (found, *others) for each in under_one if isinstance(each, TokenKey)]
        leading = reader.leading(set(every))
        for at, under_each in enumerate(zip(found, *others, strict=True)):
            found[at] = next((key for key in under_each if key in leading), found[at])
    return found


def _is_phone(key: LocateKey | RecordRejected) -> bool:
    return isinstance(key, IdentifierToken) and key.kind is IdentifierKind.PHONE


def _phone() -> RecordRejected:
    """Refuse a phone: families share them, so who asks by one would learn of people whom nobody asked about."""
    return RecordRejected(Reason.REQUEST_INVALID, "key.identifier.kind", "a phone names no single person")


def admitted(gateway: Gateway, reader: IndexReader, key: LocateKey) -> LocateKey:
    """Re-key a look-up key as it arrived.

    Raises:
        RecordRejected: a phone, which is not a person's alone.
    """
    (found,) = admitted_all(gateway, reader, [key])
    if isinstance(found, RecordRejected):
        raise found
    return found
