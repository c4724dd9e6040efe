"""The only map between the protos and the domain, in both directions.

What comes in is checked for shape here; what the gateway alone can judge (profile, epoch, vector length) it checks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

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
from mpi.domain.record import (
    MAX_BATCH,
    MAX_CHANNELS,
    MAX_POINTER_BYTES,
    MAX_TOKENS,
    ChannelEncoding,
    EncodedDemographics,
    EncodedRecord,
)
from mpi.errors import InputRejected, Reason, RecordRejected
from mpi.v1 import error_reason_pb2, identity_pb2, locator_service_pb2, record_pb2, registry_service_pb2

MAX_CURSOR_BYTES = 64
_REVISION = struct.Struct(">cQ")
_REVISION_VERSION = b"\x01"

_KINDS = {
    IdentifierKind.NATIONAL_ID: record_pb2.IDENTIFIER_KIND_NATIONAL_ID,
    IdentifierKind.ALIEN_ID: record_pb2.IDENTIFIER_KIND_ALIEN_ID,
    IdentifierKind.PASSPORT: record_pb2.IDENTIFIER_KIND_PASSPORT,
    IdentifierKind.PHONE: record_pb2.IDENTIFIER_KIND_PHONE,
}
_KINDS_BACK = {number: kind for kind, number in _KINDS.items()}
_DECISIONS = {
    Decision.LINK: identity_pb2.DECISION_LINK,
    Decision.NEW: identity_pb2.DECISION_NEW,
    Decision.REVIEW: identity_pb2.DECISION_REVIEW,
}
_DECISIONS_BACK = {number: decision for decision, number in _DECISIONS.items()}


def record_in(message: record_pb2.EncodedRecord) -> EncodedRecord:
    """Read a record.

    Raises:
        RecordRejected: naming the part of the record that has the wrong shape.
    """
    _need(is_facility_code(message.facility), "facility", "5 to 9 upper-case letters and digits are expected")
    _need(len(message.local_id_token) == TOKEN_BYTES, "local_id_token", f"{TOKEN_BYTES} bytes are expected")
    _need(0 < len(message.pointer) <= MAX_POINTER_BYTES, "pointer", f"1 to {MAX_POINTER_BYTES} bytes are expected")
    return EncodedRecord(
        message.facility, message.local_id_token, message.pointer, demographics_in(message.demographics)
    )


def demographics_in(message: record_pb2.EncodedDemographics) -> EncodedDemographics:
    """Read demographics; raises as `record_in` does."""
    _need(len(message.tokens) <= MAX_TOKENS, "demographics.tokens", f"at most {MAX_TOKENS} are taken")
    _need(len(message.channels) <= MAX_CHANNELS, "demographics.channels", f"at most {MAX_CHANNELS} are taken")
    tokens = tuple(token_in(token, "demographics.tokens") for token in message.tokens)
    _need(len(set(tokens)) == len(tokens), "demographics.tokens", "two of them are equal")
    channels = []
    for encoding in message.channels:
        _need(len(encoding.channel) <= 16, "demographics.channels.channel", "at most 16 characters are expected")
        _need(len(encoding.bucket) == TOKEN_BYTES, "demographics.channels.bucket", f"{TOKEN_BYTES} bytes are expected")
        channels.append(ChannelEncoding(encoding.channel, encoding.bucket, encoding.vector))
    _need(len(set(channels)) == len(channels), "demographics.channels", "two of them are equal")
    return EncodedDemographics(
        message.profile[:64], message.profile_digest, message.key_epoch[:64], tokens, tuple(channels)
    )


def token_in(message: record_pb2.IdentifierToken, field: str) -> IdentifierToken:
    """Read the token of a number; `field` is where it stands."""
    kind = _KINDS_BACK.get(message.kind)
    if kind is None:
        raise RecordRejected(Reason.RECORD_MALFORMED, f"{field}.kind", "is not a kind of number")
    _need(len(message.value) == TOKEN_BYTES, f"{field}.value", f"{TOKEN_BYTES} bytes are expected")
    return IdentifierToken(kind, message.value)


def locate_key_in(message: locator_service_pb2.LocateKey) -> LocateKey:
    """Read a look-up key.

    Raises:
        InputRejected: no key, or one of the wrong shape.
    """
    which = message.WhichOneof("key")
    if which == "identifier":
        return token_in(message.identifier, "key.identifier")
    if which == "local_id_token":
        _need(len(message.local_id_token) == TOKEN_BYTES, "key.local_id_token", f"{TOKEN_BYTES} bytes are expected")
        return LocalIdToken(message.local_id_token)
    if which == "eid":
        if not is_eid(message.eid):
            raise RecordRejected(Reason.REQUEST_INVALID, "key.eid", "is not an enterprise id")
        return EnterpriseId(message.eid)
    raise RecordRejected(Reason.REQUEST_INVALID, "key", "names nobody; set identifier, local_id_token or eid")


def check_batch(field: str, entries: Sequence[object]) -> None:
    """Refuse a batch with more entries than one call may have."""
    if len(entries) > MAX_BATCH:
        raise RecordRejected(Reason.BATCH_TOO_LARGE, field, f"at most {MAX_BATCH} are taken in one batch")


def record_out(record: EncodedRecord) -> record_pb2.EncodedRecord:
    """Write a record."""
    return record_pb2.EncodedRecord(
        facility=record.facility,
        local_id_token=record.local_id_token,
        pointer=record.pointer,
        demographics=demographics_out(record.demographics),
    )


def demographics_out(demographics: EncodedDemographics) -> record_pb2.EncodedDemographics:
    """Write demographics."""
    return record_pb2.EncodedDemographics(
        profile=demographics.profile,
        profile_digest=demographics.profile_digest,
        key_epoch=demographics.key_epoch,
        tokens=[token_out(token) for token in demographics.tokens],
        channels=[
            record_pb2.ChannelEncoding(channel=e.channel, bucket=e.bucket, vector=e.vector)
            for e in demographics.channels
        ],
    )


def token_out(token: IdentifierToken) -> record_pb2.IdentifierToken:
    """Write the token of a number."""
    return record_pb2.IdentifierToken(kind=_KINDS[token.kind], value=token.value)


def locate_key_out(key: LocateKey) -> locator_service_pb2.LocateKey:
    """Write a look-up key."""
    if isinstance(key, IdentifierToken):
        return locator_service_pb2.LocateKey(identifier=token_out(key))
    if isinstance(key, LocalIdToken):
        return locator_service_pb2.LocateKey(local_id_token=key.value)
    return locator_service_pb2.LocateKey(eid=key.value)


def identity_out(identity: Identity) -> identity_pb2.Identity:
    """Write an identity."""
    return identity_pb2.Identity(
        eid=identity.eid,
        locations=[identity_pb2.Location(facility=at.facility, pointer=at.pointer) for at in identity.locations],
    )


def identity_in(message: identity_pb2.Identity) -> Identity:
    """Read an identity."""
    return Identity(message.eid, tuple(Location(at.facility, at.pointer) for at in message.locations))


def registration_out(registration: Registration) -> registry_service_pb2.Registration:
    """Write what became of a record."""
    return registry_service_pb2.Registration(
        eid=registration.eid,
        decision=_DECISIONS[registration.decision],
        weight=registration.weight,
        unchanged=registration.unchanged,
        why=registration.why,
    )


def registration_in(message: registry_service_pb2.Registration) -> Registration:
    """Read what became of a record."""
    return Registration(
        message.eid,
        _DECISIONS_BACK[message.decision],
        message.weight if message.HasField("weight") else None,
        message.unchanged,
        message.why,
    )


def candidate_out(candidate: MatchCandidate) -> identity_pb2.MatchCandidate:
    """Write an identity that came near."""
    return identity_pb2.MatchCandidate(
        eid=candidate.eid,
        weight=candidate.weight,
        evidence=[
            identity_pb2.Evidence(comparison=e.comparison, level=e.level, weight=e.weight) for e in candidate.evidence
        ],
        veto=candidate.veto,
    )


def candidate_in(message: identity_pb2.MatchCandidate) -> MatchCandidate:
    """Read an identity that came near."""
    evidence = tuple(Evidence(e.comparison, e.level, e.weight) for e in message.evidence)
    return MatchCandidate(message.eid, message.weight, evidence, message.veto)


def decision_out(decision: Decision) -> identity_pb2.Decision.ValueType:
    """Write a decision."""
    return _DECISIONS[decision]


def decision_in(number: identity_pb2.Decision.ValueType) -> Decision:
    """Read a decision."""
    return _DECISIONS_BACK[number]


def item_error_out(error: InputRejected) -> error_reason_pb2.ItemError:
    """Write why one entry of a batch failed."""
    return error_reason_pb2.ItemError(
        reason=error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason.value}"),
        field=error.field if isinstance(error, RecordRejected) else "",
        message=error.message,
    )


def item_error_in(message: error_reason_pb2.ItemError) -> RecordRejected:
    """Read why one entry of a batch failed."""
    name = error_reason_pb2.ErrorReason.Name(message.reason).removeprefix("ERROR_REASON_")
    problem = message.message.removeprefix(f"{message.field}: ")
    return RecordRejected(Reason(name), message.field, problem)


def revision_out(revision: int) -> bytes:
    """Write a revision token."""
    return _REVISION.pack(_REVISION_VERSION, revision)


def revision_in(token: bytes) -> int:
    """Read a revision token; an empty one demands nothing.

    Raises:
        InputRejected: it is not a token that this server gave out.
    """
    if not token:
        return 0
    if len(token) != _REVISION.size or token[:1] != _REVISION_VERSION:
        raise RecordRejected(Reason.REQUEST_INVALID, "at_least", "is not a revision token")
    return int(_REVISION.unpack(token)[1])


def _need(holds: bool, field: str, problem: str) -> None:
    if not holds:
        raise RecordRejected(Reason.RECORD_MALFORMED, field, problem)
