"""How gRPC writes messages, deadlines, metadata and states on HTTP/2.

Source: gRPC over HTTP/2, "PROTOCOL-HTTP2.md" of the gRPC project.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from urllib.parse import quote

import grpc
from ngh2 import Header, NeverIndexedHeader

from mpi.errors import InputRejected, Reason

MAX_MESSAGE_BYTES = 4 << 20
"""Longest message that is taken."""

Metadata = Sequence[tuple[str, str | bytes]]

CONTENT_TYPE = b"application/grpc"
IDENTITY = b"identity"
BEGUN: tuple[Header, ...] = (
    (b":status", b"200"),
    (b"content-type", CONTENT_TYPE),
    (b"grpc-accept-encoding", IDENTITY),
)
"""Headers before the first message of an answer."""

UNKNOWN = "there is no such call here"

_PREFIX = 5
"""Bytes before a message: whether it is compressed, and its length."""
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_OK = (b"grpc-status", b"0")
_BINARY = "-bin"


def is_grpc(content_type: bytes) -> bool:
    """Say whether a content type is gRPC's, with whatever it says of the messages; gRPC-Web's is another one."""
    return content_type.startswith(CONTENT_TYPE) and content_type[len(CONTENT_TYPE) :][:1] in (b"", b"+", b";")


def framed(message: bytes) -> bytes:
    """Put before a message that it is not compressed, and its length."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def seconds_of(timeout: bytes) -> float | None:
    """Read the header `grpc-timeout`: None where there is none, and 0 for what is no timeout."""
    if not timeout:
        return None
    found = _TIMEOUT.fullmatch(timeout)
    return int(found[1]) * _UNITS[found[2]] if found else 0.0


class Assembler:
    """Puts the messages of one call together from the pieces that come."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: bytearray | None = None

    @property
    def held(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._pieces) if self._pieces else 0

    def taken(self, piece: bytes) -> list[bytes]:
        """Take a piece; gives the messages that it completes.

        Raises:
            InputRejected: a message is longer than is taken, or compressed.
        """
        if self._pieces is None:
            if piece[:1] == b"\0" and len(piece) - _PREFIX == int.from_bytes(piece[1:_PREFIX], "big"):
                return [piece[_PREFIX:]]  # one whole message in one frame, as nearly always
            self._pieces = bytearray()
        pieces = self._pieces
        pieces += piece
        messages, at = [], 0
        while len(pieces) - at >= _PREFIX:
            start = at + _PREFIX
            length = int.from_bytes(pieces[at + 1 : start], "big")
            if pieces[at]:
                raise InputRejected("messages are not compressed here")
            if length > MAX_MESSAGE_BYTES:
                raise _too_long(length)
            if len(pieces) < start + length:
                break
            messages.append(bytes(pieces[start : start + length]))
            at = start + length
        del pieces[:at]
        if not pieces:
            self._pieces = None
        return messages


def _too_long(length: int) -> InputRejected:
    # gRPC's own words: clients tell this from other exhausted resources by them.
    return InputRejected(f"message larger than max ({length} vs. {MAX_MESSAGE_BYTES})", Reason.BATCH_TOO_LARGE)


def metadata_of(headers: Sequence[Header]) -> list[tuple[str, str | bytes]]:
    """Read what a client says of a call beside its message; what is no base64 is left out."""
    found: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        if name.startswith((b":", b"grpc-")):
            continue
        key = name.decode("ascii", "replace")
        if not key.endswith(_BINARY):
            found.append((key, value.decode("ascii", "replace")))
            continue
        for each in value.split(b","):
            try:
                found.append((key, base64.b64decode(each + b"=" * (-len(each) % 4), validate=True)))
            except binascii.Error:
                continue
    return found


def ended(code: grpc.StatusCode, message: str, metadata: Metadata = ()) -> tuple[Header, ...]:
    """Write how a call ended, and what is said of it besides."""
    if code is grpc.StatusCode.OK:
        return (_OK, *map(_written, metadata))
    state = (b"grpc-status", str(code.value[0]).encode())
    # Printable ASCII stands for itself but the percent sign.
    text = (b"grpc-message", quote(message, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}").encode())
    return (state, text, *map(_written, metadata))


def _written(field: tuple[str, str | bytes]) -> Header:
    """Write a field so that no table of headers remembers it: its value comes once."""
    key, value = field
    if isinstance(value, bytes):
        return NeverIndexedHeader(key.encode(), base64.b64encode(value).rstrip(b"="))
    return NeverIndexedHeader(key.encode(), value.encode())
