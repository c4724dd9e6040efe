"""Readers of the extracts that facilities' systems produce: one module a format, each with a `read`.

A reader yields rows as it goes and holds one row at a time. A row that cannot be used comes as a `RejectedRow` and
reading goes on; a file that is not what it is said to be, or was cut short, raises `ExtractUnreadable`. Neither holds
a value of the row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mpi.encoder.demographics import RawDemographics
from mpi.errors import ExtractUnreadable

LONGEST_LINE = 1 << 20
"""Bytes of one line of text; a longer one means that the file is not what it is said to be."""
REPLACEMENT = "\ufffd"
"""Stands where bytes could not be decoded."""
LONGEST_LOCAL_ID = 200
"""Bytes that a local id may have in UTF-8; a pointer holds no more."""
_SAMPLE_BYTES = 1 << 20
_TEXT_PER_ZERO = 1000
"""Bytes of text for each zero byte among them; compressed data has one in 256, and UTF-16 more."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_ASCII = re.compile(f"[^\x00-\x7f{REPLACEMENT}]")


class RowReason(StrEnum):
    """Why a row was set aside; stands in the quarantine file."""

    LOCAL_ID_MISSING = "LOCAL_ID_MISSING"
    """No local id: nothing that a lookup could point at."""
    LOCAL_ID_TOO_LONG = "LOCAL_ID_TOO_LONG"
    """A local id of more than `LONGEST_LOCAL_ID` bytes."""
    LOCAL_ID_CONTROL = "LOCAL_ID_CONTROL"
    """A control character in the local id, such as a line end: no system numbers people so, and lookups print it."""
    REPLACED = "REPLACED"
    """A patient that the facility has merged into another, who has a row of their own."""
    COLUMN_COUNT = "COLUMN_COUNT"
    """More or fewer columns than the first row."""
    QUOTING = "QUOTING"
    """Quotation marks that do not pair."""
    NOT_DECODABLE = "NOT_DECODABLE"
    """Bytes that are no text in the encoding of the file."""
    NOT_JSON = "NOT_JSON"
    NOT_A_PATIENT = "NOT_A_PATIENT"
    """A resource of another type."""
    OTHER_FACILITY = "OTHER_FACILITY"
    """A person of another facility, by the code that the row itself gives."""
    NOTHING_TO_MATCH = "NOTHING_TO_MATCH"
    """Neither a usable name nor a usable number."""


@dataclass(frozen=True, slots=True, repr=False)
class SourceRow:
    """A row that could be read; `row` is its 1-based line or entry in the extract."""

    row: int
    raw: RawDemographics

    def __repr__(self) -> str:
        return f"SourceRow({self.row})"


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was set aside, and why."""

    row: int
    reason: RowReason


def checked(number: int, raw: RawDemographics) -> SourceRow | RejectedRow:
    """The row, or its rejection when a lookup could not point at its local id."""
    local_id = raw.local_id
    if not local_id:
        return RejectedRow(number, RowReason.LOCAL_ID_MISSING)
    # A code point takes at most four bytes.
    if len(local_id) * 4 > LONGEST_LOCAL_ID and len(local_id.encode(errors="replace")) > LONGEST_LOCAL_ID:
        return RejectedRow(number, RowReason.LOCAL_ID_TOO_LONG)
    if not local_id.isprintable() and _CONTROL.search(local_id):
        return RejectedRow(number, RowReason.LOCAL_ID_CONTROL)
    return SourceRow(number, raw)


def row_width(header: Sequence[str], first: Sequence[str]) -> int:
    """Cells of every row of a table, by the first one behind the header.

    As many as the header has, except where a delimiter ends every row but not the header, or the header alone.
    """
    named = len(header)
    while named and not header[named - 1].strip():
        named -= 1
    differs = len(first) != len(header) and len(first) >= named
    return len(first) if differs and not any(map(str.strip, first[named:])) else len(header)


def byte_lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """Lines of a file with their line ends.

    Raises:
        ExtractUnreadable: the file cannot be read, or a line is longer than `longest` bytes.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(longest):
                number += 1
                if len(line) == longest and not line.endswith(b"\n"):
                    raise ExtractUnreadable(path, "a line without end; not a file of this format", number)
                yield line
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a text file with their line ends, in UTF-8 or Windows-874.

    The encoding is decided once, by the beginning of the file: a few bytes of Windows-874 can happen to be UTF-8, so
    deciding line by line would garble some of them. Bytes that do not fit it become `REPLACEMENT`.

    Raises:
        ExtractUnreadable: the file cannot be read, is empty, or holds no text.
    """
    encoding = _encoding(path)
    for number, line in enumerate(byte_lines(path)):
        yield (line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line).decode(encoding, "replace")


def _encoding(path: Path) -> str:
    try:
        with path.open("rb") as file:
            sample = file.read(_SAMPLE_BYTES)
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    if not sample.strip():
        raise ExtractUnreadable(path, "empty")
    # A zero byte here and there is damage to a row; files that are no text are full of them.
    if sample.count(b"\0") * _TEXT_PER_ZERO > len(sample):
        raise ExtractUnreadable(
            path, "not text in UTF-8 or Windows-874", 1 + sample[: sample.index(b"\0")].count(b"\n")
        )
    # Thai in Windows-874 read as UTF-8 gives hardly anything but replacements; damage in UTF-8 gives a few.
    text = sample.decode("utf-8", "replace")
    return "utf-8" if len(_NOT_ASCII.findall(text)) >= text.count(REPLACEMENT) else "cp874"
