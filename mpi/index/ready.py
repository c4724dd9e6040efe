"""Ready answers: the locations of an identity as a lookup sends them, so that the server copies what is stored.

The bytes are the field `locations` of the message `mpi.v1.Identity`, in Protocol Buffers' wire format.
"""

from __future__ import annotations

from collections.abc import Iterable

from mpi.domain.identity import Location

_LOCATIONS, _FACILITY, _POINTER = b"\x12", b"\x0a", b"\x12"
"""Numbers of the fields, with the wire type of bytes."""
_MORE = 0x80


def ready_answer(locations: Iterable[Location]) -> bytes:
    """Write locations in their order."""
    return b"".join(
        _LOCATIONS + _sized(_FACILITY + _sized(at.facility.encode()) + _POINTER + _sized(at.pointer))
        for at in sorted(locations)
    )


def _sized(content: bytes) -> bytes:
    """Put a length before what it is of, seven bits a byte, the lowest first."""
    length, written = len(content), bytearray()
    while length >= _MORE:
        written.append(length & (_MORE - 1) | _MORE)
        length >>= 7
    written.append(length)
    return bytes(written) + content
