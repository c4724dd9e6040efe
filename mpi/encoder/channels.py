"""Channels: a bucket token and a bucket-bound Bloom filter of the other fields.

For channel c and a record whose bucket fields have the value b (joined by U+001F)::

    bucket token  first half of HMAC-SHA512(derive("channel/" + c), b)
    bucket key    second half of it, an AES-256 key; E(x) is one block under it
    filter        for each gram g of feature f: x = the first 14 bytes of SHA-256(f | 0x1F | g);
                  E(x | 0), E(x | 1), ... with 16-bit big-endian counters, one for every eight hashes of the feature,
                  read as little-endian 16-bit numbers, each modulo the number of bits, name a bit to set
    vector        the filter, packed with the first bit highest; all zero where a channel has no features

Because the key depends on the bucket, vectors of different buckets say nothing about each other. Inside a bucket they
are as open as Bloom filters are (Schnell, Bachteler, Reiher 2009): the gateway diffuses them under a secret of its own
(`mpi.linkage.rekeying`), and nothing from before it is kept.
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
from mpi.rules import BITS_PER_BLOCK, Channel, Feature, Profile

_SEPARATOR = "\x1f"
_BLOCK = 16
_COUNTER = 2
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
        self._keys = [epoch.derive(f"channel/{channel.name}") for channel in profile.channels]
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
        bits = self._profile.bits
        channel_key = self._keys[place]
        blocks_of = self._blocks[place]
        tokens, drawn = bytearray(), bytearray()
        lengths = []
        for bucket, *values in rows:
            both = hmac.digest(channel_key, bucket.encode(), "sha512")
            tokens += both[:TOKEN_BYTES]
            blocks = b"".join([of(value) for of, value in zip(blocks_of, values, strict=True)])
            # Not a mode of encryption but a keyed function of distinct blocks, all of them in one call.
            encrypt = Cipher(algorithms.AES(both[TOKEN_BYTES:]), modes.ECB()).encryptor()  # noqa: S305
            drawn += encrypt.update(blocks)
            lengths.append(len(blocks) // _NUMBER)
        positions = (np.frombuffer(drawn, "<u2") & (bits - 1)) + np.repeat(np.arange(len(rows)) * bits, lengths)
        filters = np.zeros(len(rows) * bits, np.uint8)
        filters[positions] = 1
        vectors = np.packbits(filters.reshape(-1, bits), axis=1)
        return np.frombuffer(tokens, np.uint8).reshape(-1, TOKEN_BYTES), vectors


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


def _blocks(feature: Feature) -> Callable[[str], bytes]:
    """Make the function that gives the blocks of all grams of a value.

    Blocks depend on no key, names and even more so their grams come again and again: the last ones are kept.
    """
    of_gram = functools.lru_cache(maxsize=1 << 12)(functools.partial(_gram_blocks, feature))

    @functools.lru_cache(maxsize=1 << 12)
    def blocks(value: str) -> bytes:
        return b"".join(map(of_gram, grams(feature, value))) if value else b""

    return blocks


def _gram_blocks(feature: Feature, gram: str) -> bytes:
    start = hashlib.sha256(f"{feature.field}{_SEPARATOR}{gram}".encode()).digest()[: _BLOCK - _COUNTER]
    return b"".join(start + block.to_bytes(_COUNTER, "big") for block in range(feature.hashes // BITS_PER_BLOCK))
