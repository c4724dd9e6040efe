"""The one map between protos and domain, in both directions.

What comes in is checked for shape while it is converted: lengths, counts, enums, oneofs. Whether a record fits the
profile that the index holds (digest, key epoch, vector length) is for the gateway to say. Errors name the field in
the words of the protos, never a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from mpi.domain.identifiers import (
    TOKEN_BYTES,
    EnterpriseId,
    IdentifierKind,
    IdentifierToken,
    LocalIdToken,
    LocateKey,
    is_eid,
    is_facility_code,
)
from mpi.domain.identity import Decision, Evidence, Identity, Location, MatchCandidate, Registration
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import (
    MAX_BATCH,
    MAX_CHANNELS,
    MAX_POINTER_BYTES,
    MAX_SEALED_VIEW_BYTES,
    MAX_TOKENS,
    ChannelEncoding,
    EarlierEncoding,
    EncodedDemographics,
    EncodedRecord,
)
from mpi.errors import Reason, RecordRejected
from mpi.v1 import identity_pb2, locator_service_pb2, record_pb2, registry_service_pb2
from mpi.wire.status import from_item_error, item_error

MAX_CURSOR_BYTES = 64
MAX_NAME_CHARACTERS = 64
"""Longest name of a profile, key epoch or channel."""
DEFAULT_CANDIDATES = 10
MAX_CANDIDATES = 50

_REVISION_TAG = b"\x01"
_REVISION_BYTES = 8

Entry = TypeVar("Entry")


_KIND_TO_PROTO = {kind: record_pb2.IdentifierKind.Value(f"IDENTIFIER_KIND_{kind.name}") for kind in IdentifierKind}
_KIND_OF_PROTO = {number: kind for kind, number in _KIND_TO_PROTO.items()}
_DECISION_TO_PROTO = {decision: identity_pb2.Decision.Value(f"DECISION_{decision.name}") for decision in Decision}
_DECISION_OF_PROTO = {number: decision for decision, number in _DECISION_TO_PROTO.items()}
_PURPOSE_TO_PROTO = {
    purpose: locator_service_pb2.PurposeOfUse.Value(f"PURPOSE_OF_USE_{purpose.name}") for purpose in PurposeOfUse
}
_PURPOSE_OF_PROTO = {number: purpose for purpose, number in _PURPOSE_TO_PROTO.items()}


def record_to_proto(record: EncodedRecord) -> record_pb2.EncodedRecord:
    """Write a record."""
    return record_pb2.EncodedRecord(
        facility=record.facility,
        local_id_token=record.local_id_token,
        pointer=record.pointer,
        demographics=demographics_to_proto(record.demographics),
        earlier=None if record.earlier is None else _earlier_to_proto(record.earlier),
        sealed_view=record.sealed_view,
    )


def record_from_proto(message: record_pb2.EncodedRecord) -> EncodedRecord:
    """Read a record.

    Raises:
        RecordRejected: RECORD_MALFORMED, with the field at fault.
    """
    if not is_facility_code(message.facility):
        raise _malformed("facility", "is not a facility code (5 to 9 upper-case letters and digits)")
    _check_token(message.local_id_token, "local_id_token")
    if not 0 < len(message.pointer) <= MAX_POINTER_BYTES:
        raise _malformed("pointer", f"is not 1 to {MAX_POINTER_BYTES} bytes long")
    if not message.HasField("demographics"):
        raise _malformed("demographics", "is missing")
    if len(message.sealed_view) > MAX_SEALED_VIEW_BYTES:
        raise _malformed("sealed_view", f"is over {MAX_SEALED_VIEW_BYTES} bytes long")
    demographics = demographics_from_proto(message.demographics)
    earlier = _earlier_from_proto(message.earlier) if message.HasField("earlier") else None
    return EncodedRecord(
        message.facility, message.local_id_token, message.pointer, demographics, earlier, message.sealed_view
    )


def _earlier_to_proto(earlier: EarlierEncoding) -> record_pb2.EarlierEncoding:
    return record_pb2.EarlierEncoding(
        local_id_token=earlier.local_id_token, demographics=demographics_to_proto(earlier.demographics)
    )


def _earlier_from_proto(message: record_pb2.EarlierEncoding) -> EarlierEncoding:
    _check_token(message.local_id_token, "earlier.local_id_token")
    if not message.HasField("demographics"):
        raise _malformed("earlier.demographics", "is missing")
    return EarlierEncoding(message.local_id_token, demographics_from_proto(message.demographics))


def demographics_to_proto(demographics: EncodedDemographics) -> record_pb2.EncodedDemographics:
    """Write encoded demographics."""
    return record_pb2.EncodedDemographics(
        profile=demographics.profile,
        profile_digest=demographics.profile_digest,
        key_epoch=demographics.key_epoch,
        tokens=[token_to_proto(token) for token in demographics.tokens],
        channels=[
            record_pb2.ChannelEncoding(channel=item.channel, bucket=item.bucket, vector=item.vector)
            for item in demographics.channels
        ],
    )


def demographics_from_proto(message: record_pb2.EncodedDemographics) -> EncodedDemographics:
    """Read encoded demographics; tokens come out sorted, so that their order on the wire means nothing.

    Raises:
        RecordRejected: RECORD_MALFORMED, with the field at fault.
    """
    for field, name in (("profile", message.profile), ("key_epoch", message.key_epoch)):
        _check_name(name, f"demographics.{field}")
    if len(message.tokens) > MAX_TOKENS:
        raise _malformed("demographics.tokens", f"holds more than {MAX_TOKENS} entries")
    if len(message.channels) > MAX_CHANNELS:
        raise _malformed("demographics.channels", f"holds more than {MAX_CHANNELS} entries")
    tokens = {token_from_proto(token, "demographics.tokens", Reason.RECORD_MALFORMED) for token in message.tokens}
    if len(tokens) != len(message.tokens):
        raise _malformed("demographics.tokens", "holds a token twice")
    channels = []
    for item in message.channels:
        _check_name(item.channel, "demographics.channels.channel")
        _check_token(item.bucket, "demographics.channels.bucket")
        channels.append(ChannelEncoding(item.channel, item.bucket, item.vector))
    return EncodedDemographics(
        message.profile, message.profile_digest, message.key_epoch, tuple(sorted(tokens)), tuple(channels)
    )


def token_to_proto(token: IdentifierToken) -> record_pb2.IdentifierToken:
    """Write an identifier token."""
    return record_pb2.IdentifierToken(kind=_KIND_TO_PROTO[token.kind], value=token.value)


def token_from_proto(message: record_pb2.IdentifierToken, field: str, reason: Reason) -> IdentifierToken:
    """Read an identifier token; `field` and `reason` say where it stands, for the error alone.

    Raises:
        RecordRejected: the kind is unspecified or unknown, or the value is not 32 bytes.
    """
    kind = _KIND_OF_PROTO.get(message.kind)
    if kind is None:
        raise RecordRejected(reason, f"{field}.kind", "is unspecified or unknown")
    _check_token(message.value, f"{field}.value", reason)
    return IdentifierToken(kind, message.value)


def key_to_proto(key: LocateKey) -> locator_service_pb2.LocateKey:
    """Write a look-up key."""
    if isinstance(key, IdentifierToken):
        return locator_service_pb2.LocateKey(identifier=token_to_proto(key))
    if isinstance(key, LocalIdToken):
        return locator_service_pb2.LocateKey(local_id_token=key.value)
    return locator_service_pb2.LocateKey(eid=key.value)


def keys_from_proto(messages: Iterable[locator_service_pb2.LocateKey]) -> list[LocateKey | RecordRejected]:
    """Read look-up keys; for one that `key_from_proto` refuses, the error."""
    found: list[LocateKey | RecordRejected] = []
    kinds, new = _KIND_OF_PROTO.get, tuple.__new__  # the class would take twice as long
    for message in messages:
        identifier = message.identifier
        kind, token = kinds(identifier.kind), identifier.value
        if kind is not None and len(token) == TOKEN_BYTES:
            found.append(new(IdentifierToken, (kind, token)))  # as nearly every key is
            continue
        try:
            found.append(_key(message))
        except RecordRejected as rejected:
            found.append(rejected)
    return found


def key_from_proto(message: locator_service_pb2.LocateKey) -> LocateKey:
    """Read a look-up key.

    Raises:
        RecordRejected: REQUEST_INVALID: no key is set, or it has the wrong shape.
    """
    (found,) = keys_from_proto([message])
    if isinstance(found, RecordRejected):
        raise found
    return found


def _key(message: locator_service_pb2.LocateKey) -> LocateKey:
    which = message.WhichOneof("key")
    if which == "identifier":
        return token_from_proto(message.identifier, "key.identifier", Reason.REQUEST_INVALID)
    if which == "local_id_token":
        _check_token(message.local_id_token, "key.local_id_token", Reason.REQUEST_INVALID)
        return LocalIdToken(message.local_id_token)
    if which == "eid":
        return EnterpriseId(eid_from_proto(message.eid, "key.eid"))
    raise _invalid("key", "is empty: set identifier, local_id_token or eid")


def eid_from_proto(text: str, field: str) -> str:
    """Give an enterprise id back if it is one.

    Raises:
        RecordRejected: REQUEST_INVALID.
    """
    if not is_eid(text):
        raise _invalid(field, "is not an enterprise id (a UUID in lower case with hyphens)")
    return text


def retraction_from_proto(message: registry_service_pb2.RetractRequest) -> tuple[str, LocalIdToken]:
    """Read which record is taken back: its facility and the token of its local id.

    Raises:
        RecordRejected: REQUEST_INVALID, with the field at fault.
    """
    if not is_facility_code(message.facility):
        raise _invalid("facility", "is not a facility code (5 to 9 upper-case letters and digits)")
    _check_token(message.local_id_token, "local_id_token", Reason.REQUEST_INVALID)
    return message.facility, LocalIdToken(message.local_id_token)


def purpose_to_proto(purpose: PurposeOfUse) -> locator_service_pb2.PurposeOfUse.ValueType:
    """Write a purpose of use."""
    return _PURPOSE_TO_PROTO[purpose]


def purpose_from_proto(number: locator_service_pb2.PurposeOfUse.ValueType) -> PurposeOfUse:
    """Read a purpose of use.

    Raises:
        RecordRejected: PURPOSE_MISSING when it is unspecified, REQUEST_INVALID when it is unknown.
    """
    if number == locator_service_pb2.PURPOSE_OF_USE_UNSPECIFIED:
        raise RecordRejected(Reason.PURPOSE_MISSING, "purpose", "is unspecified; every lookup states its purpose")
    purpose = _PURPOSE_OF_PROTO.get(number)
    if purpose is None:
        raise _invalid("purpose", "is none of the purposes of use")
    return purpose


def locations_to_proto(locations: Sequence[Location]) -> identity_pb2.Identity:
    """Write where the records of an identity are, and nothing else of it."""
    return identity_pb2.Identity(locations=[location_to_proto(at) for at in locations])


def identity_from_proto(message: identity_pb2.Identity) -> Identity:
    """Read an identity."""
    return Identity(message.eid, tuple(location_from_proto(at) for at in message.locations), tuple(message.split))


def location_to_proto(at: Location) -> identity_pb2.Location:
    """Write a location."""
    return identity_pb2.Location(facility=at.facility, pointer=at.pointer)


def location_from_proto(message: identity_pb2.Location) -> Location:
    """Read a location."""
    return Location(message.facility, message.pointer)


def decision_to_proto(decision: Decision) -> identity_pb2.Decision.ValueType:
    """Write a decision."""
    return _DECISION_TO_PROTO[decision]


def decision_from_proto(number: identity_pb2.Decision.ValueType) -> Decision:
    """Read a decision.

    Raises:
        RecordRejected: REQUEST_INVALID: the server sent one that this release does not know.
    """
    decision = _DECISION_OF_PROTO.get(number)
    if decision is None:
        raise _invalid("decision", "is unspecified or unknown; the server may be of another release")
    return decision


def registration_to_proto(registration: Registration) -> registry_service_pb2.Registration:
    """Write what became of a record."""
    return registry_service_pb2.Registration(
        eid=registration.eid,
        decision=decision_to_proto(registration.decision),
        weight=registration.weight,
        unchanged=registration.unchanged,
        why=registration.why,
    )


def registration_from_proto(message: registry_service_pb2.Registration) -> Registration:
    """Read what became of a record."""
    weight = message.weight if message.HasField("weight") else None
    return Registration(message.eid, decision_from_proto(message.decision), weight, message.unchanged, message.why)


def outcome_to_proto(outcome: Registration | RecordRejected) -> registry_service_pb2.RecordOutcome:
    """Write the outcome of one record of a batch."""
    if isinstance(outcome, RecordRejected):
        return registry_service_pb2.RecordOutcome(error=item_error(outcome))
    return registry_service_pb2.RecordOutcome(registration=registration_to_proto(outcome))


def outcome_from_proto(message: registry_service_pb2.RecordOutcome) -> Registration | RecordRejected:
    """Read the outcome of one record of a batch."""
    if message.WhichOneof("outcome") == "error":
        return from_item_error(message.error)
    return registration_from_proto(message.registration)


def registrations_from_proto(messages: Iterable[identity_pb2.LastRegistration]) -> dict[str, datetime]:
    """Read when facilities registered last, by their codes, UTC."""
    return {each.facility: each.at.ToDatetime(tzinfo=UTC) for each in messages}


def located_from_proto(message: locator_service_pb2.LocateOutcome) -> tuple[Identity, ...] | RecordRejected:
    """Read the answer to one key of a batch."""
    if message.HasField("error"):
        return from_item_error(message.error)
    return tuple(identity_from_proto(identity) for identity in message.identities)


def candidate_to_proto(candidate: MatchCandidate) -> identity_pb2.MatchCandidate:
    """Write a match candidate."""
    return identity_pb2.MatchCandidate(
        eid=candidate.eid,
        weight=candidate.weight,
        evidence=[
            identity_pb2.Evidence(comparison=term.comparison, level=term.level, weight=term.weight)
            for term in candidate.evidence
        ],
        veto=candidate.veto,
    )


def candidate_from_proto(message: identity_pb2.MatchCandidate) -> MatchCandidate:
    """Read a match candidate."""
    evidence = tuple(Evidence(term.comparison, term.level, term.weight) for term in message.evidence)
    return MatchCandidate(message.eid, message.weight, evidence, message.veto)


def limit_from_proto(limit: int) -> int:
    """Read how many candidates are wanted; 0 stands for 10.

    Raises:
        RecordRejected: REQUEST_INVALID: more than 50.
    """
    if limit > MAX_CANDIDATES:
        raise _invalid("limit", f"is more than {MAX_CANDIDATES}")
    return limit or DEFAULT_CANDIDATES


def revision_to_token(revision: int) -> bytes:
    """Write a revision as the token that callers keep and give back; they must not look into it."""
    return _REVISION_TAG + revision.to_bytes(_REVISION_BYTES, "big")


def revision_from_token(token: bytes, field: str = "at_least") -> int:
    """Read a revision token; the empty one demands nothing and is revision 0.

    Raises:
        RecordRejected: REQUEST_INVALID: this service never gave out such a token.
    """
    if not token:
        return 0
    if len(token) != len(_REVISION_TAG) + _REVISION_BYTES or not token.startswith(_REVISION_TAG):
        raise _invalid(field, "is not a revision token of this service")
    return int.from_bytes(token[len(_REVISION_TAG) :], "big")


def check_cursor(cursor: bytes) -> bytes:
    """Give a sender's cursor back if it has the allowed length.

    Raises:
        RecordRejected: REQUEST_INVALID: longer than 64 bytes.
    """
    if len(cursor) > MAX_CURSOR_BYTES:
        raise _invalid("cursor", f"is longer than {MAX_CURSOR_BYTES} bytes")
    return cursor


def check_batch(entries: Sequence[Entry], field: str) -> Sequence[Entry]:
    """Give the entries of a batch back if they are not too many.

    Raises:
        RecordRejected: BATCH_TOO_LARGE: more than 1000 entries.
    """
    if len(entries) > MAX_BATCH:
        raise RecordRejected(Reason.BATCH_TOO_LARGE, field, f"holds more than {MAX_BATCH} entries")
    return entries


def _check_token(value: bytes, field: str, reason: Reason = Reason.RECORD_MALFORMED) -> None:
    if len(value) != TOKEN_BYTES:
        raise RecordRejected(reason, field, f"is not {TOKEN_BYTES} bytes long")


def _check_name(name: str, field: str) -> None:
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise _malformed(field, f"is not 1 to {MAX_NAME_CHARACTERS} characters long")


def _malformed(field: str, problem: str) -> RecordRejected:
    return RecordRejected(Reason.RECORD_MALFORMED, field, problem)


def _invalid(field: str, problem: str) -> RecordRejected:
    return RecordRejected(Reason.REQUEST_INVALID, field, problem)
