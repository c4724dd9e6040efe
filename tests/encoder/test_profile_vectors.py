"""The vectors that are published with th-v1: from what a source says to the last byte that leaves a facility.

They are for whoever writes a second encoder. A change of the code that changes one of them changes the profile: it
needs a new name. `python -m tests.encoder.test_profile_vectors` prints them as this code has them.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from typing import Any

import pytest

from mpi.encoder.channels import ChannelEncoder, FieldView, applies
from mpi.encoder.demographics import RawDemographics, RawName, normalize
from mpi.encoder.encoder import Encoder, field_views
from mpi.encoder.keys import Epoch, KeyRing
from mpi.encoder.tokens import PointerBox
from mpi.rules import rule_file
from tests.building import th_v1

FILE = rule_file("th-v1").with_name("th-v1.vectors.jsonl")
SECRET, POINTER_SECRET = bytes(range(32)), bytes(range(64))
FACILITY, TODAY = "10661", datetime.date(2026, 1, 1)

PEOPLE = [
    RawDemographics("HN1", (RawName(full="นายสมชาย ใจดี"),), "15/03/2525", "1", "1103702488992", phone="0812345678"),
    RawDemographics("HN1", (RawName(full="Mr. SOMCHAI JAIDEE"),), "1982-03-15", "male", "1103702488992"),
    RawDemographics(
        "2/60",
        (RawName(full="นางสาวณัฐธิดา ศรีสุวรรณ"), RawName(full="Nattida Meesuk")),
        "30/11/2535",
        "2",
        house="99/1",
        subdistrict="100507",
    ),
    RawDemographics(
        "3",
        (RawName(given="ออง"),),
        "01/01/2533",
        "1",
        passport="MD123456",
        passport_country="MMR",
        house="17",
        subdistrict="630601",
    ),
    RawDemographics("4", (RawName(full="กฤษณะ ณ อยุธยา"),), "15/02/2480", "1"),
    RawDemographics("5", (RawName(full="บุตร น.ส. วรรณา ศรีสุข"),), "20/12/2568", "2"),
    RawDemographics("6", (RawName(full="มูฮัมหมัด บินยูโซะ"),), "2500", "1"),
]  # fmt: skip


def vector(raw: RawDemographics) -> dict[str, Any]:
    """Everything between a source's row and its encoding."""
    profile, epoch = th_v1().profile, Epoch("1-published", SECRET)
    person = normalize(raw, TODAY)
    views = list(field_views(person, TODAY))
    (record,) = Encoder(profile, KeyRing((epoch,), POINTER_SECRET), FACILITY, TODAY).encode([(raw.local_id, person)])
    return {
        "raw": {name: value for name, value in dataclasses.asdict(raw).items() if value},
        "readings": [
            {
                "fields": dict(view.fields),
                "default_day": view.default_day,
                "single_name": view.single_name,
                "young": view.young,
            }
            for view in views
        ],
        "identifiers": [[found.kind.value, found.value] for found in person.identifiers],
        "local_id_token": record.local_id_token.hex(),
        "pointer": record.pointer.hex(),
        "tokens": [[token.kind.value, token.value.hex()] for token in record.demographics.tokens],
        "channels": [[e.channel, e.bucket.hex(), e.vector.hex()] for e in record.demographics.channels],
    }


def published() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("place", range(len(PEOPLE)))
def test_vector(place: int) -> None:
    """This encoder makes what is published of each person, byte for byte."""
    assert json.loads(json.dumps(vector(PEOPLE[place]))) == published()[place + 1]


def test_head_says_how_they_were_made() -> None:
    """The first line holds what a second implementation needs besides: secrets, facility, day, profile digest."""
    assert published()[0] == head()
    assert len(published()) == len(PEOPLE) + 1


@pytest.mark.parametrize("place", range(len(PEOPLE)))
def test_fields_are_enough(place: int) -> None:
    """From the published fields alone, without names, the published channels follow."""
    entry = published()[place + 1]
    profile = th_v1().profile
    views = [FieldView(**reading) for reading in entry["readings"]]
    made = ChannelEncoder(profile, Epoch("1-published", SECRET)).encode([views])
    names = profile.channel_names()
    rows = [
        [names[code], bucket.tobytes().hex(), bits.tobytes().hex()]
        for code, bucket, bits in zip(made.channels, made.buckets, made.vectors, strict=True)
    ]
    assert rows == entry["channels"]


def test_every_channel_is_there() -> None:
    """Each channel of the profile occurs, and so does each reason to leave one out."""
    seen = {channel for entry in published()[1:] for channel, _, _ in entry["channels"]}
    assert seen == set(th_v1().profile.channel_names())
    views = [FieldView(**reading) for entry in published()[1:] for reading in entry["readings"]]
    assert not all(applies(channel, view) for channel in th_v1().profile.channels for view in views)


def test_pointers_open() -> None:
    """The published pointers open with the published secret."""
    box = PointerBox(POINTER_SECRET, FACILITY)
    for raw, entry in zip(PEOPLE, published()[1:], strict=True):
        assert box.open(bytes.fromhex(entry["pointer"])) == raw.local_id


def head() -> dict[str, Any]:
    profile = th_v1().profile
    return {
        "profile": profile.name,
        "profile_digest": profile.digest.hex(),
        "normaliser": profile.normaliser,
        "epoch_secret": SECRET.hex(),
        "pointer_secret": POINTER_SECRET.hex(),
        "facility": FACILITY,
        "today": TODAY.isoformat(),
    }


if __name__ == "__main__":
    for line in (head(), *map(vector, PEOPLE)):
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
