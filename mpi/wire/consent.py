"""Consents between protos and domain."""

from __future__ import annotations

from mpi.domain.consent import Consent, Stance
from mpi.domain.identifiers import IdentifierToken
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import InputRejected, Reason
from mpi.v1 import consent_service_pb2 as pb2
from mpi.wire import convert

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
