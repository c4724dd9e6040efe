"""Protocol Buffers' wire format, as far as answers are put together from bytes that are kept ready."""

from __future__ import annotations

_MORE = 0x80
_SMALL = tuple(bytes([number]) for number in range(_MORE))
_BYTES = 2
"""Wire type of what has its length before it: bytes, texts and messages."""


def varint(number: int) -> bytes:
    """Write a number that is not negative, seven bits a byte, the lowest first."""
    if number < _MORE:
        return _SMALL[number]
    written = bytearray()
    while number >= _MORE:
        written.append(number & (_MORE - 1) | _MORE)
        number >>= 7
    written.append(number)
    return bytes(written)


_USUAL = 2048
_LENGTHS = tuple(varint(number) for number in range(_USUAL))


def tag(field: int) -> bytes:
    """What stands before a field of bytes, a text or a message."""
    return varint(field << 3 | _BYTES)


def sized(before: bytes, content: bytes) -> bytes:
    """Write a field of bytes, a text or a message after its tag."""
    length = len(content)
    return before + (_LENGTHS[length] if length < _USUAL else varint(length)) + content
