"""Readers of the extracts that facilities' systems produce: one module a format, each with a `read`.

A reader yields rows as it goes and holds one row at a time. A row that cannot be used comes as a `RejectedRow` and
reading goes on; a file that is not what it is said to be, or was cut short, raises `ExtractUnreadable`. Neither holds
a value of the row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mpi.encoder.demographics import RawDemographics
from mpi.errors import ExtractUnreadable

LONGEST_LINE = 1 << 20
"""Bytes of one line of text; a longer one means that the file is not what it is said to be."""
REPLACEMENT = "\ufffd"
"""Stands where bytes could not be decoded."""
_SAMPLE_BYTES = 1 << 20
_NOT_ASCII = re.compile(f"[^\x00-\x7f{REPLACEMENT}]")


class RowReason(StrEnum):
    """Why a row was set aside; stands in the quarantine file."""

    LOCAL_ID_MISSING = "LOCAL_ID_MISSING"
    """No local id: nothing that a lookup could point at."""
    COLUMN_COUNT = "COLUMN_COUNT"
    """More or fewer columns than the first row."""
    QUOTING = "QUOTING"
    """Quotation marks that do not pair."""
    NOT_DECODABLE = "NOT_DECODABLE"
    """Bytes that are no text in the encoding of the file."""
    NOT_JSON = "NOT_JSON"
    NOT_A_PATIENT = "NOT_A_PATIENT"
    """A resource of another type."""
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
    if b"\0" in sample:
        raise ExtractUnreadable(
            path, "not text in UTF-8 or Windows-874", 1 + sample[: sample.index(b"\0")].count(b"\n")
        )
    # Thai in Windows-874 read as UTF-8 gives hardly anything but replacements; damage in UTF-8 gives a few.
    text = sample.decode("utf-8", "replace")
    return "utf-8" if len(_NOT_ASCII.findall(text)) >= text.count(REPLACEMENT) else "cp874"
