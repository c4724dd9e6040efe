"""Registration: what is stored, what is linked, what survives."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.identity import Decision, Registration
from mpi.domain.record import ChannelEncoding, EncodedRecord
from mpi.encoder.demographics import RawDemographics
from mpi.encoder.keys import KeyRing
from mpi.encoder.tokens import PointerBox, Tokeniser
from mpi.errors import Reason, RecordRejected
from mpi.index.projector import catch_up, verify
from mpi.linkage.comparison import similarity
from tests.building import ACTOR, Centre, centre, encoded, key_ring, raw, th_v1

MOST_STATEMENTS = 35
SOMCHAI = {"birth_date": "15/03/2525", "sex": "1", "national_id": "1103702488992"}


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return key_ring(tmp_path)


@pytest.fixture
def at(tmp_path: Path, ring: KeyRing) -> Centre:
    with centre(tmp_path, (ring.current.name,)) as opened:
        yield opened


def registered(outcome: Registration | RecordRejected) -> Registration:
    assert isinstance(outcome, Registration)
    return outcome


def test_one_person_of_two_facilities_has_one_identity(at: Centre, ring: KeyRing) -> None:
    """The second facility's record joins the first's identity, and a lookup by number finds both."""
    first = encoded(ring, "10661", raw("นายสมชาย ใจดี", "A1", **SOMCHAI))
    second = encoded(ring, "HL001", raw("SOMCHAI JAIDEE", "77", **SOMCHAI))
    (one,), _ = at.registry.register(first, ACTOR)
    (two,), _ = at.registry.register(second, ACTOR)
    assert registered(one).decision is Decision.NEW
    assert registered(two).decision is Decision.LINK
    assert registered(one).eid == registered(two).eid
    token = Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, "1103702488992")
    (identity,) = at.locator.locate(token)
    assert [place.facility for place in identity.locations] == ["10661", "HL001"]
    assert PointerBox(ring.pointer_secret, "10661").open(identity.locations[0].pointer) == "A1"


def test_two_records_of_one_person_in_one_batch_meet(at: Centre, ring: KeyRing) -> None:
    """A record sees those before it in its own batch."""
    records = encoded(ring, "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI), raw("สมชาย ใจดี", "2", **SOMCHAI))
    outcomes, _ = at.registry.register(records, ACTOR)
    assert len({registered(outcome).eid for outcome in outcomes}) == 1


def test_registering_again_changes_nothing(at: Centre, ring: KeyRing) -> None:
    """The same content again is reported as unchanged and leaves the revision where it was."""
    records = encoded(ring, "10661", raw("นายสมชาย ใจดี", **SOMCHAI))
    (first,), revision = at.registry.register(records, ACTOR)
    (again,), after = at.registry.register(records, ACTOR)
    assert registered(again).unchanged
    assert registered(again).eid == registered(first).eid
    assert after == revision


def test_a_duplicate_inside_a_batch_is_stored_once(at: Centre, ring: KeyRing) -> None:
    """A local id twice in one batch with the same content is one record."""
    records = encoded(ring, "10661", raw("นายสมชาย ใจดี", **SOMCHAI)) * 2
    (one, two), _ = at.registry.register(records, ACTOR)
    assert registered(two).unchanged
    assert registered(one).eid == registered(two).eid
    assert at.store.count()[0] == 1


def test_a_local_id_twice_in_a_batch_with_two_contents_is_one_record(at: Centre, ring: KeyRing) -> None:
    """The later content counts, both are in the log, and the index holds the later one alone."""
    first = encoded(ring, "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI))
    later = encoded(ring, "10661", raw("นางมาลี สีดา", "1", birth_date="04/09/2499", sex="2"))
    outcomes, revision = at.registry.register([*first, *later, *first, *later], ACTOR)
    assert [registered(outcome).unchanged for outcome in outcomes] == [False] * 4
    assert (revision, at.store.count()[0]) == (4, 1)
    assert at.store.content([1]) == {1: at.gateway.record(later[0])}
    assert at.locator.locate(Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, "1103702488992")) == ()
    assert verify(at.index, at.store) == []


def test_a_revised_record_is_found_by_its_new_content_only(at: Centre, ring: KeyRing) -> None:
    """New content under the same local id replaces the old, in the store and in the index."""
    before = encoded(ring, "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI))
    after = encoded(
        ring, "10661", raw("นางมาลี สีดา", "1", birth_date="04/09/2499", sex="2", national_id="3320100123459")
    )
    at.registry.register(before, ACTOR)
    at.registry.register(after, ACTOR)
    tokens = Tokeniser(ring.current)
    assert at.locator.locate(tokens.identifier(IdentifierKind.NATIONAL_ID, "1103702488992")) == ()
    assert len(at.locator.locate(tokens.identifier(IdentifierKind.NATIONAL_ID, "3320100123459"))) == 1
    assert at.store.count()[:2] == (1, 1)
    assert verify(at.index, at.store) == []


def test_a_revised_record_can_join_another_identity(at: Centre, ring: KeyRing) -> None:
    """A correction that makes a record fit another identity moves it there."""
    at.registry.register(encoded(ring, "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI)), ACTOR)
    wrong = encoded(ring, "HL001", raw("ก ข", "9", birth_date="01/02/2500", sex="2"))
    at.registry.register(wrong, ACTOR)
    (outcome,), _ = at.registry.register(encoded(ring, "HL001", raw("สมชาย ใจดี", "9", **SOMCHAI)), ACTOR)
    assert registered(outcome).decision is Decision.LINK
    assert at.store.count()[:2] == (2, 1)
    assert verify(at.index, at.store) == []


def test_what_was_acknowledged_survives_a_restart(tmp_path: Path, ring: KeyRing) -> None:
    """A centre that is opened again answers as before."""
    records = encoded(ring, "10661", raw("นายสมชาย ใจดี", **SOMCHAI))
    with centre(tmp_path, (ring.current.name,)) as at:
        (outcome,), _ = at.registry.register(records, ACTOR)
    with centre(tmp_path, (ring.current.name,)) as at:
        (identity,) = at.locator.locate(LocalIdToken(records[0].local_id_token))
        assert identity.eid == registered(outcome).eid
        assert at.locator.locate(EnterpriseId(identity.eid)) == (identity,)


def test_an_index_that_fell_behind_catches_up(tmp_path: Path, ring: KeyRing) -> None:
    """A commit whose projection was lost is applied at the next start."""
    people = [raw(f"สมชาย ใจดี{'กขค'[n]}", str(n), birth_date=f"1{n}/03/2525", sex="1") for n in range(3)]
    with centre(tmp_path, (ring.current.name,)) as at:
        at.registry.register(encoded(ring, "10661", *people), ACTOR)
    for file in (tmp_path / "index").iterdir():
        file.unlink()
    with centre(tmp_path, (ring.current.name,)) as at:
        assert catch_up(at.index, at.store) == at.store.head() == 3
        assert verify(at.index, at.store) == []


def test_verify_finds_a_row_that_is_missing(at: Centre, ring: KeyRing) -> None:
    """One row taken out of the index is found by verification."""
    records = encoded(ring, "10661", raw("นายสมชาย ใจดี", **SOMCHAI))
    at.registry.register(records, ACTOR)
    row = next(at.index.rows("candidates"))
    with at.index.writing() as writer:
        writer._transaction.delete(*row, db=writer._tables["candidates"])
    assert verify(at.index, at.store) == ["candidates: 1 rows missing or damaged, 0 rows that should not be there"]


def test_what_was_asked_of_an_earlier_content_is_asked_no_more(at: Centre, ring: KeyRing) -> None:
    """A record that comes twice in one batch leaves the tasks of its last content only."""
    at.registry.register(encoded(ring, "10661", raw("นายสมชาย ใจดี", **SOMCHAI)), ACTOR)
    woman = {"birth_date": "20/11/2510", "sex": "2"}
    wrong = raw("นางปราณี ทองดี", "7", national_id=SOMCHAI["national_id"], **woman)
    outcomes, _ = at.registry.register(encoded(ring, "HL001", wrong, raw("นางปราณี ทองดี", "7", **woman)), ACTOR)
    assert [registered(outcome).decision for outcome in outcomes] == [Decision.REVIEW, Decision.NEW]
    assert at.store.count() == (2, 2, 0)


def test_a_batch_takes_a_constant_number_of_statements(at: Centre, ring: KeyRing) -> None:
    """New records or revised ones that move, one or many: no more statements to the database than there may be."""

    def people(first: int, count: int, family: str) -> list[RawDemographics]:
        return [
            raw(f"นายสมชาย {family}", str(number), birth_date=f"{number % 28 + 1}/{number % 12 + 1}/2525", sex="1")
            for number in range(first, first + count)
        ]

    def sent(records: list[EncodedRecord]) -> int:
        statements: list[str] = []
        listener = (at.store._engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
        event.listen(*listener)
        try:
            at.registry.register(records, ACTOR)
        finally:
            event.remove(*listener)
        return len(statements)

    # The others are people of the same days, so that those who follow share buckets with them and some move to them.
    at.registry.register(encoded(ring, "HL001", *people(0, 90, "ใจดี")), ACTOR)
    for family in ("สีดา", "ใจดี"):
        counts = [sent(encoded(ring, "10661", *people(first, count, family))) for first, count in ((0, 1), (1000, 90))]
        assert max(counts) <= MOST_STATEMENTS
    moved = [change for change in at.store.changes(0) if getattr(change.event, "redirects", ())]
    assert len(moved) > MOST_STATEMENTS


def test_a_record_that_cannot_be_taken_stops_no_other(at: Centre, ring: KeyRing) -> None:
    """A wrong profile digest, an unknown epoch and a short vector are refused, each with its reason."""
    good = encoded(ring, "10661", raw("นายสมชาย ใจดี", **SOMCHAI))[0]
    demographics = good.demographics
    short = replace(demographics.channels[0], vector=b"x")
    bad = {
        Reason.PROFILE_MISMATCH: replace(demographics, profile_digest=bytes(32)),
        Reason.KEY_EPOCH_UNKNOWN: replace(demographics, key_epoch="9-ffffffff"),
        Reason.RECORD_MALFORMED: replace(demographics, channels=(short,)),
    }
    records = [replace(good, demographics=broken) for broken in bad.values()]
    outcomes, _ = at.registry.register([*records, good], ACTOR)
    assert [o.reason for o in outcomes[:-1] if isinstance(o, RecordRejected)] == list(bad)
    assert registered(outcomes[-1]).decision is Decision.NEW
    assert at.store.count()[0] == 1


def test_a_lookup_by_phone_is_refused(at: Centre) -> None:
    """A phone names a family, so it is no look-up key."""
    with pytest.raises(RecordRejected):
        at.locator.locate(IdentifierToken(IdentifierKind.PHONE, bytes(32)))


def test_the_gateway_keeps_who_is_near_and_changes_everything(at: Centre, ring: KeyRing) -> None:
    """Re-keying keeps equal vectors equal and near ones near by the law of diffusion; nothing stays as it was."""
    rows = random.Random(3)
    one = encoded(ring, "10661", raw("นายสมชาย ใจดี", **SOMCHAI))[0].demographics
    channel = one.channels[0]
    flipped = bytes(b ^ (rows.random() < 0.3) for b in channel.vector)
    other = replace(one, channels=(ChannelEncoding(channel.channel, channel.bucket, flipped),))
    admitted, admitted_other = at.gateway.demographics(one), at.gateway.demographics(other)
    expected = (1 + (2 * similarity(channel.vector, flipped) - 1) ** th_v1().gateway[channel.channel]) / 2
    reached = similarity(admitted.channels[0].vector, admitted_other.channels[0].vector)
    assert reached == pytest.approx(expected, abs=0.05)
    assert at.gateway.demographics(one) == admitted
    assert admitted.channels[0].bucket == admitted_other.channels[0].bucket != channel.bucket
    assert admitted.channels[0].vector != channel.vector
    assert not {token.value for token in admitted.tokens} & {token.value for token in one.tokens}
