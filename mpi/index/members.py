"""Members of identities: what the index keeps of a record, and how a row of `identities` holds it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from mpi.domain.consent import Subject
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.identity import Location
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.linkage.fellegi_sunter import Features

TokenKey = IdentifierToken | LocalIdToken
"""Look-up keys that are tokens of a record; an enterprise id needs no table."""

_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")
_KINDS = {kind.value.encode(): kind for kind in IdentifierKind}


@dataclass(frozen=True, repr=False)
class MemberEncoding:
    """What a record has under one key epoch: its name, its numbers, and the names of its channels."""

    epoch: str
    local_id: LocalIdToken
    tokens: tuple[IdentifierToken, ...]
    channels: frozenset[str]

    @cached_property
    def features(self) -> Features:
        """What matching weighs."""
        return Features.of(self.tokens, self.channels)

    @classmethod
    def of(cls, local_id_token: bytes, demographics: EncodedDemographics) -> MemberEncoding:
        """Take from an encoding what the index keeps of it."""
        return cls(
            demographics.key_epoch,
            LocalIdToken(local_id_token),
            demographics.tokens,
            frozenset(encoding.channel for encoding in demographics.channels),
        )


@dataclass(frozen=True, repr=False)
class Member:
    """One record of an identity, as matching and locating need it; encodings from the newest epoch on."""

    number: int
    location: Location
    encodings: tuple[MemberEncoding, ...]

    @cached_property
    def packed(self) -> bytes:
        """The member as an identity's row holds it."""
        return _pack_member(self)

    @classmethod
    def of(cls, number: int, record: EncodedRecord) -> Member:
        """Take from a record what the index keeps of a member."""
        encodings = [MemberEncoding.of(record.local_id_token, record.demographics)]
        if record.earlier is not None:
            encodings.append(MemberEncoding.of(record.earlier.local_id_token, record.earlier.demographics))
        return cls(number, Location(record.facility, record.pointer), tuple(encodings))

    def tokens(self) -> Iterator[IdentifierToken]:
        """Numbers of the person, under every epoch."""
        for encoding in self.encodings:
            yield from encoding.tokens

    def numbers(self) -> Iterator[int]:
        """The record's own number, as the one thing that an objection that outlived a split is kept by."""
        yield self.number

    def subjects(self) -> Iterator[Subject]:
        """Everything that a consent may know this member by."""
        yield from self.numbers()
        yield from self.tokens()

    def look_up_keys(self) -> list[TokenKey]:
        """Look-up keys that lead to this member's identity."""
        keys: list[TokenKey] = []
        for encoding in self.encodings:
            keys += (encoding.local_id, *encoding.tokens)
        return keys


def pack_members(members: Iterable[Member]) -> bytes:
    """Write members as the row of their identity holds them."""
    return b"".join(member.packed for member in members)


def _pack_member(member: Member) -> bytes:
    fields = [_U64.pack(member.number), member.location.facility.encode(), member.location.pointer]
    for each in member.encodings:
        fields += [each.epoch.encode(), each.local_id.value, _packed_channels(each.channels)]
        fields.append(_U16.pack(len(each.tokens)))
        for token in each.tokens:
            fields += (token.kind.value.encode(), token.value)
    return _U16.pack(len(fields)) + b"".join([_U16.pack(len(field)) + field for field in fields])


def unpack_members(packed: bytes) -> list[Member]:
    """Read members back."""
    members, at = [], 0
    while at < len(packed):
        start, count = at, packed[at] << 8 | packed[at + 1]
        at += 2
        fields = []
        for _ in range(count):
            first = at + 2
            at = first + (packed[at] << 8 | packed[at + 1])
            fields.append(packed[first:at])
        encodings, place = [], 3
        while place < count:
            epoch, local_id, channels, tokens = fields[place : place + 4]
            end = place + 4 + 2 * (tokens[0] << 8 | tokens[1])
            held = tuple([IdentifierToken(_KINDS[fields[each]], fields[each + 1]) for each in range(place + 4, end, 2)])
            encodings.append(MemberEncoding(epoch.decode(), LocalIdToken(local_id), held, _channels(channels)))
            place = end
        location = Location(fields[1].decode(), fields[2])
        member = Member(int.from_bytes(fields[0], "big"), location, tuple(encodings))
        member.__dict__["packed"] = packed[start:at]
        members.append(member)
    return members


@lru_cache(maxsize=1024)
def _channels(packed: bytes) -> frozenset[str]:
    return frozenset(packed.decode().split())


@lru_cache(maxsize=1024)
def _packed_channels(channels: frozenset[str]) -> bytes:
    return " ".join(sorted(channels)).encode()
