"""Consents between protos and domain."""

from __future__ import annotations

from datetime import UTC

from mpi.domain.consent import Carried, Consent, Opening, OpeningStatus, Stance
from mpi.domain.identifiers import IdentifierToken
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import InputRejected, Reason, RecordRejected
from mpi.v1 import consent_service_pb2 as pb2
from mpi.v1 import privacy_service_pb2 as privacy_pb2
from mpi.wire import convert

LEAST_REASON, MOST_REASON = 5, 200
HEDGED = ("mpi-hedged", "1")
"""Metadata of a lookup that is asked for at several servers at once: it is refused where it would use something up."""
_CURSOR_BYTES = 16

_JUDGEMENTS = {
    OpeningStatus.JUSTIFIED: privacy_pb2.JUDGEMENT_JUSTIFIED,
    OpeningStatus.UNJUSTIFIED: privacy_pb2.JUDGEMENT_UNJUSTIFIED,
}
_STANCE_TO_PROTO = {stance: pb2.Stance.Value(f"STANCE_{stance.name}") for stance in Stance}
_STANCE_OF_PROTO = {number: stance for stance, number in _STANCE_TO_PROTO.items()}


def said_from_proto(
    message: pb2.GiveRequest | pb2.WithdrawRequest,
) -> tuple[IdentifierToken, str, list[PurposeOfUse]]:
    """Read whom something was said about, and about which network and purposes.

    Raises:
        RecordRejected: REQUEST_INVALID or PURPOSE_MISSING, with the field at fault.
    """
    token = convert.token_from_proto(message.identifier, "identifier", Reason.REQUEST_INVALID)
    return token, message.network, [convert.purpose_from_proto(each) for each in message.purposes]


def reason_from_proto(text: str, purpose: PurposeOfUse) -> str:
    """Read why the glass is broken; "" where it is not.

    Raises:
        RecordRejected: REQUEST_INVALID: it is missing, too short or too long, or stands with another purpose.
    """
    if purpose is not PurposeOfUse.BTG:
        if text:
            raise RecordRejected(Reason.REQUEST_INVALID, "reason", "goes with purpose BTG only")
        return ""
    if not LEAST_REASON <= len(text.strip()) <= MOST_REASON or not text.isprintable():
        problem = f"is {LEAST_REASON} to {MOST_REASON} characters on one line; whoever breaks the glass says why"
        raise RecordRejected(Reason.REQUEST_INVALID, "reason", problem)
    return text.strip()


def check_unbroken(purpose: PurposeOfUse) -> None:
    """Refuse to break the glass where it is not for one person by name.

    Raises:
        RecordRejected: REQUEST_INVALID.
    """
    if purpose is PurposeOfUse.BTG:
        raise RecordRejected(Reason.REQUEST_INVALID, "purpose", "BTG goes with Locate only, one person at a time")


def opening_to_proto(opening: Opening) -> privacy_pb2.Opening:
    """Write an opening."""
    message = privacy_pb2.Opening(
        number=opening.number,
        client=opening.client,
        reason=opening.reason,
        eids=opening.eids,
        request=opening.request,
    )
    if opening.at is not None:
        message.at.FromDatetime(opening.at)
    return message


def opening_from_proto(message: privacy_pb2.Opening) -> Opening:
    """Read an opening."""
    at = message.at.ToDatetime(UTC)
    return Opening(message.number, at, message.client, message.reason, tuple(message.eids), message.request)


def carried_to_proto(carried: Carried) -> privacy_pb2.Carried:
    """Write an objection that a record keeps by itself."""
    said = carried.said
    return privacy_pb2.Carried(
        record=said.subject if isinstance(said.subject, int) else 0,
        facility=carried.facility,
        network=said.network,
        purpose=convert.purpose_to_proto(said.purpose),
        reference=said.reference,
    )


def carried_from_proto(message: privacy_pb2.Carried) -> Carried:
    """Read an objection that a record keeps by itself."""
    purpose = convert.purpose_from_proto(message.purpose)
    said = Consent(message.record, message.network, purpose, Stance.WITHDRAWN, reference=message.reference)
    return Carried(said, message.facility)


def check_cursor(cursor: bytes) -> bytes:
    """Give the place of a page back if it can be one.

    Raises:
        RecordRejected: REQUEST_INVALID.
    """
    if len(cursor) not in (0, _CURSOR_BYTES):
        raise RecordRejected(Reason.REQUEST_INVALID, "cursor", "is what the page before said")
    return cursor


def judgement_to_proto(status: OpeningStatus) -> privacy_pb2.Judgement.ValueType:
    """Write what is thought of an opening."""
    return _JUDGEMENTS[status]


def judgement_from_proto(number: privacy_pb2.Judgement.ValueType) -> OpeningStatus:
    """Read what is thought of an opening.

    Raises:
        RecordRejected: REQUEST_INVALID: it is unspecified or unknown.
    """
    for status, known in _JUDGEMENTS.items():
        if known == number:
            return status
    raise RecordRejected(Reason.REQUEST_INVALID, "judgement", "is unspecified or unknown")


def consent_to_proto(consent: Consent) -> pb2.Consent:
    """Write what was said about one network and purpose."""
    return pb2.Consent(
        network=consent.network,
        purpose=convert.purpose_to_proto(consent.purpose),
        stance=_STANCE_TO_PROTO[consent.stance],
        once=consent.once,
        includes_sensitive=consent.sensitive,
        recorder=consent.recorder,
        reference=consent.reference,
    )


def consent_from_proto(token: IdentifierToken, message: pb2.Consent) -> Consent:
    """Read what was said under a number.

    Raises:
        InputRejected: the server sent a stance that this release does not know.
    """
    stance = _STANCE_OF_PROTO.get(message.stance)
    if stance is None:
        raise InputRejected("the server sent a stance that is unspecified or unknown; it may be of another release")
    purpose = convert.purpose_from_proto(message.purpose)
    return Consent(
        token,
        message.network,
        purpose,
        stance,
        message.once,
        message.includes_sensitive,
        message.recorder,
        message.reference,
    )
