"""The index as it will be after a batch: a snapshot, and what the batch has changed so far on top of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpi.domain.changes import Move
from mpi.domain.identifiers import IdentifierToken
from mpi.domain.record import EncodedRecord
from mpi.index.members import Member
from mpi.index.reader import IndexReader
from mpi.index.sealing import Numbers
from mpi.linkage.comparison import Vectors


class Overlay:
    """What matching reads while a batch is being placed."""

    def __init__(self, reader: IndexReader, bucket_cap: int) -> None:
        self._reader = reader
        self._bucket_cap = bucket_cap
        self._full: set[str] = set()
        self._buckets: dict[tuple[str, bytes], list[tuple[int, bytes]]] = {}
        self._members: dict[str, dict[int, Member]] = {}
        self._own: set[int] = set()
        self._replaced: set[int] = set()
        self._eids: dict[int, str] = {}
        self._numbers: dict[IdentifierToken, set[str]] = {}

    def bucket(self, channel: str, token: bytes, vector_bytes: int) -> tuple[Numbers, Vectors]:
        """Rows of the snapshot that the batch has not replaced, and the batch's own; none of too full a bucket."""
        own = self._buckets.get((channel, token), [])
        rows = self._reader.bucket_within(channel, token, vector_bytes, self._bucket_cap - len(own))
        if rows is None:
            self._full.add(channel)
            return np.empty(0, np.int64), np.empty((0, vector_bytes), np.uint8)
        numbers, vectors = rows
        if self._replaced and len(numbers):
            kept = ~np.isin(numbers, list(self._replaced))
            if not kept.all():
                numbers, vectors = numbers[kept], vectors[kept]
        if own:
            numbers = np.concatenate([numbers, np.array([n for n, _ in own], np.int64)])
            fresh = np.frombuffer(b"".join(v for _, v in own), np.uint8).reshape(-1, vector_bytes)
            vectors = np.concatenate([vectors, fresh])
        return numbers, vectors

    def full_channels(self) -> frozenset[str]:
        """Channels on which a bucket was too full to be read since this was asked last."""
        full = frozenset(self._full)
        self._full.clear()
        return full

    def placed(self, number: int) -> str:
        """Identity that this batch put a record into, "" for none."""
        return self._eids.get(number, "")

    def eids(self, key: IdentifierToken) -> list[str]:
        """Identities that a number leads to."""
        return sorted({*self._reader.eids(key), *self._numbers.get(key, ())})

    def eid_of(self, number: int) -> str:
        """Identity that a record belongs to."""
        return self._eids.get(number) or self._reader.eid_of(number)

    def members(self, eid: str) -> list[Member]:
        """Members of an identity."""
        members = self._identity(eid)
        return [members[number] for number in sorted(members)]

    def place(self, eid: str, number: int, record: EncodedRecord, previous: str) -> None:
        """Put a record of the batch where it was decided that it belongs."""
        if number in self._own:  # registered twice in one batch: the later content counts
            for rows in self._buckets.values():
                rows[:] = [row for row in rows if row[0] != number]
        if previous:
            self._replaced.add(number)
            self._identity(previous).pop(number, None)
        self._own.add(number)
        self._eids[number] = eid
        self._identity(eid)[number] = Member.of(number, record)
        for demographics in record.encodings():
            for encoding in demographics.channels:
                self._buckets.setdefault((encoding.channel, encoding.bucket), []).append((number, encoding.vector))
            for token in demographics.tokens:
                self._numbers.setdefault(token, set()).add(eid)

    def move(self, moves: Sequence[Move]) -> None:
        """Put records that are held into other identities."""
        for move in moves:
            member = self._identity(move.source).pop(move.record)
            self._identity(move.target)[move.record] = member
            self._eids[move.record] = move.target
            for token in (token for encoding in member.encodings for token in encoding.tokens):
                self._numbers.setdefault(token, set()).add(move.target)

    def _identity(self, eid: str) -> dict[int, Member]:
        if eid not in self._members:
            self._members[eid] = {member.number: member for member in self._reader.remembered(eid)}
        return self._members[eid]
