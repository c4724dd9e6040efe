"""Decisions about clients between protos and domain."""

from __future__ import annotations

from mpi.domain.access import ClientRule, Role
from mpi.errors import Reason, RecordRejected
from mpi.v1 import admin_service_pb2 as pb2
from mpi.wire import convert


def rule_to_proto(rule: ClientRule) -> pb2.ClientRule:
    """Write what was decided about a client."""
    return pb2.ClientRule(
        client=rule.urn,
        suspended=rule.suspended,
        roles=sorted(rule.roles),
        purposes=[convert.purpose_to_proto(each) for each in sorted(rule.purposes or ())],
        limits_purposes=rule.purposes is not None,
    )


def rule_from_proto(message: pb2.ClientRule) -> ClientRule:
    """Read what is decided about a client.

    Raises:
        RecordRejected: REQUEST_INVALID or PURPOSE_MISSING, with the field at fault.
    """
    try:
        roles = frozenset(Role(word) for word in message.roles)
    except ValueError:
        raise RecordRejected(Reason.REQUEST_INVALID, "rule.roles", f"is one of {', '.join(Role)}") from None
    if message.purposes and not message.limits_purposes:
        raise RecordRejected(Reason.REQUEST_INVALID, "rule.purposes", "goes with limits_purposes only")
    purposes = frozenset(convert.purpose_from_proto(each) for each in message.purposes)
    return ClientRule(message.client, message.suspended, roles, purposes if message.limits_purposes else None)
