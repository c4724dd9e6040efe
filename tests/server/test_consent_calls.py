"""Consent over mutual TLS, against the real centre: said, in force at the next lookup, and hidden like nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.config import ServerConfig, StoreConfig
from mpi.domain.consent import Stance
from mpi.domain.identifiers import EnterpriseId, IdentifierToken, LocalIdToken
from mpi.domain.identity import Decision, Registration
from mpi.domain.record import EncodedRecord
from mpi.encoder.demographics import RawDemographics
from mpi.errors import AccessDenied, Conflict, NotFound, RecordRejected
from mpi.server.bootstrap import application
from mpi.server.certs import issue_dev_certificates
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import convert
from tests.building import encoded, key_ring, raw
from tests.server.running import running, server_tls

TREAT, HRESCH, BTG = PurposeOfUse.TREAT, PurposeOfUse.HRESCH, PurposeOfUse.BTG
MALEE = raw("นางมาลี สีดา", "3", birth_date="04/09/2499", sex="2", national_id="3320100123459")
NARI = raw("นางสาวนารี มีสุข", "4", birth_date="01/02/2530", sex="2")
SOMCHAI_AGAIN = raw("นายสมชาย ใจดี", "5", birth_date="15/03/2525", sex="1", national_id="1103702488992")
SOMCHAI = raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1", national_id="1103702488992")


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    issue_dev_certificates(folder, ["10661", "11111"], ["cdes", "paotang"], ["somchai"], {"privacy-officer": ["pim"]})
    return folder


class Centre:
    """Clients of a running centre."""

    def __init__(self, address: str, certs: Path, folder: Path) -> None:
        self._open = [
            Client(address=address, certificates=certs / name)
            for name in (
                "facility-10661",
                "exchange-cdes",
                "exchange-paotang",
                "steward-somchai",
                "privacy-officer-pim",
                "facility-11111",
            )
        ]
        self.facility, self.exchange, self.paotang, self.steward, self.officer, self.other = self._open
        self._ring = key_ring(folder)
        (self.record,) = self.of("10661", SOMCHAI)

    def of(self, facility: str, *people: RawDemographics) -> list[EncodedRecord]:
        """Records of a facility, encoded."""
        return encoded(self._ring, facility, *people)

    def close(self) -> None:
        for client in self._open:
            client.close()


@pytest.fixture
def at(tmp_path: Path, certs: Path) -> Iterator[Centre]:
    ring = key_ring(tmp_path)
    store = StoreConfig(tmp_path / "data", tmp_path / "secret/service.json", "th-v1")
    with (
        application(ServerConfig(store, "", (ring.current.name,), None)) as centre,
        running(centre, server_tls(certs)) as address,
    ):
        clients = Centre(address, certs, tmp_path)
        try:
            yield clients
        finally:
            clients.close()


def number(record: EncodedRecord) -> IdentifierToken:
    return record.demographics.tokens[0]


def test_a_withdrawal_is_in_force_at_the_next_lookup(at):
    """The token of the withdrawal, demanded by a lookup, proves it; every other key of the person hides too."""
    key = number(at.record)
    eid = at.exchange.locate(key, TREAT, at.facility.register(at.record).revision).identities[0].eid
    revision = at.paotang.withdraw_consent(key, "mor-prom", [TREAT], reference="form 12")
    assert at.exchange.locate(key, TREAT, at_least=revision).identities == ()
    assert at.exchange.locate(EnterpriseId(eid), TREAT).identities == ()
    assert at.exchange.batch_locate([key, EnterpriseId(eid)], TREAT).answers == ((), ())
    assert at.exchange.match(at.record.demographics, TREAT).candidates == ()
    assert len(at.exchange.locate(key, HRESCH).identities) == 1
    assert len(at.facility.locate(key, TREAT).identities) == 1
    assert len(at.steward.locate(key, TREAT).identities) == 1
    again = at.officer.give_consent(key, "mor-prom", [TREAT])
    assert len(at.exchange.locate(key, TREAT, at_least=again).identities) == 1


def test_hidden_and_none_are_the_same_bytes(at):
    """By number, singly and in batches, the whole answer is the same."""
    at.facility.register(at.record)
    key = number(at.record)
    at.paotang.withdraw_consent(key, "mor-prom", [TREAT])
    nobody = IdentifierToken(key.kind, b"\x09" * 32)
    raw_call = at.exchange._channel.connection.unary_unary("/mpi.v1.LocatorService/Locate")
    batch_call = at.exchange._channel.connection.unary_unary("/mpi.v1.LocatorService/BatchLocate")

    def asked(token: IdentifierToken) -> tuple[bytes, bytes]:
        fields = {"purpose": convert.purpose_to_proto(TREAT)}
        one = pb2.LocateRequest(key=convert.key_to_proto(token), **fields)
        many = pb2.BatchLocateRequest(keys=[convert.key_to_proto(token)], **fields)
        return raw_call(one.SerializeToString(), timeout=5), batch_call(many.SerializeToString(), timeout=5)

    assert asked(key) == asked(nobody)


def test_the_journal_knows_who_was_hidden_and_on_what_an_answer_rested(at, tmp_path):
    """A lookup of somebody hidden leaves an entry under their pseudonym; a consent's reference stands in the basis."""
    at.facility.register(at.record)
    key = number(at.record)
    at.paotang.give_consent(key, "mor-prom", [TREAT], reference="form 12")
    assert at.exchange.locate(key, TREAT).identities
    at.paotang.withdraw_consent(key, "mor-prom", [TREAT])
    assert at.exchange.locate(key, TREAT).identities == ()
    at.exchange.locate(IdentifierToken(key.kind, b"\x09" * 32), TREAT)
    (segment,) = (tmp_path / "data-audit").rglob("*.jsonl")
    lines = [json.loads(line) for line in segment.read_text().splitlines()]
    shown, hidden, nobody = (each for each in lines if each.get("call") == "LocatorService/Locate")
    assert [each["basis"] for each in (shown, hidden, nobody)] == ["consent:mor-prom:form 12", "", ""]
    assert [each["results"] for each in (shown, hidden, nobody)] == [1, 0, 0]
    assert shown["identities"] == hidden["identities"]
    assert (len(hidden["identities"]), nobody["identities"]) == (1, [])


def test_a_consent_for_one_lookup_in_a_batch(at):
    """Asked for twice in one batch, it is used by the first."""
    at.facility.register(at.record)
    key = number(at.record)
    at.officer.withdraw_consent(key, "mor-prom", [TREAT])
    at.officer.give_consent(key, "mor-prom", [TREAT, HRESCH], once=True)
    # In a statutory network nothing was hidden, so nothing is used.
    assert [len(each) for each in at.exchange.batch_locate([key, key], TREAT).answers] == [1, 1]
    assert [(each.stance, each.once) for each in at.officer.consents(key)] == [(Stance.GIVEN, True)] * 2


def test_who_sees_what_was_said(at):
    """A privacy officer sees everything, an exchange what it brought; a facility may only withdraw."""
    key = number(at.record)
    at.paotang.give_consent(key, "mor-prom", [TREAT], reference="form 12", includes_sensitive=True)
    at.facility.withdraw_consent(key, "mor-prom", [HRESCH])
    seen = [
        (each.purpose, each.stance, each.recorder, each.reference, each.sensitive) for each in at.officer.consents(key)
    ]
    assert seen == [
        (HRESCH, Stance.WITHDRAWN, "urn:mpi:facility:10661", "", False),
        (TREAT, Stance.GIVEN, "urn:mpi:exchange:paotang", "form 12", True),
    ]
    assert [each.purpose for each in at.paotang.consents(key)] == [TREAT]
    assert at.exchange.consents(key) == []
    with pytest.raises(AccessDenied):
        at.facility.give_consent(key, "mor-prom", [TREAT])
    with pytest.raises(RecordRejected):
        at.paotang.give_consent(key, "facebook", [TREAT])


def test_the_past_is_for_stewards(at):
    """What was located once tells of records that may be hidden now."""
    done = at.facility.register(at.record)
    eid = at.steward.locate(number(at.record), TREAT).identities[0].eid
    assert len(at.steward.locate(EnterpriseId(eid), TREAT, as_of=done.revision).identities) == 1
    with pytest.raises(AccessDenied, match="stewards"):
        at.exchange.locate(EnterpriseId(eid), TREAT, as_of=done.revision)


def test_breaking_the_glass_opens_flags_and_leaves_a_task(at):
    """It says why, shows what is hidden, and a privacy officer judges it once; an empty answer counts too."""
    at.facility.register(at.record)
    key = number(at.record)
    at.officer.withdraw_consent(key, "mor-prom", list(set(PurposeOfUse) - {BTG}))
    for reason in ("", "hm", "x" * 201, "a\nb\nc\nd"):
        with pytest.raises(RecordRejected) as caught:
            at.exchange.locate(key, BTG, reason=reason)
        assert caught.value.field == "reason"
    with pytest.raises(RecordRejected):
        at.exchange.locate(key, TREAT, reason="curious about a neighbour")
    for call in (lambda: at.exchange.batch_locate([key], BTG), lambda: at.exchange.match(at.record.demographics, BTG)):
        with pytest.raises(RecordRejected, match="BTG goes with Locate only"):
            call()
    assert at.officer.openings() == []
    assert at.exchange.locate(key, TREAT).identities == ()
    found = at.exchange.locate(key, BTG, reason="unconscious in the emergency room")
    assert [each.facility for identity in found.identities for each in identity.locations] == ["10661"]
    at.exchange.locate(IdentifierToken(key.kind, b"\x09" * 32), BTG, reason="unconscious, number on a card")
    one, other = at.officer.openings()
    assert (one.client, one.reason) == ("urn:mpi:exchange:cdes", "unconscious in the emergency room")
    (identity,) = at.steward.locate(key, TREAT).identities
    assert (one.eids, other.eids) == ((identity.eid,), ())
    assert at.officer.openings(after=one.number) == [other]
    at.officer.judge_opening(one.number, justified=True)
    assert at.officer.openings() == [other]
    with pytest.raises(Conflict):
        at.officer.judge_opening(one.number, justified=False)
    assert at.exchange.locate(key, TREAT).identities == ()


def test_what_is_kept_of_an_opening_is_sealed(at, tmp_path):
    """Neither who looked nor why stands in clear in the store."""
    at.exchange.locate(number(at.record), BTG, reason="planted-reason of an opening")
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files
    assert all(b"planted-reason" not in path.read_bytes() for path in files)


def test_registering_tells_a_facility_of_its_own_record_alone(at):
    """A person who is known elsewhere and one who is not: the same answer but for the names of call and revision."""
    other, stranger = at.of("11111", SOMCHAI, MALEE)
    at.facility.register(at.record)
    answers = [at.other.register(each).registration for each in (other, stranger)]
    known, unknown = answers
    assert known == unknown == Registration("", Decision.STORED, None, False, "")
    streamed = next(at.other.register_batches([(b"", at.of("11111", NARI, SOMCHAI_AGAIN))])).outcomes
    assert streamed == (known, known)
    assert at.other.register(other).registration == Registration("", Decision.STORED, None, True, "")
    # The centre linked them all the same, and the journal knows whom it was about.
    eids = {
        at.steward.locate(LocalIdToken(each.local_id_token), TREAT).identities[0].eid for each in (at.record, other)
    }
    assert len(eids) == 1


def test_a_facility_does_not_see_a_merge_that_is_hidden_from_it(at):
    """Its id of a person of its own stays when records that it may not see come to them, are merged or parted."""
    (own,) = at.of("11111", raw("นายสมชาย ใจดี", "1", birth_date="16/03/2525", sex="1"))
    at.facility.register(at.record)
    at.other.register(own)
    key = LocalIdToken(own.local_id_token)
    before = at.other.locate(key, TREAT)
    assert before.identities[0].split == ()
    at.officer.withdraw_consent(number(at.record), "mor-prom", [TREAT])
    theirs, ours = (at.steward.locate(each, TREAT).identities[0].eid for each in (number(at.record), key))
    assert theirs != ours
    at.steward.merge(theirs, ours)
    merged = at.steward.locate(key, TREAT).identities[0]
    assert (merged.eid, len(merged.locations)) == (theirs, 2)
    assert at.other.locate(key, TREAT).identities == before.identities
    assert at.other.locate(EnterpriseId(before.identities[0].eid), TREAT).identities == before.identities
    at.steward.split(theirs, [[1], [2]])
    assert at.other.locate(EnterpriseId(before.identities[0].eid), TREAT).identities == before.identities


def test_a_privacy_officer_lifts_an_objection_that_a_record_kept(at):
    """Over the wire: listed with record and facility, lifted, and gone at the next lookup; for officers alone."""
    (anew,) = at.of("10661", raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1"))
    at.facility.register(at.record)
    at.officer.withdraw_consent(number(at.record), "mor-prom", [TREAT], reference="form 7")
    at.facility.register(anew)
    key = LocalIdToken(anew.local_id_token)
    assert at.exchange.locate(key, TREAT).identities == ()
    (carried,) = at.officer.carried(key)
    assert (carried.facility, carried.said.network, carried.said.reference) == ("10661", "mor-prom", "form 7")
    with pytest.raises(AccessDenied):
        at.steward.lift_carried(carried.said.subject, "mor-prom", [TREAT])
    revision = at.officer.lift_carried(carried.said.subject, "mor-prom", [TREAT], reference="case 1")
    assert len(at.exchange.locate(key, TREAT, at_least=revision).identities) == 1
    assert at.officer.carried(key) == []
    with pytest.raises(NotFound):
        at.officer.lift_carried(carried.said.subject, "mor-prom", [TREAT])


def test_every_client_has_enterprise_ids_of_its_own(at):
    """They say nothing to another client, lead back to the person at the centre, and stewards see the centre's own."""
    key = number(at.record)
    at.facility.register(at.record)
    clients = {"cdes": at.exchange, "paotang": at.paotang, "facility": at.facility, "": at.steward}
    seen = {name: client.locate(key, TREAT).identities[0].eid for name, client in clients.items()}
    assert len(set(seen.values())) == 4
    assert at.steward.identity(seen[""]).eid == seen[""]
    (own,) = at.facility.locate(EnterpriseId(seen["facility"]), TREAT).identities
    assert own.eid == seen["facility"]
    assert at.facility.match(at.record.demographics, TREAT).candidates[0].eid == seen["facility"]
    (found,) = at.exchange.locate(EnterpriseId(seen["cdes"]), TREAT).identities
    assert found.eid == seen["cdes"]
    for other in ("paotang", "facility", ""):
        assert at.exchange.locate(EnterpriseId(seen[other]), TREAT).identities == ()
    assert at.exchange.batch_locate([EnterpriseId(seen["cdes"]), key], TREAT).answers == ((found,), (found,))
    assert at.exchange.match(at.record.demographics, TREAT).candidates[0].eid == seen["cdes"]
