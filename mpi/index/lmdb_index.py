"""The index: LMDB tables shared by all processes of a host, rebuilt from the store at any time.

============  =====================================  =====================================================
table         key                                    value
============  =====================================  =====================================================
candidates    name of (channel, bucket token)        many: record number encrypted per channel, then vector
locations     name of a look-up key                  many: enterprise id, encrypted
records       record number, encrypted               enterprise id, encrypted
identities    name of an enterprise id               members: number, facility, pointer, tokens, channels
state         "revision"                             revision of the store that the index stands at
============  =====================================  =====================================================

Names are keyed hashes. A lookup reads `locations` and `identities`; matching reads `candidates`, `records` and
`identities`. Neither touches SQL.
"""

from __future__ import annotations

import struct
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken, LocateKey
from mpi.domain.identity import Identity, Location
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.errors import IndexCorrupt
from mpi.index.sealing import BLOCK, Numbers, Sealer
from mpi.linkage.comparison import Vectors

MAP_BYTES = 1 << 38
"""Address space that LMDB reserves (256 GiB); the file itself grows as it is filled."""

TABLES = ("candidates", "locations", "records", "identities", "state")
TokenKey = IdentifierToken | LocalIdToken
"""Look-up keys that are tokens of a record; an enterprise id needs no table."""

_REVISION = b"revision"
_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")


@dataclass(frozen=True, slots=True, repr=False)
class MemberEncoding:
    """What a record has under one key epoch: its name, its numbers, and the names of its channels."""

    epoch: str
    local_id: LocalIdToken
    tokens: tuple[IdentifierToken, ...]
    channels: frozenset[str]

    @classmethod
    def of(cls, local_id_token: bytes, demographics: EncodedDemographics) -> MemberEncoding:
        """Take from an encoding what the index keeps of it."""
        return cls(
            demographics.key_epoch,
            LocalIdToken(local_id_token),
            demographics.tokens,
            frozenset(encoding.channel for encoding in demographics.channels),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Member:
    """One record of an identity, as matching and locating need it; encodings from the newest epoch on."""

    number: int
    location: Location
    encodings: tuple[MemberEncoding, ...]

    @classmethod
    def of(cls, number: int, record: EncodedRecord) -> Member:
        """Take from a record what the index keeps of a member."""
        encodings = [MemberEncoding.of(record.local_id_token, record.demographics)]
        if record.earlier is not None:
            encodings.append(MemberEncoding.of(record.earlier.local_id_token, record.earlier.demographics))
        return cls(number, Location(record.facility, record.pointer), tuple(encodings))

    def look_up_keys(self) -> list[TokenKey]:
        """Look-up keys that lead to this member's identity."""
        keys: list[TokenKey] = []
        for encoding in self.encodings:
            keys += (encoding.local_id, *encoding.tokens)
        return keys


class Index:
    """An open index folder. One process writes at a time; readers never wait."""

    def __init__(self, folder: Path, at_rest: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.at_rest = at_rest
        self._sealer = Sealer(at_rest)
        try:
            self._env = lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=len(TABLES), max_readers=512)
            many = {"candidates": {"dupsort": True, "dupfixed": True}, "locations": {"dupsort": True, "dupfixed": True}}
            self._tables = {
                name: self._env.open_db(name.encode(), **many.get(name, {}))  # type: ignore[arg-type]
                for name in TABLES
            }
        except lmdb.Error as error:
            raise IndexCorrupt(f"{folder}: not a usable index ({type(error).__name__}); rebuild it") from None

    def close(self) -> None:
        """Close the files."""
        self._env.close()

    @contextmanager
    def reading(self) -> Iterator[IndexReader]:
        """Read one snapshot."""
        with self._env.begin(buffers=True) as transaction:
            yield IndexReader(self._sealer, self._tables, transaction)

    @contextmanager
    def writing(self) -> Iterator[IndexWriter]:
        """Write: all of it is committed when the block ends well, nothing when it raises."""
        with self._env.begin(write=True) as transaction:
            yield IndexWriter(self._sealer, self._tables, transaction)

    def cover(self) -> None:
        """Commit once more without changing anything.

        LMDB keeps the snapshot before the last write in the file. Without this, the difference of the two snapshots
        would show the rows of the record that was written last. What free pages remember is not covered.
        """
        with self._env.begin(write=True) as transaction:
            state = self._tables["state"]
            transaction.put(_REVISION, transaction.get(_REVISION, _U64.pack(0), db=state), db=state)

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Read every row of a table as it lies on disk, in its order; for verification."""
        with self._env.begin() as transaction, transaction.cursor(self._tables[table]) as cursor:
            yield from cursor.iternext(keys=True, values=True)


class IndexReader:
    """A snapshot of the index."""

    def __init__(self, sealer: Sealer, tables: dict[str, Any], transaction: Any) -> None:
        self._sealer = sealer
        self._tables = tables
        self._transaction = transaction

    def revision(self) -> int:
        """Revision of the store that this snapshot stands at."""
        value = self._transaction.get(_REVISION, db=self._tables["state"])
        return 0 if value is None else int(_U64.unpack(bytes(value))[0])

    def bucket(self, channel: str, token: bytes, vector_bytes: int) -> tuple[Numbers, Vectors]:
        """Read a bucket: record numbers and their vectors, row by row."""
        key = self._sealer.name("candidates", channel.encode(), token)
        with self._transaction.cursor(self._tables["candidates"]) as cursor:
            if not cursor.set_key(key):
                return np.empty(0, np.int64), np.empty((0, vector_bytes), np.uint8)
            rows = b"".join(cursor.iternext_dup())
        table = np.frombuffer(rows, dtype=np.uint8).reshape(-1, BLOCK + vector_bytes)
        numbers = self._sealer.channel(channel).open_numbers(table[:, :BLOCK].tobytes())
        return numbers, table[:, BLOCK:]

    def eids(self, key: LocateKey) -> list[str]:
        """Enterprise ids that a look-up key leads to, sorted."""
        if isinstance(key, EnterpriseId):
            return [key.value]
        with self._transaction.cursor(self._tables["locations"]) as cursor:
            if not cursor.set_key(_location_name(self._sealer, key)):
                return []
            blocks = [bytes(block) for block in cursor.iternext_dup()]
        return sorted(self._sealer.record_value.open_eid(block) for block in blocks)

    def eid_of(self, number: int) -> str:
        """Identity that a record belongs to.

        Raises:
            IndexCorrupt: no such record.
        """
        block = self._transaction.get(self._sealer.record_key.seal_number(number), db=self._tables["records"])
        if block is None:
            raise IndexCorrupt("the index names a record that it does not hold; rebuild it")
        return self._sealer.record_value.open_eid(bytes(block))

    def members(self, eid: str) -> list[Member]:
        """Members of an identity by record number; empty when there is no such identity."""
        key = self._sealer.name("identities", uuid.UUID(eid).bytes)
        sealed = self._transaction.get(key, db=self._tables["identities"])
        return [] if sealed is None else _unpack_members(self._sealer.open(key, bytes(sealed)))

    def locate(self, key: LocateKey) -> tuple[Identity, ...]:
        """Identities that a look-up key leads to, each with its locations in order."""
        found = []
        for eid in self.eids(key):
            members = self.members(eid)
            if members:
                found.append(Identity(eid, tuple(sorted(member.location for member in members))))
        return tuple(found)


class IndexWriter(IndexReader):
    """A write transaction on the index."""

    def __init__(self, sealer: Sealer, tables: dict[str, Any], transaction: Any) -> None:
        super().__init__(sealer, tables, transaction)
        self._touched: dict[str, dict[int, Member]] = {}
        self._stale: dict[TokenKey, set[str]] = {}
        self._added: set[tuple[bytes, bytes]] = set()

    def set_revision(self, revision: int) -> None:
        """Say which revision of the store the index stands at after this transaction."""
        self._transaction.put(_REVISION, _U64.pack(revision), db=self._tables["state"])

    def add_candidates(self, number: int, record: EncodedRecord) -> None:
        """Add a record's rows to its buckets."""
        self._added.update(self._candidate_rows(number, record))

    def remove_candidates(self, number: int, record: EncodedRecord) -> None:
        """Take a record's rows out of its buckets."""
        for row in self._candidate_rows(number, record):
            if row in self._added:
                self._added.remove(row)
            self._transaction.delete(*row, db=self._tables["candidates"])

    def put_member(self, eid: str, member: Member) -> None:
        """Put a record into an identity, or replace what is kept of it there."""
        self._remember(eid, self._identity(eid).get(member.number))
        self._identity(eid)[member.number] = member
        key = self._sealer.record_key.seal_number(member.number)
        self._transaction.put(key, self._sealer.record_value.seal_eid(eid), db=self._tables["records"])

    def drop_member(self, eid: str, number: int) -> None:
        """Take a record out of an identity."""
        self._remember(eid, self._identity(eid).pop(number, None))

    def flush(self) -> None:
        """Write the identities that were touched and the look-up keys that changed with them."""
        # A page keeps the order in which its rows were written. Sorted by their keyed names, the rows of one batch
        # come in an order that has nothing to do with the records that they are of.
        for key, row in sorted(self._added):
            self._transaction.put(key, row, db=self._tables["candidates"])
        self._added.clear()
        locations = self._tables["locations"]
        for eid, members in self._touched.items():
            key = self._sealer.name("identities", uuid.UUID(eid).bytes)
            if members:
                packed = _pack_members([members[number] for number in sorted(members)])
                self._transaction.put(key, self._sealer.seal(key, packed), db=self._tables["identities"])
            else:
                self._transaction.delete(key, db=self._tables["identities"])
            for member in members.values():
                for look_up in member.look_up_keys():
                    name, block = _location_name(self._sealer, look_up), self._sealer.record_value.seal_eid(eid)
                    self._transaction.put(name, block, dupdata=True, db=locations)
                    self._stale.get(look_up, set()).discard(eid)
        for look_up, eids in self._stale.items():
            for eid in eids:
                name, block = _location_name(self._sealer, look_up), self._sealer.record_value.seal_eid(eid)
                self._transaction.delete(name, block, db=locations)
        self._touched.clear()
        self._stale.clear()

    def _candidate_rows(self, number: int, record: EncodedRecord) -> Iterator[tuple[bytes, bytes]]:
        rows: Counter[str] = Counter()
        for encoding in (each for demographics in record.encodings() for each in demographics.channels):
            channel = encoding.channel
            key = self._sealer.name("candidates", channel.encode(), encoding.bucket)
            yield key, self._sealer.channel(channel).seal_number(number, rows[channel]) + encoding.vector
            rows[channel] += 1

    def _identity(self, eid: str) -> dict[int, Member]:
        if eid not in self._touched:
            self._touched[eid] = {member.number: member for member in self.members(eid)}
        return self._touched[eid]

    def _remember(self, eid: str, member: Member | None) -> None:
        for look_up in member.look_up_keys() if member else ():
            self._stale.setdefault(look_up, set()).add(eid)


def _location_name(sealer: Sealer, key: TokenKey) -> bytes:
    kind = key.kind.value if isinstance(key, IdentifierToken) else "local_id"
    return sealer.name("locations", kind.encode(), key.value)


def _pack_members(members: Sequence[Member]) -> bytes:
    parts = []
    for member in members:
        fields = [
            _U64.pack(member.number),
            member.location.facility.encode(),
            member.location.pointer,
        ]
        for each in member.encodings:
            fields += [each.epoch.encode(), each.local_id.value, " ".join(sorted(each.channels)).encode()]
            fields.append(_U16.pack(len(each.tokens)))
            fields += [part for token in each.tokens for part in (token.kind.value.encode(), token.value)]
        parts.append(_U16.pack(len(fields)) + b"".join(_U16.pack(len(field)) + field for field in fields))
    return b"".join(parts)


def _unpack_members(packed: bytes) -> list[Member]:
    members, at = [], 0
    while at < len(packed):
        (count,) = _U16.unpack_from(packed, at)
        at += _U16.size
        fields = []
        for _ in range(count):
            (length,) = _U16.unpack_from(packed, at)
            at += _U16.size
            fields.append(packed[at : at + length])
            at += length
        number, facility, pointer, *rest = fields
        location = Location(facility.decode(), pointer)
        members.append(Member(int(_U64.unpack(number)[0]), location, tuple(_unpack_encodings(iter(rest)))))
    return members


def _unpack_encodings(fields: Iterator[bytes]) -> Iterator[MemberEncoding]:
    for epoch in fields:
        local_id, channels = LocalIdToken(next(fields)), frozenset(next(fields).decode().split())
        tokens = tuple(
            IdentifierToken(IdentifierKind(next(fields).decode()), next(fields))
            for _ in range(_U16.unpack(next(fields))[0])
        )
        yield MemberEncoding(epoch.decode(), local_id, tokens, channels)
