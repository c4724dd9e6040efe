"""Encodings under attack, as the thief sees them, and what somebody without keys can work out about them.

Of two people who share s hash draws and have a and b draws of their own, a filter of L bits differs in the share
d = q^s (q^a + q^b - 2 q^(a+b)) of its bits on average, q = 1 - 1/L. The XOR of T bits turns the correlation 1 - 2d
of the two vectors into its T-th power. Neither keys nor masks nor permutations change that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mpi.domain.record import ChannelEncoding, EncodedDemographics
from mpi.encoder.channels import ChannelEncoder, FieldView, grams
from mpi.encoder.keys import Epoch
from mpi.rules import Feature, Profile
from mpi.service.gateway import Gateway

from .people import Fields, Scene

Reals = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """One vector of every record, beside what is expected of every person.

    Attributes:
        spins: records x bits, +1 for a 0 and -1 for a 1.
        correlation: expected mean product of spins of two people, people x people.
        variance: of that mean product.
        bias: expected mean spin of a person's vector before any mask.
    """

    spins: Reals
    correlation: Reals
    variance: Reals
    bias: Reals


@dataclass(frozen=True)
class Encoding:
    """How records are encoded.

    Attributes:
        layers: features of each vector; a record-level encoding has one layer.
        bits: length of each vector.
        diffusion: T, each output bit being the XOR of so many filter bits; 1 for none.
        profile: the shipped profile, whose own encoder and gateway are used; None for a random oracle in their place.
        channel: of the profile.
        shared: fields that all records of a bucket have in common; they also set which people are drawn.
    """

    layers: tuple[tuple[Feature, ...], ...]
    bits: int
    diffusion: int
    profile: Profile | None = None
    channel: str = ""
    shared: tuple[str, ...] = ("birth_date", "sex")


def of_channel(profile: Profile, channel: str) -> Encoding:
    """The encoding of one channel, made by the real encoder and the real gateway."""
    found = next(each for each in profile.channels if each.name == channel)
    return Encoding((found.features,), profile.bits, profile.diffusion, profile, channel, found.bucket)


def with_hashes(profile: Profile, channel: str, hashes: int) -> Profile:
    """The same profile with another number of hashes in one channel."""
    channels = [
        replace(each, features=tuple(replace(feature, hashes=hashes) for feature in each.features))
        if each.name == channel
        else each
        for each in profile.channels
    ]
    return replace(profile, channels=tuple(channels))


def filters(fields: Sequence[Sequence[str]], hashes: int, bits: int, diffusion: int = 1) -> Encoding:
    """Bloom filters of bigrams in the classical way: one key for all records."""
    layers = tuple(tuple(Feature(field, "bigrams", hashes) for field in layer) for layer in fields)
    return Encoding(layers, bits, diffusion)


def draws(people: Sequence[Fields], features: Sequence[Feature]) -> Reals:
    """People x grams: how many hash draws each gram of a person makes."""
    places: dict[tuple[str, str], int] = {}
    rows, columns, counts = [], [], []
    for row, fields in enumerate(people):
        for feature in features:
            for gram in grams(feature, fields[feature.field]) if fields.get(feature.field) else ():
                rows.append(row)
                columns.append(places.setdefault((feature.field, gram), len(places)))
                counts.append(feature.hashes)
    table = np.zeros((len(people), max(1, len(places))), np.float32)
    table[rows, columns] = counts
    return table


def expected(drawn: Reals, bits: int, diffusion: int) -> tuple[Reals, Reals, Reals]:
    """Expected correlation of every two people, its variance, and the expected mean spin of everybody."""
    keep = 1 - 1 / bits
    shared = np.sqrt(drawn) @ np.sqrt(drawn).T
    total = drawn.sum(axis=1)
    own = np.maximum(total[:, None] - shared, 0)
    apart = keep**shared * (keep**own + keep**own.T - 2 * keep ** (own + own.T))
    plain = 1 - 2 * apart
    correlation = plain**diffusion
    # Output bits scatter, and where they are mixed from a filter, so does the filter that they are mixed from.
    variance = (1 - correlation**2) / bits
    if diffusion > 1:
        variance = variance + (diffusion * plain ** (diffusion - 1)) ** 2 * 4 * apart * (1 - apart) / bits
    bias = (2 * keep**total - 1) ** diffusion
    floor = 0.02 / bits
    return correlation.astype(np.float32), np.maximum(variance, floor).astype(np.float32), bias.astype(np.float32)


def spins(packed: Bits) -> Reals:
    """Packed bits as +1 for 0 and -1 for 1."""
    return (1 - 2 * np.unpackbits(packed, axis=1).astype(np.float32)).astype(np.float32)


def encode(encoding: Encoding, records: Sequence[Fields], seed: int) -> list[Bits]:
    """Encode records, all in one bucket: packed vectors, layer by layer."""
    if encoding.profile is not None:
        return [_real(encoding.profile, encoding.channel, records, np.random.default_rng((seed, 6)))]
    oracle = np.random.default_rng((seed, 7))
    return [
        _random_oracle(draws(records, layer), encoding.bits, encoding.diffusion, oracle) for layer in encoding.layers
    ]


def views(encoding: Encoding, scene: Scene, seed: int) -> list[View]:
    """Everything that an attack on a bucket is given, except known persons."""
    vectors = encode(encoding, scene.records, seed)
    return [
        View(spins(packed), *expected(draws(scene.register, layer), encoding.bits, encoding.diffusion))
        for packed, layer in zip(vectors, encoding.layers, strict=True)
    ]


def views_with_facility_key(encoding: Encoding, scene: Scene, seed: int) -> list[View]:
    """What a thief who also holds the facilities' key is given: the register's exact correlations before the gateway.

    Raises:
        ValueError: the encoding is not one of the shipped profile.
    """
    if encoding.profile is None:
        raise ValueError("only the shipped encoder has a facility key")
    (seen,) = views(encoding, scene, seed)
    sent = spins(_facility(encoding.profile, encoding.channel, scene.register, np.random.default_rng((seed, 6)))[1])
    return [exact(seen.spins, sent)]


def exact(seen: Reals, people: Reals) -> View:
    """Spins of a bucket's rows, beside the exact correlations of people's vectors before the gateway."""
    correlation = people @ people.T / np.float32(people.shape[1])
    # What is left is how a slip changes a vector; most records have none.
    variance = np.full_like(correlation, 0.05 / people.shape[1])
    return View(seen, correlation, variance, np.zeros(len(people), np.float32))


def _real(profile: Profile, channel: str, records: Sequence[Fields], keys: np.random.Generator) -> Bits:
    """Vectors as they lie in the index: encoded under a facility's key, re-keyed under a key of the centre."""
    epoch, vectors, buckets = _facility(profile, channel, records, keys)
    gateway = Gateway(keys.bytes(32), profile, [epoch])
    sent = [ChannelEncoding(channel, *(part.tobytes() for part in pair)) for pair in zip(buckets, vectors, strict=True)]
    kept = gateway.demographics(EncodedDemographics(profile.name, profile.digest, epoch, (), tuple(sent))).channels
    return np.frombuffer(b"".join(each.vector for each in kept), np.uint8).reshape(len(records), -1)


def _facility(
    profile: Profile, channel: str, people: Sequence[Fields], keys: np.random.Generator
) -> tuple[str, Bits, Bits]:
    """What a facility sends of one channel: its key epoch, vectors, and bucket tokens, which are all the same."""
    epoch = Epoch("1-00000000", keys.bytes(32))
    alone = replace(profile, channels=tuple(each for each in profile.channels if each.name == channel))
    made = ChannelEncoder(alone, epoch).encode([[FieldView(fields, False, False, False)] for fields in people])
    if len(made.owners) != len(people) or (made.buckets != made.buckets[:1]).any():
        raise ValueError(f"channel {channel}: not everybody is in one bucket")
    return epoch.name, made.vectors, made.buckets


def _random_oracle(drawn: Reals, bits: int, diffusion: int, oracle: np.random.Generator) -> Bits:
    """Filters whose hashes are a random function, diffused by a random table, or left as they are."""
    made = np.zeros((len(drawn), bits), np.uint8)
    for gram in range(drawn.shape[1]):
        holders = np.flatnonzero(drawn[:, gram])
        positions = oracle.integers(0, bits, int(drawn[:, gram].max()))
        made[np.ix_(holders, positions)] = 1
    if diffusion > 1:
        table = oracle.integers(0, bits, (diffusion, bits))
        made = np.bitwise_xor.reduce(made[:, table], axis=1)
    return np.packbits(made, axis=1)
