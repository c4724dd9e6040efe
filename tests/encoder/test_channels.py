"""Channels: held against a second implementation written from the definition alone, and against pinned vectors."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpi.domain.record import MAX_CHANNELS, ChannelEncoding
from mpi.encoder.channels import ChannelEncoder, FieldView, applies, grams
from mpi.encoder.keys import Epoch
from mpi.linkage.comparison import similarity
from mpi.rules import Channel, Feature
from tests.building import th_v1

EPOCH = Epoch("1-test", bytes(range(32)))
PROFILE = th_v1().profile
SOMCHAI = {
    "given": "somjai",
    "family": "jaidi",
    "given_skeleton": "smj",
    "family_skeleton": "jd",
    "birth_date": "1982-03-15",
    "birth_year": "82",
    "birth_month": "03",
    "birth_day": "15",
    "birth_month_of_year": "1982-03",
    "birth_day_of_year": "03-15",
    "sex": "1",
}
PINNED = {
    "A": "e1066a8f08e8b145",
    "B": "9e15f0a685de603b",
    "C": "d657b98ae97e4426",
    "D": "ee0dcc5e9b926260",
    "E": "88f412497061ff39",
}
"""SHA-256, first 16 hex digits, of bucket token and vector of each channel for SOMCHAI under EPOCH."""


def view(**changes: str) -> FieldView:
    fields = {**SOMCHAI, **changes}
    return FieldView({k: v for k, v in fields.items() if v}, default_day=False, single_name=False, young=False)


def plainly(channel: Channel, fields: dict[str, str]) -> tuple[bytes, bytes]:
    """The definition, bit by bit."""
    bits = PROFILE.bits
    bucket = "\x1f".join(fields[field] for field in channel.bucket).encode()
    both = hmac.new(EPOCH.derive(f"channel/{channel.name}"), bucket, "sha512").digest()
    token, key = both[:32], both[32:]

    def block(plain: bytes) -> list[int]:
        stream = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(plain)
        return [int.from_bytes(stream[at : at + 2], "little") % bits for at in range(0, 16, 2)]

    filter_bits = [0] * bits
    for feature in channel.features:
        for gram in grams(feature, fields[feature.field]) if feature.field in fields else []:
            start = hashlib.sha256(feature.field.encode() + b"\x1f" + gram.encode()).digest()[:14]
            named = [place for number in range(30) for place in block(start + number.to_bytes(2, "big"))]
            for place in named[: feature.hashes]:
                filter_bits[place] = 1
    out = 0
    for bit in filter_bits:
        out = out << 1 | bit
    return token, out.to_bytes(bits // 8, "big")


def encode(people: list[list[FieldView]]) -> list[list[ChannelEncoding]]:
    """Encodings of each person."""
    found = ChannelEncoder(PROFILE, EPOCH).encode(people)
    names = PROFILE.channel_names()
    return [
        [
            ChannelEncoding(names[found.channels[row]], found.buckets[row].tobytes(), found.vectors[row].tobytes())
            for row in range(len(found.owners))
            if found.owners[row] == person
        ]
        for person in range(len(people))
    ]


def test_the_fast_encoder_equals_the_definition() -> None:
    """Every channel of th-v1 comes out as a second implementation makes it from the docstring alone."""
    (encodings,) = encode([[view(subdistrict="100101", house="12/3")]])
    channels = {channel.name: channel for channel in PROFILE.channels}
    fields = {**SOMCHAI, "subdistrict": "100101", "house": "12/3"}
    assert [encoding.channel for encoding in encodings] == ["A", "B", "C", "D", "E"]
    for encoding in encodings:
        assert (encoding.bucket, encoding.vector) == plainly(channels[encoding.channel], fields)


def test_pinned_vectors() -> None:
    """The profile's output never changes silently: a change makes a new profile."""
    (encodings,) = encode([[view()]])
    assert {e.channel: hashlib.sha256(e.bucket + e.vector).hexdigest()[:16] for e in encodings} == PINNED


def test_similarity_falls_with_the_number_of_mistakes() -> None:
    """Equal names give equal vectors, a mistake leaves them near, other names leave them unrelated."""
    people = [[view()], [view(family="jaidii")], [view(given="wana", family="sisuk")]]
    one, near, other = (encodings[0].vector for encodings in encode(people))
    assert similarity(one, near) > 0.65
    assert similarity(one, other) == pytest.approx(0.5, abs=0.08)


def test_vectors_of_two_buckets_are_unrelated() -> None:
    """The same names under another birth date share no bits beyond chance: keys are bound to the bucket."""
    moved = {"birth_date": "1982-03-16", "birth_day": "16", "birth_day_of_year": "03-16"}
    one, other = (encodings[0] for encodings in encode([[view()], [view(**moved)]]))
    assert one.bucket != other.bucket
    assert similarity(one.vector, other.vector) == pytest.approx(0.5, abs=0.08)


def test_filters_are_about_half_full() -> None:
    """A typical record fills the filter of each channel that has one to between 35 and 60 percent."""
    fields = {**SOMCHAI, "given": "natawut", "family": "sisuwan", "subdistrict": "100101", "house": "12/3"}
    for channel in PROFILE.channels:
        if channel.only or not channel.features:
            continue
        hashes = sum(len(grams(f, fields[f.field])) * f.hashes for f in channel.features)
        assert 0.35 < 1 - (1 - 1 / PROFILE.bits) ** hashes < 0.60, channel.name


def test_a_channel_is_left_out_rather_than_nearly_empty() -> None:
    """Without a family name no channel that needs one is made."""
    (encodings,) = encode([[view(family="", family_skeleton="")]])
    assert [encoding.channel for encoding in encodings] == ["E"]


def test_a_default_birth_date_is_no_anchor() -> None:
    """A 1 January goes to its own channel instead of A, and D is left out."""
    default = FieldView(view(birth_date="1982-01-01").fields, default_day=True, single_name=False, young=False)
    names = [channel.name for channel in PROFILE.channels if applies(channel, default)]
    assert names == ["J", "B", "C", "E"]


def test_readings_that_differ_elsewhere_are_encoded_once() -> None:
    """A second reading adds only the encodings that its difference touches."""
    ((*first, moved),) = encode([[view(), view(house="9")]])
    assert first == encode([[view()]])[0]
    assert moved.channel == "B"


def test_a_record_has_a_bounded_number_of_encodings() -> None:
    """Of very many readings the first ones count, whole, and the next person is not touched."""
    readings = [view(given=f"somjai{chr(97 + n)}") for n in range(20)]
    one, other = encode([readings, [view()]])
    assert len(one) == MAX_CHANNELS
    assert one[:5] == encode([readings[:1]])[0]
    assert other == encode([[view()]])[0]


def test_nobody_and_nothing() -> None:
    """No persons, or persons without a field, give no encodings."""
    assert encode([]) == []
    empty = FieldView({}, default_day=False, single_name=False, young=False)
    assert encode([[empty], []]) == [[], []]


def test_grams() -> None:
    """Bigrams are padded and counted once, digits carry their place, other values stay whole."""
    assert grams(Feature("given", "bigrams", 1), "anan") == ["_a", "an", "n_", "na"]
    assert grams(Feature("birth_year", "digits", 1), "82") == ["08", "12"]
    assert grams(Feature("sex", "whole", 1), "1") == ["1"]
