"""Encodings under attack, as the thief sees them, and what somebody without keys can work out about them.

Of two people who share s hash draws and have a and b draws of their own, a filter of L bits differs in the share
d = q^s (q^a + q^b - 2 q^(a+b)) of its bits on average, q = 1 - 1/L. A diffusion of T turns the correlation c = 1 - 2d
of two vectors into c^T on average over its tables, whatever the keys. A facility's key tells c itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mpi.domain.record import ChannelEncoding, EncodedDemographics
from mpi.encoder.channels import ChannelEncoder, FieldView, grams
from mpi.encoder.keys import Epoch
from mpi.rules import Feature, Rules
from mpi.service.gateway import Gateway
from mpi.service.keys import GatewayKey

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
        bias: expected mean spin of a person's vector.
        sent: people x bits, spins of the vectors that facilities send; only with a facility's key.
    """

    spins: Reals
    correlation: Reals
    variance: Reals
    bias: Reals
    sent: Reals | None = None


@dataclass(frozen=True)
class Encoding:
    """How records are encoded.

    Attributes:
        layers: features of each vector; a record-level encoding has one layer.
        bits: length of each vector.
        diffusions: T of each diffusion that a filter passes, in their order; none of a filter that is kept as it is.
        rules: shipped rules, whose own encoder and gateway are used; None for a random oracle in their place.
        channel: of the rules.
        shared: fields that all records of a bucket have in common; they also set which people are drawn.
    """

    layers: tuple[tuple[Feature, ...], ...]
    bits: int
    diffusions: tuple[int, ...] = ()
    rules: Rules | None = None
    channel: str = ""
    shared: tuple[str, ...] = ("birth_date", "sex")


def of_channel(rules: Rules, channel: str) -> Encoding:
    """The encoding of one channel, made by the real encoder and the real gateway."""
    found = next(each for each in rules.profile.channels if each.name == channel)
    return Encoding((found.features,), rules.profile.bits, (rules.gateway[channel],), rules, channel, found.bucket)


def as_sent(rules: Rules, channel: str) -> Encoding:
    """The same before the gateway: what facilities send, and what the gateway sees."""
    return replace(of_channel(rules, channel), diffusions=())


def with_hashes(rules: Rules, channel: str, hashes: int) -> Rules:
    """The same rules with another number of hashes in one channel."""
    channels = [
        replace(each, features=tuple(replace(feature, hashes=hashes) for feature in each.features))
        if each.name == channel
        else each
        for each in rules.profile.channels
    ]
    return replace(rules, profile=replace(rules.profile, channels=tuple(channels)))


def with_gateway(rules: Rules, diffusion: int) -> Rules:
    """The same rules with another diffusion by the gateway, the same in all channels."""
    return replace(rules, gateway=dict.fromkeys(rules.gateway, diffusion))


def filters(fields: Sequence[Sequence[str]], hashes: int, bits: int) -> Encoding:
    """Bloom filters of bigrams in the classical way: one key for all records, and no diffusion."""
    layers = tuple(tuple(Feature(field, "bigrams", hashes) for field in layer) for layer in fields)
    return Encoding(layers, bits)


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


def expected(drawn: Reals, bits: int, diffusions: Sequence[int]) -> tuple[Reals, Reals, Reals]:
    """Expected correlation of every two people, its variance, and the expected mean spin of everybody.

    Were the numbers of draws Poisson, a filter's bits would be independent; that they are fixed takes away what their
    own chances would add to the bits that differ. Then every diffusion scatters what it is given.
    """
    keep = 1 - 1 / bits
    shared = np.sqrt(drawn) @ np.sqrt(drawn).T
    total = drawn.sum(axis=1)
    own = np.maximum(total[:, None] - shared, 0)
    both = keep ** (shared + own + own.T)
    one, other = keep ** (shared + own) - both, keep ** (shared + own.T) - both
    apart = one + other
    fixed = shared * apart**2 + own * (one - both) ** 2 + own.T * (other - both) ** 2
    correlation, bias = 1 - 2 * apart, 2 * keep**total - 1
    variance = 4 * np.maximum(apart * (1 - apart) - fixed / bits, 0) / bits
    for diffusion in diffusions:
        correlation, variance = diffused(correlation, variance, bits, diffusion)
        bias = bias**diffusion
    floor = 0.02 / bits
    return correlation.astype(np.float32), np.maximum(variance, floor).astype(np.float32), bias.astype(np.float32)


def diffused(correlation: Reals, variance: Reals, bits: int, diffusion: int) -> tuple[Reals, Reals]:
    """Mean and variance of correlations after a diffusion, of their mean and variance before it.

    Given the vectors, every new bit is drawn alike: the XOR of T random bits, of mean spin product c^T. Where the given
    correlation c is normal, its powers have the moments that Gauss and Hermite's quadrature adds up.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(diffusion + 1)  # exact for powers up to 2T
    mean, square = np.zeros_like(correlation), np.zeros_like(correlation)
    scatter = np.sqrt(variance)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        power = (correlation + np.float32(node) * scatter) ** diffusion
        mean += weight * power
        square += weight * power**2
    return mean, np.maximum(square - mean**2, 0) + np.maximum(1 - square, 0) / bits


def spins(packed: Bits) -> Reals:
    """Packed bits as +1 for 0 and -1 for 1."""
    return (1 - 2 * np.unpackbits(packed, axis=1).astype(np.float32)).astype(np.float32)


def encode(encoding: Encoding, records: Sequence[Fields], seed: int) -> list[Bits]:
    """Encode records, all in one bucket: packed vectors, layer by layer."""
    if encoding.rules is not None:
        epoch, sent, buckets = _facility(encoding.rules, encoding.channel, records, keys := _keys(seed))
        if not encoding.diffusions:
            return [sent]
        return [_rekeyed(encoding.rules, encoding.channel, epoch, sent, buckets, keys)]
    oracle = np.random.default_rng((seed, 7))
    return [_random_oracle(draws(records, layer), encoding.bits, oracle) for layer in encoding.layers]


def views(encoding: Encoding, scene: Scene, seed: int) -> list[View]:
    """Everything that an attack on a bucket is given, except known persons."""
    vectors = encode(encoding, scene.records, seed)
    return [
        View(spins(packed), *expected(draws(scene.register, layer), encoding.bits, encoding.diffusions))
        for packed, layer in zip(vectors, encoding.layers, strict=True)
    ]


def views_with_facility_key(encoding: Encoding, scene: Scene, seed: int) -> list[View]:
    """What a thief who also holds the facilities' key is given.

    Raises:
        ValueError: the encoding is not one of shipped rules.
    """
    if encoding.rules is None:
        raise ValueError("only the shipped encoder has a facility key")
    (seen,) = views(encoding, scene, seed)
    sent = spins(_facility(encoding.rules, encoding.channel, scene.register, _keys(seed))[1])
    return [exact(seen.spins, sent, encoding.diffusions[-1])]


def exact(seen: Reals, sent: Reals, diffusion: int) -> View:
    """Spins of a bucket's rows, beside what is expected of people whose vectors are known as facilities send them."""
    correlation = sent @ sent.T / np.float32(sent.shape[1])
    # A slip changes a vector before it is diffused; most records have none.
    mean, variance = diffused(correlation, np.full_like(correlation, 0.05 / sent.shape[1]), sent.shape[1], diffusion)
    return View(seen, mean, variance, sent.mean(axis=1) ** diffusion, sent)


def _keys(seed: int) -> np.random.Generator:
    return np.random.default_rng((seed, 6))


def _rekeyed(rules: Rules, channel: str, epoch: str, vectors: Bits, buckets: Bits, keys: np.random.Generator) -> Bits:
    """Vectors as they lie in the index, once the gateway has re-keyed them under a secret of the centre."""
    gateway, profile = Gateway((GatewayKey(1, keys.bytes(32)),), rules, [epoch]), rules.profile
    sent = [ChannelEncoding(channel, *(part.tobytes() for part in pair)) for pair in zip(buckets, vectors, strict=True)]
    kept = gateway.demographics(EncodedDemographics(profile.name, profile.digest, epoch, (), tuple(sent))).channels
    return np.frombuffer(b"".join(each.vector for each in kept), np.uint8).reshape(len(vectors), -1)


def _facility(
    rules: Rules, channel: str, people: Sequence[Fields], keys: np.random.Generator
) -> tuple[str, Bits, Bits]:
    """What a facility sends of one channel: its key epoch, vectors, and bucket tokens, which are all the same."""
    epoch = Epoch("1-00000000", keys.bytes(32))
    (found,) = (each for each in rules.profile.channels if each.name == channel)
    alone = replace(rules.profile, channels=(found,))
    views = [
        FieldView(fields, found.days == "default", found.only == "single_name", found.only == "young")
        for fields in people
    ]
    made = ChannelEncoder(alone, epoch).encode([[view] for view in views])
    if len(made.owners) != len(people) or (made.buckets != made.buckets[:1]).any():
        raise ValueError(f"channel {channel}: not everybody is in one bucket")
    return epoch.name, made.vectors, made.buckets


def _random_oracle(drawn: Reals, bits: int, oracle: np.random.Generator) -> Bits:
    """Filters whose hashes are a random function."""
    made = np.zeros((len(drawn), bits), np.uint8)
    for gram in range(drawn.shape[1]):
        holders = np.flatnonzero(drawn[:, gram])
        positions = oracle.integers(0, bits, int(drawn[:, gram].max()))
        made[np.ix_(holders, positions)] = 1
    return np.packbits(made, axis=1)
