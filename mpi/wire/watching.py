"""Feeds of changes between protos and domain."""

from __future__ import annotations

from mpi.domain.identifiers import is_facility_code
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.watching import EventKind, IdentityEvent, Wanted, Watched
from mpi.errors import Reason, RecordRejected
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import convert

_KIND_TO_PROTO = {kind: pb2.IdentityEventKind.Value(f"IDENTITY_EVENT_KIND_{kind.name}") for kind in EventKind}
_KIND_OF_PROTO = {number: kind for kind, number in _KIND_TO_PROTO.items()}


def request_to_proto(purpose: PurposeOfUse, cursor: bytes, wanted: Wanted) -> pb2.WatchIdentitiesRequest:
    """Write what is to be watched."""
    return pb2.WatchIdentitiesRequest(
        purpose=convert.purpose_to_proto(purpose),
        cursor=cursor,
        kinds=sorted(_KIND_TO_PROTO[kind] for kind in wanted.kinds),
        facilities=sorted(wanted.facilities),
    )


def wanted_from_proto(message: pb2.WatchIdentitiesRequest) -> Wanted:
    """Read which events are wanted.

    Raises:
        RecordRejected: REQUEST_INVALID: a kind is unspecified or unknown, or a code is none. BATCH_TOO_LARGE: more than
            1000 codes.
    """
    if any(number not in _KIND_OF_PROTO for number in message.kinds):
        raise RecordRejected(Reason.REQUEST_INVALID, "kinds", "holds one that is unspecified or unknown")
    convert.check_batch(message.facilities, "facilities")
    if not all(map(is_facility_code, message.facilities)):
        raise RecordRejected(Reason.REQUEST_INVALID, "facilities", "holds what is not a facility code")
    return Wanted(frozenset(_KIND_OF_PROTO[number] for number in message.kinds), frozenset(message.facilities))


def event_to_proto(event: IdentityEvent) -> pb2.IdentityEvent:
    """Write an event."""
    return pb2.IdentityEvent(
        kind=_KIND_TO_PROTO[event.kind], eid=event.eid, source=event.source, facilities=event.facilities
    )


def event_from_proto(message: pb2.IdentityEvent) -> IdentityEvent:
    """Read an event; a kind that this release does not know asks to look again, as every kind does."""
    kind = _KIND_OF_PROTO.get(message.kind, EventKind.LOOK_AGAIN)
    return IdentityEvent(message.eid, message.source, kind, tuple(message.facilities))


def watched_from_proto(message: pb2.WatchIdentitiesResponse) -> Watched:
    """Read a page of a feed."""
    return Watched(tuple(map(event_from_proto, message.events)), message.cursor)
