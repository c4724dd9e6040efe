"""Identities, their locations, and what a match decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Decision(StrEnum):
    """What became of a record when it was matched."""

    LINK = "link"
    """It joined an identity that was there before."""
    NEW = "new"
    """Nothing came near enough: it began an identity of its own."""
    REVIEW = "review"
    """It began an identity of its own, and a person must look at a possible link."""


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Location:
    """A facility that holds a record of a person, and the local id as only that facility can open it."""

    facility: str
    pointer: bytes

    def __repr__(self) -> str:
        return f"Location({self.facility})"


@dataclass(frozen=True, slots=True)
class Identity:
    """One person as the index knows it: an enterprise id and the locations of the member records, sorted."""

    eid: str
    locations: tuple[Location, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One term of a match weight: what was compared, the level of agreement, and its log2(m/u) in bits."""

    comparison: str
    level: str
    weight: float


@dataclass(frozen=True, slots=True)
class MatchCandidate:
    """An identity that came near a record.

    Attributes:
        eid: its enterprise id.
        weight: match weight of its nearest record, in bits.
        evidence: where the weight comes from.
        veto: the rule that forbids linking, "" when there is none.
    """

    eid: str
    weight: float
    evidence: tuple[Evidence, ...]
    veto: str


@dataclass(frozen=True, slots=True)
class Registration:
    """What became of one record.

    Attributes:
        eid: the identity that it belongs to now.
        decision: how it came there.
        weight: match weight of the best candidate in bits; None without a candidate.
        unchanged: the same content was registered before, so nothing was written.
        why: the rule that decided.
    """

    eid: str
    decision: Decision
    weight: float | None
    unchanged: bool
    why: str
