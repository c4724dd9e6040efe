"""Channels: a bucket token and a diffused, bucket-bound Bloom filter of the other fields.

For channel c and a record whose bucket fields have the value b (joined by U+001F)::

    bucket token  HMAC-SHA256(derive("bucket/" + c), b)
    bucket key    HMAC-SHA256(derive("vector/" + c), b), an AES-256 key; E(x) is one block under it
    filter        for each gram g of feature f: x = the first 14 bytes of SHA-256(f | 0x1F | g) with the first bit set;
                  E(x | 0), E(x | 1), ... with 16-bit big-endian counters, read as little-endian 16-bit numbers, each
                  modulo the number of bits, name one bit to set; as many as the feature has hashes
    vector        output bit i = XOR of the filter bits named by entries (t, i), t = 0 .. T-1, of a table of 16-bit
                  little-endian numbers modulo the number of bits, read row by row from E(0), E(1), ... with 128-bit
                  big-endian counters; packed with the first bit highest

Because the key depends on the bucket, vectors of different buckets say nothing about each other. Bloom filters:
Schnell, Bachteler, Reiher 2009. Diffusion: Armknecht, Heng, Schnell, PoPETs 2023. An index pair inside a row that
repeats cancels out, which happens in about one row in a hundred and is part of the definition.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpi.domain.record import MAX_CHANNELS
from mpi.encoder.encoded_file import TOKEN_BYTES
from mpi.encoder.keys import Epoch
from mpi.rules import Channel, Feature, Profile

_SEPARATOR = "\x1f"
_BLOCK = 16
_NUMBER = 2


@dataclass(frozen=True, slots=True, repr=False)
class FieldView:
    """One reading of a person: derived fields by name (mpi.rules.FIELDS); a missing field is absent.

    Attributes:
        fields: values of the fields.
        default_day: the birth date is a 1 January, which may stand for an unknown day.
        single_name: the person has one name only.
        young: an unnamed newborn or a small child.
    """

    fields: Mapping[str, str]
    default_day: bool
    single_name: bool
    young: bool

    def __repr__(self) -> str:
        return f"FieldView({', '.join(self.fields)})"


def grams(feature: Feature, value: str) -> list[str]:
    """Cut a value into the grams of a feature."""
    if feature.cut == "bigrams":
        padded = f"_{value}_"
        return sorted({padded[i : i + 2] for i in range(len(padded) - 1)})
    if feature.cut == "digits":
        return [f"{place}{digit}" for place, digit in enumerate(value)]
    return [value]


@dataclass(frozen=True, slots=True, repr=False)
class Encodings:
    """Channel encodings of many persons as columns, one row an encoding.

    Attributes:
        owners: place of the person whose encoding it is; ascends.
        channels: place of the channel in the profile.
        buckets: bucket tokens, 32 bytes a row.
        vectors: packed vectors, one a row.
    """

    owners: npt.NDArray[np.int64]
    channels: npt.NDArray[np.int64]
    buckets: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.uint8]


class ChannelEncoder:
    """Encodes readings of persons on every channel of a profile under one epoch."""

    def __init__(self, profile: Profile, epoch: Epoch) -> None:
        self._profile = profile
        self._keys = [
            (epoch.derive(f"bucket/{channel.name}"), epoch.derive(f"vector/{channel.name}"))
            for channel in profile.channels
        ]
        blocks = profile.bits * profile.diffusion * _NUMBER // _BLOCK
        self._counters = b"".join(number.to_bytes(_BLOCK, "big") for number in range(blocks))
        self._blocks = [[_blocks(feature) for feature in channel.features] for channel in profile.channels]

    def encode(self, people: Sequence[Sequence[FieldView]]) -> Encodings:
        """Encode many persons at once, each with one or more readings.

        Returns:
            For each person the encodings of all readings, no two made of the same values, in the order of readings
            and inside a reading of channels; at most `MAX_CHANNELS`.
        """
        size = self._profile.bits // 8
        parts = [
            (np.empty((0, 3), np.int64), np.empty((0, TOKEN_BYTES), np.uint8), np.empty((0, size), np.uint8)),
            *(self._channel(place, people) for place in range(len(self._profile.channels))),
        ]
        places, buckets, vectors = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort(places.T[::-1])
        owners = places[order, 0]
        order = order[np.arange(len(owners)) - np.searchsorted(owners, owners) < MAX_CHANNELS]
        return Encodings(places[order, 0], places[order, 2], buckets[order], vectors[order])

    def _channel(
        self, place: int, people: Sequence[Sequence[FieldView]]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Encode one channel: rows of (person, reading, channel), bucket tokens, vectors."""
        channel = self._profile.channels[place]
        places, values = [], []
        for person, views in enumerate(people):
            seen = set()
            for reading, view in enumerate(views):
                if applies(channel, view):
                    value = _values(channel, view)
                    if value not in seen:
                        seen.add(value)
                        places.append((person, reading, place))
                        values.append(value)
        tokens, vectors = self._encode(place, values)
        return np.array(places, np.int64).reshape(-1, 3), tokens, vectors

    def _encode(
        self, place: int, rows: Sequence[tuple[str, ...]]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        channel = self._profile.channels[place]
        bits, diffusion = self._profile.bits, self._profile.diffusion
        bucket_key, vector_key = self._keys[place]
        blocks_of = self._blocks[place]
        table_bytes = len(self._counters)
        tokens, tables = bytearray(), bytearray()
        drawn = [bytearray() for _ in channel.features]
        owners: list[list[int]] = [[] for _ in channel.features]
        for row, (bucket, *values) in enumerate(rows):
            message = bucket.encode()
            tokens += hmac.digest(bucket_key, message, "sha256")
            key = hmac.digest(vector_key, message, "sha256")
            blocks = [of(value) for of, value in zip(blocks_of, values, strict=True)]
            # Not a mode of encryption but a keyed function of distinct blocks, all of them in one call.
            encrypt = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
            stream = memoryview(encrypt.update(b"".join((self._counters, *(block for block, _ in blocks)))))
            tables += stream[:table_bytes]
            at = table_bytes
            for feature, (block, count) in enumerate(blocks):
                drawn[feature] += stream[at : at + len(block)]
                at += len(block)
                owners[feature] += [row] * count
        filters = np.zeros((len(rows), bits), dtype=np.uint8)
        for spec, numbers, owner in zip(channel.features, drawn, owners, strict=True):
            positions = np.frombuffer(numbers, dtype="<u2").reshape(-1, _width(spec))[:, : spec.hashes] & (bits - 1)
            filters[np.array(owner, dtype=np.intp)[:, None], positions] = 1
        table = np.frombuffer(tables, dtype="<u2").reshape(len(rows), diffusion, bits)
        return np.frombuffer(tokens, np.uint8).reshape(-1, TOKEN_BYTES), _diffuse(filters, table)


def applies(channel: Channel, view: FieldView) -> bool:
    """Say whether a reading has what a channel needs; a channel is left out rather than encoded nearly empty."""
    if channel.days != "any" and (channel.days == "default") != view.default_day:
        return False
    if channel.only == "single_name" and not view.single_name:
        return False
    if channel.only == "young" and not view.young:
        return False
    return all(field in view.fields for field in (*channel.bucket, *channel.require))


def _values(channel: Channel, view: FieldView) -> tuple[str, ...]:
    """Everything that an encoding is made of: the bucket's value, then the features' values, "" where missing."""
    fields = view.fields
    bucket = _SEPARATOR.join([fields[field] for field in channel.bucket])
    return (bucket, *[fields.get(feature.field, "") for feature in channel.features])


def _width(feature: Feature) -> int:
    """Numbers drawn for a gram: whole blocks of them, of which the first `hashes` count."""
    each = _BLOCK // _NUMBER
    return -(-feature.hashes // each) * each


def _blocks(feature: Feature) -> Callable[[str], tuple[bytes, int]]:
    """Make the function that gives the blocks of all grams of a value, and how many grams there are.

    Blocks depend on no key, names and even more so their grams come again and again: the last ones are kept.
    """
    of_gram = functools.lru_cache(maxsize=1 << 12)(functools.partial(_gram_blocks, feature))

    @functools.lru_cache(maxsize=1 << 12)
    def blocks(value: str) -> tuple[bytes, int]:
        parts = grams(feature, value) if value else []
        return b"".join(map(of_gram, parts)), len(parts)

    return blocks


def _gram_blocks(feature: Feature, gram: str) -> bytes:
    start = bytearray(hashlib.sha256(f"{feature.field}{_SEPARATOR}{gram}".encode()).digest()[: _BLOCK - _NUMBER])
    start[0] |= 0x80  # apart from the counters of the table
    return b"".join(start + block.to_bytes(_NUMBER, "big") for block in range(_width(feature) * _NUMBER // _BLOCK))


def _diffuse(filters: npt.NDArray[np.uint8], table: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    rows, bits = filters.shape
    start = (np.arange(rows, dtype=np.int64) * bits)[:, None]
    flat = filters.reshape(-1)
    mixed = np.zeros_like(filters)
    for entries in range(table.shape[1]):
        mixed ^= flat.take((table[:, entries] & (bits - 1)) + start)
    return np.packbits(mixed, axis=1)
