"""Channels: a bucket token and a diffused, bucket-bound Bloom filter of the other fields.

For channel c and a record whose bucket fields have the value b (joined by U+001F)::

    bucket token  HMAC-SHA256(derive("bucket/" + c), b)
    seed          HMAC-SHA512(derive("vector/" + c), b): 32 bytes gram key, 32 bytes diffusion key
    filter        for each gram g of feature f: SHAKE128(gram key | f | 0x1F | g) as little-endian 16-bit numbers,
                  each modulo the number of bits, names one bit to set; as many as the feature has hashes
    vector        output bit i = XOR of the filter bits named by entries (t, i), t = 0 .. T-1, of a table of 16-bit
                  little-endian numbers modulo the number of bits, read row by row from the AES-256-CTR key stream
                  (zero counter) of the diffusion key; packed with the first bit highest

Because both keys depend on the bucket, vectors of different buckets say nothing about each other. Bloom filters:
Schnell, Bachteler, Reiher 2009. Diffusion: Armknecht, Heng, Schnell, PoPETs 2023. An index pair inside a row that
repeats cancels out, which happens in about one row in a hundred and is part of the definition.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpi.domain.record import MAX_CHANNELS, ChannelEncoding
from mpi.encoder.keys import Epoch
from mpi.rules import Channel, Feature, Profile

_SEPARATOR = "\x1f"


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


class ChannelEncoder:
    """Encodes readings of persons on every channel of a profile under one epoch."""

    def __init__(self, profile: Profile, epoch: Epoch) -> None:
        self._profile = profile
        self._keys = {
            channel.name: (epoch.derive(f"bucket/{channel.name}"), epoch.derive(f"vector/{channel.name}"))
            for channel in profile.channels
        }

    def encode(self, people: Sequence[Sequence[FieldView]]) -> list[tuple[ChannelEncoding, ...]]:
        """Encode many persons at once, each with one or more readings.

        Returns:
            For each person the encodings of all readings, no two equal, in the order of the profile; at most
            `MAX_CHANNELS`, the first readings first.
        """
        found: list[list[ChannelEncoding]] = [[] for _ in people]
        for channel in self._profile.channels:
            rows = [(person, view) for person, views in enumerate(people) for view in views if applies(channel, view)]
            if rows:
                encodings = self._encode_channel(channel, [view for _, view in rows])
                for (person, _), encoding in zip(rows, encodings, strict=True):
                    if encoding not in found[person]:
                        found[person].append(encoding)
        return [tuple(encodings[:MAX_CHANNELS]) for encodings in found]

    def _encode_channel(self, channel: Channel, views: Sequence[FieldView]) -> list[ChannelEncoding]:
        bits, diffusion = self._profile.bits, self._profile.diffusion
        bucket_key, vector_key = self._keys[channel.name]
        streams = bytearray()
        zeros = bytes(2 * bits * diffusion)
        tokens = []
        digests: dict[int, bytearray] = {feature.hashes: bytearray() for feature in channel.features}
        owners: dict[int, list[int]] = {hashes: [] for hashes in digests}
        for row, view in enumerate(views):
            bucket = _SEPARATOR.join(view.fields[field] for field in channel.bucket).encode()
            tokens.append(hmac.digest(bucket_key, bucket, "sha256"))
            seed = hmac.digest(vector_key, bucket, "sha512")
            streams += Cipher(algorithms.AES(seed[32:]), modes.CTR(bytes(16))).encryptor().update(zeros)
            keyed = hashlib.shake_128(seed[:32])
            for feature in channel.features:
                value = view.fields.get(feature.field)
                if value is None:
                    continue
                parts = grams(feature, value)
                for gram in parts:
                    state = keyed.copy()
                    state.update(f"{feature.field}{_SEPARATOR}{gram}".encode())
                    digests[feature.hashes] += state.digest(2 * feature.hashes)
                owners[feature.hashes] += [row] * len(parts)
        filters = np.zeros((len(views), bits), dtype=np.uint8)
        for hashes, digest in digests.items():
            positions = np.frombuffer(digest, dtype="<u2").reshape(-1, hashes) & (bits - 1)
            filters[np.array(owners[hashes], dtype=np.intp)[:, None], positions] = 1
        vectors = _diffuse(filters, np.frombuffer(streams, dtype="<u2").reshape(len(views), diffusion, bits))
        return [
            ChannelEncoding(channel.name, token, vector.tobytes())
            for token, vector in zip(tokens, vectors, strict=True)
        ]


def applies(channel: Channel, view: FieldView) -> bool:
    """Say whether a reading has what a channel needs; a channel is left out rather than encoded nearly empty."""
    if channel.days != "any" and (channel.days == "default") != view.default_day:
        return False
    if channel.only == "single_name" and not view.single_name:
        return False
    if channel.only == "young" and not view.young:
        return False
    return all(field in view.fields for field in (*channel.bucket, *channel.require))


def _diffuse(filters: npt.NDArray[np.uint8], table: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    rows, bits = filters.shape
    start = (np.arange(rows, dtype=np.int64) * bits)[:, None, None]
    chosen = filters.reshape(-1)[(table & (bits - 1)) + start]
    return np.packbits(np.bitwise_xor.reduce(chosen, axis=1), axis=1)
