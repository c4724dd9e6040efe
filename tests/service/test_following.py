"""What citizens said follows their records: through new content, retraction, and a change of key epochs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.domain.consent import Asking, Basis, Network, Policy, Stance
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.purpose import PurposeOfUse
from mpi.encoder.keys import KeyRing, load_key_ring, new_key_ring, rotate
from mpi.encoder.tokens import Tokeniser
from mpi.errors import NotFound, RecordRejected
from mpi.index.projector import verify
from mpi.service.consent import Consents
from mpi.service.disclosure import Disclosure
from mpi.store.sql import open_sqlite
from tests.building import AT_REST, encoded, raw, th_v1
from tests.service.centres import ACTOR, STEWARD, Parts, joined, located

TREAT, HRESCH = PurposeOfUse.TREAT, PurposeOfUse.HRESCH
OFFICER = "urn:mpi:privacy-officer:pim"
NATIONAL_ID = "1103702488992"
NAME = "นายสมชาย ใจดี"
POLICY = Policy(
    (
        Network("law", Basis.STATUTORY, frozenset({"10661", "11111"})),
        Network("link", Basis.OPT_IN, frozenset({"22222"})),
    )
)


class Index:
    """A centre amid a change of key epochs, and the questions of tests."""

    def __init__(self, parts: Parts, rings: tuple[KeyRing, KeyRing, KeyRing]) -> None:
        self.parts = parts
        self.before, self.amid, self.after = rings
        shared = (parts.gateway, parts.store, parts.index)
        self.consents = Consents(*shared, POLICY, "rules")
        self.disclosure = Disclosure(parts.gateway, parts.index, parts.store, POLICY, "rules")

    def register(
        self, ring: KeyRing, facility: str = "10661", local_id: str = "1", national_id: str = NATIONAL_ID
    ) -> LocalIdToken:
        person = raw(NAME, local_id, birth_date="15/03/2525", sex="1", national_id=national_id)
        (record,) = encoded(ring, facility, person)
        self.parts.registry.register([record], ACTOR)
        return LocalIdToken(record.local_id_token)

    def seen(self, key: LocalIdToken | IdentifierToken, purpose: PurposeOfUse = TREAT) -> list[str]:
        found = located(self.disclosure, key, Asking("urn:mpi:exchange:cdes", "", purpose))
        assert found is not None
        return sorted(at.facility for identity in found for at in identity.locations)


def number(ring: KeyRing) -> IdentifierToken:
    return Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, NATIONAL_ID)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Index]:
    before = new_key_ring(tmp_path / "keys")
    rotate(tmp_path / "keys")
    amid = load_key_ring(tmp_path / "keys")
    rings = before, amid, KeyRing((amid.current,), amid.pointer_secret)
    store = open_sqlite(tmp_path / "store.db", AT_REST, th_v1().stored_digest)
    with joined(store, tmp_path / "index", tuple(epoch.name for epoch in amid.epochs)) as parts:
        yield Index(parts, rings)
        assert verify(parts.index, parts.store) == []


def test_an_objection_follows_a_record_that_is_registered_anew_without_its_number(at):
    """It stays hidden, for that purpose alone, and still when the number comes back."""
    key = at.register(at.before)
    at.consents.withdraw(number(at.before), "law", [TREAT], ACTOR)
    assert at.seen(key) == []
    at.register(at.before, national_id="")
    assert at.seen(key) == []
    assert at.seen(key, HRESCH) == ["10661"]
    at.register(at.before)
    assert at.seen(key) == at.seen(number(at.before)) == []


def test_an_objection_stays_with_those_whom_the_number_leaves(at):
    """Records that were hidden by the number of another record of the person stay so when that one changes or goes."""
    carrier = at.register(at.before)
    other = at.register(at.before, "11111", "2", national_id="")
    assert at.seen(carrier) == at.seen(other) == ["10661", "11111"]
    at.consents.withdraw(number(at.before), "law", [TREAT], ACTOR)
    at.register(at.before, national_id="3100600123450")
    assert at.seen(carrier) == at.seen(other) == []


@pytest.mark.parametrize("erase", [False, True])
def test_a_retraction_takes_nobody_out_of_hiding(at, erase):
    """Neither the records that are left, nor the one that went, when it comes back without its number."""
    carrier = at.register(at.before)
    other = at.register(at.before, "11111", "2", national_id="")
    at.consents.withdraw(number(at.before), "law", [TREAT], ACTOR)
    at.parts.registry.retract("10661", carrier, ACTOR, erase=erase)
    assert at.seen(other) == []
    at.register(at.before, national_id="")
    assert at.seen(carrier) == []


def test_a_privacy_officer_lifts_what_a_record_keeps(at):
    """What is carried is listed with its record and lifted by network and purpose; the number's own word counts on."""
    key = at.register(at.before)
    at.consents.withdraw(number(at.before), "law", [TREAT, HRESCH], ACTOR, reference="form 7")
    assert at.consents.carried(key) == []
    at.register(at.before, national_id="")
    carried = at.consents.carried(key)
    told = [(each.facility, each.said.subject, each.said.purpose, each.said.reference) for each in carried]
    assert told == [("10661", 1, HRESCH, "form 7"), ("10661", 1, TREAT, "form 7")]
    at.consents.lift(1, "law", [TREAT], OFFICER, "request", reference="case 1")
    assert at.seen(key) == ["10661"]
    assert at.seen(key, HRESCH) == []
    assert [each.said.purpose for each in at.consents.carried(key)] == [HRESCH]
    for record, network, purpose in ((1, "law", TREAT), (2, "law", HRESCH), (1, "link", HRESCH)):
        with pytest.raises(NotFound):
            at.consents.lift(record, network, [purpose], OFFICER, "request", reference="")
    with pytest.raises(RecordRejected):
        at.consents.lift(1, "law", [], OFFICER, "request", reference="")
    at.register(at.before)
    assert at.seen(key) == []


def test_what_a_split_carried_over_can_be_lifted(at):
    """The part that a steward took off the number is shown again."""
    carrier = at.register(at.before)
    other = at.register(at.before, "11111", "2", national_id="")
    at.consents.withdraw(number(at.before), "law", [TREAT], ACTOR)
    eid = at.parts.locator.locate(carrier)[0].eid
    at.parts.stewardship.split(eid, [[1], [2]], STEWARD, "request")
    assert at.seen(other) == []
    (carried,) = at.consents.carried(other)
    at.consents.lift(carried.said.subject, "law", [TREAT], OFFICER, "request", reference="")
    assert (at.seen(other), at.seen(carrier)) == (["11111"], [])


def test_a_consent_outlives_the_epoch_that_it_was_given_under(at):
    """Given before the change, it holds amid it by either token, and after it by the new one."""
    at.register(at.before, "22222")
    at.consents.give(number(at.before), "link", [TREAT], ACTOR, reference="form 12")
    assert at.seen(number(at.before)) == ["22222"]
    at.register(at.amid, "22222")
    assert at.seen(number(at.before)) == at.seen(number(at.after)) == ["22222"]
    at.register(at.after, "22222")
    assert at.seen(number(at.after)) == ["22222"]
    assert [each.reference for each in at.consents.listed(number(at.after), None)] == ["form 12"]
    assert at.consents.carried(number(at.after)) == []


def test_what_is_said_amid_the_change_is_said_under_both_epochs(at):
    """A later word under one token replaces the earlier one under the other."""
    at.register(at.before)
    at.consents.withdraw(number(at.before), "law", [TREAT], ACTOR)
    at.register(at.amid)
    assert at.seen(number(at.after)) == []
    at.consents.give(number(at.after), "law", [TREAT], ACTOR)
    assert at.seen(number(at.after)) == at.seen(number(at.before)) == ["10661"]
    at.consents.withdraw(number(at.before), "law", [TREAT], ACTOR)
    key = at.register(at.after)
    assert at.seen(key) == []
    assert at.consents.carried(key) == []
    at.consents.give(number(at.after), "law", [TREAT], ACTOR)
    assert at.seen(key) == ["10661"]


def test_where_both_epochs_were_told_differently_the_stricter_holds(at):
    """An objection under the earlier token outweighs a consent under the later one."""
    at.consents.give(number(at.after), "law", [TREAT, HRESCH], ACTOR)
    at.consents.withdraw(number(at.before), "law", [TREAT], ACTOR)
    at.register(at.amid)
    at.register(at.after)
    assert at.seen(number(at.after)) == []
    assert at.seen(number(at.after), HRESCH) == ["10661"]
    stances = {each.purpose: each.stance for each in at.consents.listed(number(at.after), None)}
    assert stances == {TREAT: Stance.WITHDRAWN, HRESCH: Stance.GIVEN}
