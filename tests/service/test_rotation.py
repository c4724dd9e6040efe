"""A change of key epochs: records of both epochs link and are found throughout."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import chain, count, product, repeat
from pathlib import Path

import pytest

from mpi.domain.identifiers import IdentifierKind, LocalIdToken
from mpi.domain.identity import Decision, Registration
from mpi.domain.purpose import PurposeOfUse
from mpi.encoder.keys import KeyRing, load_key_ring, new_key_ring, rotate
from mpi.encoder.tokens import Tokeniser
from mpi.errors import Reason, RecordRejected
from mpi.index.members import TokenKey
from mpi.index.projector import verify
from mpi.index.reader import IndexReader
from mpi.service.consent import Consents
from mpi.service.gateway import Gateway, needing_older
from mpi.service.keys import GatewayKey
from mpi.service.location import admitted_all
from mpi.service.matching import Matching
from mpi.service.policy import load_policy
from tests.building import ACTOR, GATEWAY_KEYS, Centre, centre, encoded, raw

SOMCHAI = {"birth_date": "15/03/2525", "sex": "1", "national_id": "1103702488992"}
NAMESAKE = {"birth_date": "15/03/2525", "sex": "1", "national_id": "3100600123450"}


@pytest.fixture
def rings(tmp_path: Path) -> tuple[KeyRing, KeyRing, KeyRing]:
    """Rings of facilities before, in, and after the change."""
    before = new_key_ring(tmp_path / "keys")
    rotate(tmp_path / "keys")
    amid = load_key_ring(tmp_path / "keys")
    return before, amid, KeyRing((amid.current,), amid.pointer_secret)


OF_EACH_EPOCH = (*GATEWAY_KEYS, GatewayKey(2, bytes(range(64, 96))))


@pytest.fixture(params=[GATEWAY_KEYS, OF_EACH_EPOCH], ids=["one-gateway-key", "a-gateway-key-of-each-epoch"])
def at(request, tmp_path: Path, rings: tuple[KeyRing, KeyRing, KeyRing]) -> Iterator[Centre]:
    with centre(tmp_path, tuple(epoch.name for epoch in rings[1].epochs), request.param) as opened:
        yield opened


def register(at: Centre, ring: KeyRing, facility: str, local_id: str, **fields: str) -> Registration:
    (outcome,), _ = at.registry.register(encoded(ring, facility, raw("นายสมชาย ใจดี", local_id, **fields)), ACTOR)
    assert isinstance(outcome, Registration)
    return outcome


def found(at: Centre, ring: KeyRing) -> list[set[str]]:
    """Facilities of each identity that the number leads to, under the ring's newest epoch."""
    token = Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, SOMCHAI["national_id"])
    return [{place.facility for place in identity.locations} for identity in at.locator.locate(token)]


def test_records_of_both_epochs_link_through_those_under_both(at, rings):
    """A facility amid the change links to those before it and those after it, and both numbers lead to all three."""
    before, amid, after = rings
    first = register(at, before, "10661", "1", **SOMCHAI)
    assert {register(at, amid, "10662", "2", **SOMCHAI).eid, register(at, after, "10663", "3", **SOMCHAI).eid} == {
        first.eid
    }
    assert found(at, before) == found(at, after) == [{"10661", "10662", "10663"}]
    assert verify(at.index, at.store) == []


STORIES = [
    "".join(chain.from_iterable(zip(epochs, (*cuts, ""), strict=True)))
    for length in (2, 3)
    for epochs in product("bma", repeat=length)
    for cuts in product(("", "|"), repeat=length - 1)
]


@pytest.mark.parametrize("content", ["same", "new"])
def test_a_batch_of_one_record_under_every_epoch_is_taken_as_its_records_are_one_by_one(
    at, rings, monkeypatch, content
):
    """Before, amid and after the change, in any order and any calls, with the same content again and with new."""
    monkeypatch.setattr(Matching, "candidates", lambda *_, **__: [])  # how records are named is all that counts here
    of = dict(zip("bma", rings, strict=True))

    def told(name: str, calls: list[str]) -> tuple[list[bool], list[tuple[int, str, bool, str]]]:
        numbers = count()
        unchanged = []
        first = at.store.count()[0]
        for call in calls:
            records = [
                encoded(
                    of[ring], "10661", raw("นายสมชาย ใจดี", name, phone=f"08123456{new:02}", birth_date="15/03/2525")
                )[0]
                for ring, new in zip(call, numbers if content == "new" else repeat(0), strict=False)
            ]
            outcomes, _ = at.registry.register(records, ACTOR)
            unchanged += [isinstance(each, Registration) and each.unchanged for each in outcomes]
        with at.store.reading() as reading:
            numbers_held = range(first + 1, at.store.count()[0] + 1)
            held = reading.content(numbers_held)
        assert len(held) == len(numbers_held)
        return unchanged, [
            (number - first, record.demographics.key_epoch, record.earlier is not None, len(record.demographics.tokens))
            for number, record in sorted(held.items())
        ]

    differ = [
        story
        for story in STORIES
        if told(story, story.split("|")) != told(f"{story} one by one", list(story.replace("|", "")))
    ]
    assert differ == []
    assert verify(at.index, at.store) == []


@pytest.mark.parametrize("story", ["b|a|mb", "m|bm", "m|ba", "mab", "b|a|mb|mb"])
def test_a_record_of_every_epoch_is_found_by_the_name_that_came_last(at, rings, story):
    """However it came there: what was acknowledged last can be looked up."""
    of = dict(zip("bma", rings, strict=True))
    for call in story.split("|"):
        records = [encoded(of[ring], "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI))[0] for ring in call]
        outcomes, _ = at.registry.register(records, ACTOR)
        assert all(isinstance(each, Registration) for each in outcomes)
        assert at.locator.locate(LocalIdToken(records[-1].local_id_token))
        assert found(at, of[call[-1]]) == [{"10661"}]
    assert verify(at.index, at.store) == []


def test_whoever_is_held_under_either_epoch_is_looked_for_as_nobody_is(at, rings, monkeypatch):
    """Every key is read under each gateway key, wherever it was found, and one that is named often is read once."""
    of_before, _, of_after = [encoded(ring, "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI))[0] for ring in rings]
    for record in (of_before, of_after):
        at.registry.register([record], ACTOR)
    read = list[int]()
    places = IndexReader._places_of

    def counted(reader: IndexReader, tokens: Collection[TokenKey]) -> object:
        read.append(len(tokens))
        return places(reader, tokens)

    monkeypatch.setattr(IndexReader, "_places_of", counted)
    counts = []
    for token in (of_before.local_id_token, of_after.local_id_token, b"n" * 32):
        read.clear()
        with at.index.reading() as reader:
            keys = admitted_all(at.gateway, reader, [LocalIdToken(token)] * 40)
            assert bool(reader.eids(keys[0])) == (token != b"n" * 32)
        counts.append(tuple(read))
    assert set(counts) == {(2,) if len(at.gateway.local_id_tokens(LocalIdToken(b"n" * 32))) == 2 else ()}


def test_records_without_an_epoch_in_common_say_nothing_of_each_other(at, rings):
    """Under two epochs even one number looks different: that is neither agreement nor a contradiction."""
    before, _, after = rings
    first = register(at, before, "10661", "1", **SOMCHAI)
    second = register(at, after, "10662", "2", **SOMCHAI)
    assert second.decision is Decision.NEW
    assert second.eid != first.eid
    assert second.why == "no_candidate"


def test_one_epoch_in_common_is_enough_for_a_veto(at, rings):
    """Another national id under the shared epoch forbids the link, whatever the other epoch would say."""
    before, amid, _ = rings
    register(at, before, "10661", "1", **SOMCHAI)
    other = register(at, amid, "10662", "2", **NAMESAKE)
    assert (other.decision, other.why) == (Decision.NEW, "national_id_veto")


def test_a_record_stays_itself_through_the_change(at, rings):
    """Registered before, amid and after the change, a record is one record, found under the names it has then."""
    after = rings[2]
    eids = {register(at, ring, "10661", "1", **SOMCHAI).eid for ring in rings}
    assert len(eids) == 1
    assert at.store.count()[:2] == (1, 1)
    names = [Tokeniser(ring.current).local_id("10661", "1") for ring in rings]
    assert at.locator.locate(names[0]) == ()
    assert len(at.locator.locate(names[2])) == 1
    assert register(at, after, "10661", "1", **SOMCHAI).unchanged
    assert verify(at.index, at.store) == []


def test_amid_the_change_both_names_find_the_record(at, rings):
    """The local id leads to the record under either epoch."""
    before, amid, _ = rings
    register(at, amid, "10661", "1", **SOMCHAI)
    for ring in (before, amid):
        token = LocalIdToken(Tokeniser(ring.current).local_id("10661", "1").value)
        assert len(at.locator.locate(token)) == 1


def test_both_epochs_in_one_batch(at, rings):
    """Records of one person before, amid and after the change link inside one batch as they do in several."""
    before, amid, after = rings
    records = [
        encoded(ring, facility, raw("นายสมชาย ใจดี", "1", **SOMCHAI))[0]
        for ring, facility in ((before, "10661"), (amid, "10662"), (after, "10663"))
    ]
    outcomes, _ = at.registry.register(records, ACTOR)
    assert len({outcome.eid for outcome in outcomes if isinstance(outcome, Registration)}) == 1


def test_an_earlier_encoding_of_the_same_epoch_is_refused(at, rings):
    """The two encodings of a record are of two epochs, both known."""
    amid = rings[1]
    (record,) = encoded(amid, "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI))
    assert record.earlier is not None
    twice = replace(record, earlier=replace(record.earlier, demographics=record.demographics))
    unknown = replace(
        record,
        earlier=replace(record.earlier, demographics=replace(record.earlier.demographics, key_epoch="9-00000000")),
    )
    outcomes, _ = at.registry.register([twice, unknown], ACTOR)
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, RecordRejected)]
    assert reasons == [Reason.RECORD_MALFORMED, Reason.KEY_EPOCH_UNKNOWN]


def test_the_gateway_key_of_an_epoch_goes_with_it(tmp_path, rings):
    """Once every record is held under the new epoch alone nothing needs the older gateway key."""
    before, amid, after = rings
    names = tuple(epoch.name for epoch in amid.epochs)
    needed = []
    with centre(tmp_path, names, OF_EACH_EPOCH) as at:
        for ring in rings:
            register(at, ring, "10661", "1", **SOMCHAI)
            register(at, ring, "10662", "2", **NAMESAKE)
            with at.store.reading() as reading:
                needed.append(list(needing_older(reading, OF_EACH_EPOCH)))
    assert needed == [[True, True], [True, True], [False, False]]
    with centre(tmp_path, names[1:], OF_EACH_EPOCH[1:]) as at:
        assert found(at, after) == [{"10661"}]
        assert found(at, before) == []
        assert register(at, after, "10661", "1", **SOMCHAI).unchanged
        refused = at.registry.register(encoded(before, "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI)), ACTOR)[0]
        assert isinstance(refused[0], RecordRejected)


def test_vectors_and_tokens_of_two_epochs_have_no_gateway_key_in_common(at, rings):
    """Each encoding of a record is re-keyed with the key of its own epoch."""
    (record,) = encoded(rings[1], "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI))
    own = [at.gateway.demographics(each) for each in record.encodings()]
    other = Gateway(GATEWAY_KEYS, at.rules, [each.key_epoch for each in own])
    same = [other.demographics(each) for each in record.encodings()]
    alone = len(at.gateway.identifiers(record.demographics.tokens[0])) == 1
    assert (own[0] == same[0]) is alone
    assert own[1] == same[1]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_consent_before_the_first_visit_holds_under_every_gateway_key(at, rings, number):
    """Nobody can tell the epoch of a token without records; what was said is found when the record comes."""
    ring = rings[number]
    token = Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, SOMCHAI["national_id"])
    consents = Consents(at.gateway, at.store, at.index, load_policy(), "rules")
    consents.give(token, "health-link", [PurposeOfUse.TREAT], "urn:mpi:exchange:cdes")
    assert len(consents.listed(token, None)) == 1
    register(at, ring, "10661", "1", **SOMCHAI)
    consents.withdraw(token, "health-link", [PurposeOfUse.TREAT], "urn:mpi:exchange:cdes")
    (listed,) = consents.listed(token, None)
    with at.index.reading() as reader:
        ((held,),) = reader.held([at.gateway.identifiers(token)[-1 if number else 0]])
        assert [each.stance for each in reader.consents(reader.members_of(held))].count(listed.stance) >= 1
