"""Records as bytes: the payload that the store encrypts.

A flat sequence of length-prefixed fields. It is ours alone and versioned by its first byte, so that what is at rest
does not depend on the protos that clients speak.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.record import ChannelEncoding, EarlierEncoding, EncodedDemographics, EncodedRecord

_VERSION = b"\x02"
_LENGTH = struct.Struct(">H")
_LENGTHS = [_LENGTH.pack(length) for length in range(1 << 12)]
"""Lengths as they stand before a field; no field of a record is longer."""
_WORDS = {kind: kind.value.encode() for kind in IdentifierKind}
_KINDS = {word: kind for kind, word in _WORDS.items()}


def pack_record(record: EncodedRecord) -> bytes:
    """Write a record as bytes; equal records give equal bytes."""
    fields = [record.facility.encode(), record.pointer, record.sealed_view]
    fields += _pack_encoding(record.local_id_token, record.demographics)
    if record.earlier is not None:
        fields += _pack_encoding(record.earlier.local_id_token, record.earlier.demographics)
    prefixed = [_VERSION] * (2 * len(fields) + 1)
    prefixed[1::2] = map(_LENGTHS.__getitem__, map(len, fields))
    prefixed[2::2] = fields
    return b"".join(prefixed)


def unpack_record(packed: bytes) -> EncodedRecord:
    """Read a record back from `pack_record`'s bytes.

    Raises:
        ValueError: the bytes are not a packed record.
    """
    if packed[:1] != _VERSION:
        raise ValueError("not a packed record")
    fields = _fields(packed)
    try:
        facility, pointer, sealed_view = next(fields), next(fields), next(fields)
        newest = _unpack_encoding(next(fields), fields)
        local_id_token = next(fields, None)
        earlier = None if local_id_token is None else _unpack_encoding(local_id_token, fields)
    except StopIteration:
        raise ValueError("a packed record is cut short") from None
    except KeyError:
        raise ValueError("a packed record names an unknown kind of number") from None
    return EncodedRecord(facility.decode(), newest.local_id_token, pointer, newest.demographics, earlier, sealed_view)


def _pack_encoding(local_id_token: bytes, demographics: EncodedDemographics) -> list[bytes]:
    fields = [
        local_id_token,
        demographics.profile.encode(),
        demographics.profile_digest,
        demographics.key_epoch.encode(),
        _LENGTH.pack(len(demographics.tokens)),
        _LENGTH.pack(len(demographics.channels)),
    ]
    for token in demographics.tokens:
        fields += (_WORDS[token.kind], token.value)
    for encoding in demographics.channels:
        fields += (encoding.channel.encode(), encoding.bucket, encoding.vector)
    return fields


def _unpack_encoding(local_id_token: bytes, fields: Iterator[bytes]) -> EarlierEncoding:
    profile, digest, epoch = next(fields), next(fields), next(fields)
    tokens, channels = (_LENGTH.unpack(next(fields))[0] for _ in range(2))
    return EarlierEncoding(
        local_id_token,
        EncodedDemographics(
            profile.decode(),
            digest,
            epoch.decode(),
            # Lists, because a generator would turn the end of the fields into another error.
            tuple([IdentifierToken(_KINDS[next(fields)], next(fields)) for _ in range(tokens)]),
            tuple([ChannelEncoding(next(fields).decode(), next(fields), next(fields)) for _ in range(channels)]),
        ),
    )


def _fields(packed: bytes) -> Iterator[bytes]:
    at, end = 1, len(packed)
    while at < end:
        first = at + 2
        at = first + (packed[at] << 8 | packed[at + 1] if first <= end else end)
        if at > end:
            raise ValueError("a packed record is cut short")
        yield packed[first:at]
