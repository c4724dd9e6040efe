"""Ready answers: what a lookup sends, as it sends it, so that the server copies what is stored.

Protocol Buffers' wire format: the locations of an identity as the field `locations` of `mpi.v1.Identity`, and when a
facility registered last as the message `mpi.v1.LastRegistration`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mpi.domain.identity import Location
from mpi.protowire import sized, tag, varint

_FACILITY = tag(1)
_LOCATIONS, _POINTER, _AT = tag(2), tag(2), tag(2)
_SECONDS = b"\x08"
"""Field 1 of a google.protobuf.Timestamp: a number."""


def ready_answer(locations: Iterable[Location]) -> bytes:
    """Write locations in their order."""
    return b"".join(
        sized(_LOCATIONS, sized(_FACILITY, at.facility.encode()) + sized(_POINTER, at.pointer))
        for at in sorted(locations)
    )


def ready_registration(facility: str, at: datetime) -> bytes:
    """Write when a facility registered last, in whole seconds."""
    return sized(_FACILITY, facility.encode()) + sized(_AT, _SECONDS + varint(int(at.timestamp())))
