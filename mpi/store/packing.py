"""Records as bytes: the payload that the store encrypts.

A flat sequence of length-prefixed fields. It is ours alone and versioned by its first byte, so that what is at rest
does not depend on the protos that clients speak.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.record import ChannelEncoding, EncodedDemographics, EncodedRecord

_VERSION = b"\x01"
_LENGTH = struct.Struct(">H")


def pack_record(record: EncodedRecord) -> bytes:
    """Write a record as bytes; equal records give equal bytes."""
    demographics = record.demographics
    fields = [
        record.facility.encode(),
        record.local_id_token,
        record.pointer,
        demographics.profile.encode(),
        demographics.profile_digest,
        demographics.key_epoch.encode(),
        _LENGTH.pack(len(demographics.tokens)),
    ]
    for token in demographics.tokens:
        fields += [token.kind.value.encode(), token.value]
    for encoding in demographics.channels:
        fields += [encoding.channel.encode(), encoding.bucket, encoding.vector]
    return _VERSION + b"".join(_LENGTH.pack(len(field)) + field for field in fields)


def unpack_record(packed: bytes) -> EncodedRecord:
    """Read a record back from `pack_record`'s bytes.

    Raises:
        ValueError: the bytes are not a packed record.
    """
    if packed[:1] != _VERSION:
        raise ValueError("not a packed record")
    fields = list(_fields(packed))
    facility, local_id_token, pointer, profile, digest, epoch, count = fields[:7]
    rest = fields[7:]
    (tokens,) = _LENGTH.unpack(count)
    numbers, channels = rest[: 2 * tokens], rest[2 * tokens :]
    return EncodedRecord(
        facility.decode(),
        local_id_token,
        pointer,
        EncodedDemographics(
            profile.decode(),
            digest,
            epoch.decode(),
            tuple(
                IdentifierToken(IdentifierKind(kind.decode()), value)
                for kind, value in zip(numbers[::2], numbers[1::2], strict=True)
            ),
            tuple(
                ChannelEncoding(name.decode(), bucket, vector)
                for name, bucket, vector in zip(channels[::3], channels[1::3], channels[2::3], strict=True)
            ),
        ),
    )


def _fields(packed: bytes) -> Iterator[bytes]:
    at = 1
    while at < len(packed):
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
        if at + length > len(packed):
            raise ValueError("a packed record is cut short")
        yield packed[at : at + length]
        at += length
