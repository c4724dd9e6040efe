"""Ready answers: what a lookup sends, as it sends it, so that the server copies what is stored.

A row of `answers` holds it after whether nobody said anything about consent and the codes of the facilities. It is in
Protocol Buffers' wire format: the locations of an identity as the field `locations` of `mpi.v1.Identity`, and when a
facility registered last as the message `mpi.v1.LastRegistration`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import datetime

from mpi.domain.identity import Location, ReadyIdentity
from mpi.protowire import sized, tag, varint

_FACILITY = tag(1)
_LOCATIONS, _POINTER, _AT = tag(2), tag(2), tag(2)
_SECONDS = b"\x08"
"""Field 1 of a google.protobuf.Timestamp: a number."""
_ANSWER = struct.Struct(">?H")
"""Before a ready answer in its row: whether nobody said anything about consent, and bytes of the facilities' codes."""


def ready_answer(locations: Iterable[Location]) -> bytes:
    """Write locations in their order."""
    return b"".join(
        sized(_LOCATIONS, sized(_FACILITY, at.facility.encode()) + sized(_POINTER, at.pointer))
        for at in sorted(locations)
    )


def pack_answer(locations: Sequence[Location], *, silent: bool) -> bytes:
    """Write the row of an identity whose records are at these places."""
    codes = " ".join(sorted({at.facility for at in locations})).encode()
    return _ANSWER.pack(silent, len(codes)) + codes + ready_answer(locations)


def ready_identity(eid: str, row: bytes) -> ReadyIdentity:
    """Read the row of an identity; `eid` is "" for nobody."""
    answer = _ANSWER.size + (row[1] << 8 | row[2])  # in place of `_ANSWER.unpack_from`, as lookups do it for every key
    return tuple.__new__(ReadyIdentity, (eid, row[answer:], row[_ANSWER.size : answer], bool(row[0]), ()))


def ready_registration(facility: str, at: datetime) -> bytes:
    """Write when a facility registered last, in whole seconds."""
    return sized(_FACILITY, facility.encode()) + sized(_AT, _SECONDS + varint(int(at.timestamp())))
