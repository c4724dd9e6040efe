"""Readers of the extracts that facilities' systems produce: one module a format, each with a `read`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mpi.encoder.demographics import RawDemographics

LONGEST_LINE = 1 << 20
"""Bytes of one row; a longer one means that the file is not what it is said to be."""


class RowReason(StrEnum):
    """Why a row was set aside; stands in the quarantine file."""

    LOCAL_ID_MISSING = "LOCAL_ID_MISSING"
    COLUMN_COUNT = "COLUMN_COUNT"
    NOT_DECODABLE = "NOT_DECODABLE"
    NOT_A_PATIENT = "NOT_A_PATIENT"
    NOTHING_TO_MATCH = "NOTHING_TO_MATCH"


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
