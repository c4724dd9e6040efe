"""Conversions go both ways without loss, and refuse every wrong shape by the name of its field."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.identity import (
    Decision,
    Evidence,
    Identity,
    Location,
    MatchCandidate,
    ReadyIdentity,
    Registration,
)
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import MAX_BATCH, MAX_CHANNELS, MAX_POINTER_BYTES, MAX_TOKENS
from mpi.errors import Reason, RecordRejected
from mpi.index.ready import ready_answer, ready_registration
from mpi.v1 import identity_pb2, locator_service_pb2, record_pb2
from mpi.wire import convert
from mpi.wire.answers import batch_answer, locate_answer
from tests.server.running import encoded

MOMENT = datetime(2569 - 543, 11, 23, 9, 30, 1, tzinfo=UTC)
REGISTERED = {code: ready_registration(code, MOMENT) for code in ("99999", "10661")}

TOKEN = b"\x01" * 32


def spoilt(**changes: object) -> record_pb2.EncodedRecord:
    """A well-formed record message, with fields of the record or of its demographics replaced."""
    message = convert.record_to_proto(encoded(1))
    for name, value in changes.items():
        part = message if name in message.DESCRIPTOR.fields_by_name else message.demographics
        part.ClearField(name)
        if isinstance(value, list):
            getattr(part, name).extend(value)
        elif value is not None:
            setattr(part, name, value)
    return message


def token(kind: int = 1, value: bytes = TOKEN) -> record_pb2.IdentifierToken:
    return record_pb2.IdentifierToken(kind=kind, value=value)


def channel(name: str = "A", bucket: bytes = TOKEN) -> record_pb2.ChannelEncoding:
    return record_pb2.ChannelEncoding(channel=name, bucket=bucket, vector=b"v")


def test_a_record_goes_both_ways():
    """A record comes back as it was."""
    record = encoded(1)
    assert convert.record_from_proto(convert.record_to_proto(record)) == record


def test_tokens_come_out_sorted():
    """The order of tokens on the wire means nothing."""
    tokens = [token(4), token(1, b"\x02" * 32), token(1)]
    forwards = convert.record_from_proto(spoilt(tokens=tokens))
    backwards = convert.record_from_proto(spoilt(tokens=tokens[::-1]))
    assert forwards == backwards
    assert forwards.demographics.tokens == tuple(sorted(forwards.demographics.tokens))


def test_the_largest_record_is_taken():
    """A record at every limit is still taken."""
    message = spoilt(
        pointer=bytes(MAX_POINTER_BYTES),
        tokens=[token(value=bytes([number]) * 32) for number in range(MAX_TOKENS)],
        channels=[channel()] * MAX_CHANNELS,
    )
    assert len(convert.record_from_proto(message).demographics.channels) == MAX_CHANNELS


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"facility": ""}, "facility"),
        ({"facility": "1066"}, "facility"),
        ({"facility": "abcde"}, "facility"),
        ({"facility": "10661\n"}, "facility"),
        ({"facility": "๑๐๖๖๑"}, "facility"),
        ({"local_id_token": b""}, "local_id_token"),
        ({"local_id_token": b"x" * 31}, "local_id_token"),
        ({"local_id_token": b"x" * 33}, "local_id_token"),
        ({"pointer": b""}, "pointer"),
        ({"pointer": bytes(MAX_POINTER_BYTES + 1)}, "pointer"),
        ({"demographics": None}, "demographics"),
        ({"profile": ""}, "demographics.profile"),
        ({"profile": "p" * 65}, "demographics.profile"),
        ({"key_epoch": ""}, "demographics.key_epoch"),
        ({"tokens": [token(0)]}, "demographics.tokens.kind"),
        ({"tokens": [token(99)]}, "demographics.tokens.kind"),
        ({"tokens": [token(value=b"x")]}, "demographics.tokens.value"),
        ({"tokens": [token(), token()]}, "demographics.tokens"),
        ({"tokens": [token(value=bytes([n]) * 32) for n in range(MAX_TOKENS + 1)]}, "demographics.tokens"),
        ({"channels": [channel("")]}, "demographics.channels.channel"),
        ({"channels": [channel(bucket=b"")]}, "demographics.channels.bucket"),
        ({"channels": [channel()] * (MAX_CHANNELS + 1)}, "demographics.channels"),
    ],
)
def test_malformed_records_are_refused_by_field(changes, field):
    """Each wrong shape of a record is RECORD_MALFORMED at its field, and the message holds no value."""
    with pytest.raises(RecordRejected) as caught:
        convert.record_from_proto(spoilt(**changes))
    assert (caught.value.reason, caught.value.field) == (Reason.RECORD_MALFORMED, field)
    for value in changes.values():
        if isinstance(value, str) and value:
            assert value not in caught.value.message


@pytest.mark.parametrize(
    "key",
    [*(IdentifierToken(kind, TOKEN) for kind in IdentifierKind), LocalIdToken(TOKEN), EnterpriseId(str(uuid.uuid4()))],
)
def test_keys_go_both_ways(key):
    """Every kind of look-up key comes back as it was."""
    assert convert.key_from_proto(convert.key_to_proto(key)) == key


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ({}, "key"),
        ({"identifier": record_pb2.IdentifierToken()}, "key.identifier.kind"),
        ({"identifier": token(value=b"short")}, "key.identifier.value"),
        ({"local_id_token": b""}, "key.local_id_token"),
        ({"eid": ""}, "key.eid"),
        ({"eid": str(uuid.uuid4()).upper()}, "key.eid"),
    ],
)
def test_malformed_keys_are_refused_by_field(key, field):
    """A look-up key without content or of the wrong shape is REQUEST_INVALID at its field."""
    with pytest.raises(RecordRejected) as caught:
        convert.key_from_proto(locator_service_pb2.LocateKey(**key))
    assert (caught.value.reason, caught.value.field) == (Reason.REQUEST_INVALID, field)


def test_purposes_are_those_of_the_proto():
    """Every purpose of the proto has its word, and goes both ways."""
    names = {name.removeprefix("PURPOSE_OF_USE_") for name in locator_service_pb2.PurposeOfUse.keys()}  # noqa: SIM118
    assert names - {"UNSPECIFIED"} == {purpose.value for purpose in PurposeOfUse}
    for purpose in PurposeOfUse:
        assert convert.purpose_from_proto(convert.purpose_to_proto(purpose)) is purpose


@pytest.mark.parametrize(("number", "reason"), [(0, Reason.PURPOSE_MISSING), (99, Reason.REQUEST_INVALID)])
def test_other_purposes_are_refused(number, reason):
    """An unspecified purpose is missing, an unknown one invalid."""
    with pytest.raises(RecordRejected) as caught:
        convert.purpose_from_proto(number)
    assert (caught.value.reason, caught.value.field) == (reason, "purpose")


def test_enums_of_domain_and_proto_agree():
    """No kind of number and no decision of the proto lacks its word in the domain."""
    kinds = {name.removeprefix("IDENTIFIER_KIND_") for name in record_pb2.IdentifierKind.keys()}  # noqa: SIM118
    assert kinds - {"UNSPECIFIED"} == {kind.name for kind in IdentifierKind}
    decisions = {name.removeprefix("DECISION_") for name in identity_pb2.Decision.keys()}  # noqa: SIM118
    assert decisions - {"UNSPECIFIED"} == {decision.name for decision in Decision}


@pytest.mark.parametrize("opened", [False, True])
def test_an_answer_to_one_key_goes_both_ways(opened):
    """Identities, the revision, when facilities registered, and whether the glass was broken; or nothing of it."""
    identity = Identity("eid", (Location("10661", b"a"), Location("11111", b"b")))
    written = locate_answer([identity], {"eid": "theirs"}, 300, REGISTERED, opened=opened)
    answer = locator_service_pb2.LocateResponse.FromString(written.content)
    assert answer.SerializeToString(deterministic=True) == written.content
    assert [convert.identity_from_proto(each) for each in answer.identities] == [replace(identity, eid="theirs")]
    assert (convert.revision_from_token(answer.revision), answer.opened) == (300, opened)
    assert convert.registrations_from_proto(answer.registrations) == {"10661": MOMENT}
    assert written.identities == 1
    nothing = locator_service_pb2.LocateResponse.FromString(locate_answer([], {}, 0, {}, opened=False).content)
    assert (list(nothing.identities), list(nothing.registrations)) == ([], [])


@pytest.mark.parametrize("weight", [None, 0.0, -3.25, 20.5])
@pytest.mark.parametrize("decision", list(Decision))
def test_registrations_go_both_ways(decision, weight):
    """A registration comes back as it was; no weight and the weight 0 are kept apart."""
    registration = Registration("eid", decision, weight, weight is None, "why")
    assert convert.outcome_from_proto(convert.outcome_to_proto(registration)) == registration


def test_refused_outcomes_go_both_ways():
    """The refusal of one record comes back with its reason and field."""
    refused = RecordRejected(Reason.RECORD_MALFORMED, "pointer", "is empty")
    back = convert.outcome_from_proto(convert.outcome_to_proto(refused))
    assert isinstance(back, RecordRejected)
    assert (back.reason, back.field, back.message) == (refused.reason, refused.field, refused.message)


def test_located_answers_go_both_ways():
    """The answer to one key of a batch comes back, whether identities, none, or an error."""

    def located(answer, known_as=()):
        written = batch_answer([answer], {each: each for each in ("eid", "part")} | dict(known_as), 7, REGISTERED)
        message = locator_service_pb2.BatchLocateResponse.FromString(written.content)
        assert convert.revision_from_token(message.revision) == written.revision == 7
        assert convert.registrations_from_proto(message.registrations) == {"10661": MOMENT, "99999": MOMENT}
        (outcome,) = message.outcomes
        return convert.located_from_proto(outcome)

    places = tuple(Location(f"{10661 + turn}", bytes([turn]) * (20 * turn + 1)) for turn in range(12))
    identity = Identity("eid", places, ("part",))
    assert located([identity]) == (identity,)
    codes = " ".join(identity.facilities).encode()
    ready = ReadyIdentity(identity.eid, ready_answer(identity.locations), codes, True, identity.split)
    assert list(ready.facilities) == list(identity.facilities)
    assert located([ready]) == (identity,)
    theirs = {"eid": "z", "part": "y", "other": "a"}
    assert located([ready, Identity("other", places[:1])], theirs) == (
        Identity("a", places[:1]),
        Identity("z", places, ("y",)),
    )
    assert located([]) == ()
    refused = RecordRejected(Reason.REQUEST_INVALID, "key", "is empty")
    assert located(refused).field == "key"


@pytest.mark.parametrize("pointers", [0, 1, 2, 3, 5, 40, 400])
def test_ready_answers_of_any_size_come_back(pointers):
    """What is put together from ready bytes reads as it would if it had been written field by field."""
    eid = "2f1c9a52-58a9-4e6b-9d4e-0c27ad5a4e01"
    identity = Identity(eid, tuple(Location("10661", bytes([turn % 256]) * 48) for turn in range(pointers)))
    answer = ready_answer(identity.locations)
    written = batch_answer([[ReadyIdentity(eid, answer, b"10661", True, ())], []], {eid: eid}, 7, {})
    found, nobody = locator_service_pb2.BatchLocateResponse.FromString(written.content).outcomes
    assert convert.located_from_proto(found) == (Identity(eid, tuple(sorted(identity.locations))),)
    assert convert.located_from_proto(nobody) == ()


def test_candidates_go_both_ways():
    """A match candidate comes back with its evidence."""
    candidate = MatchCandidate("eid", 12.5, (Evidence("A", "near", 9.0), Evidence("national_id", "agree", 3.5)), "veto")
    assert convert.candidate_from_proto(convert.candidate_to_proto(candidate)) == candidate


def test_an_unknown_decision_is_refused():
    """A decision that this release does not know is not taken for another one."""
    with pytest.raises(RecordRejected, match="decision"):
        convert.decision_from_proto(0)


@pytest.mark.parametrize("revision", [0, 1, 2**63])
def test_revision_tokens_go_both_ways(revision):
    """A revision comes back from its token, which is one tag byte and eight bytes of number."""
    written = convert.revision_to_token(revision)
    assert written == b"\x01" + revision.to_bytes(8, "big")
    assert convert.revision_from_token(written) == revision


def test_no_revision_token_demands_nothing():
    """The empty token is revision 0, which every index has reached."""
    assert convert.revision_from_token(b"") == 0


def test_limits_of_requests():
    """Cursors, batches and candidate limits are taken up to their limits and refused beyond."""
    assert convert.check_cursor(b"c" * 64) == b"c" * 64
    assert len(convert.check_batch([0] * MAX_BATCH, "keys")) == MAX_BATCH
    assert [convert.limit_from_proto(limit) for limit in (0, 1, 50)] == [10, 1, 50]
    for call, field, reason in (
        (lambda: convert.check_cursor(b"c" * 65), "cursor", Reason.REQUEST_INVALID),
        (lambda: convert.check_batch([0] * (MAX_BATCH + 1), "keys"), "keys", Reason.BATCH_TOO_LARGE),
        (lambda: convert.limit_from_proto(51), "limit", Reason.REQUEST_INVALID),
    ):
        with pytest.raises(RecordRejected) as caught:
            call()
        assert (caught.value.field, caught.value.reason) == (field, reason)
