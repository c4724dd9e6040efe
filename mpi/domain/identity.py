"""Identities, their locations, and what a match decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from mpi.domain.record import EncodedRecord
from mpi.errors import RecordRejected


class Decision(StrEnum):
    """What became of a record when it was matched."""

    LINK = "link"
    """It joined an identity that was there before."""
    NEW = "new"
    """Nothing came near enough: it began an identity of its own."""
    REVIEW = "review"
    """It began an identity of its own, and a person must look at a possible link."""
    STORED = "stored"
    """It is held; what it was matched with is not for this client to know."""


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Location:
    """A facility that holds a record of a person, and the local id as only that facility can open it."""

    facility: str
    pointer: bytes

    def __repr__(self) -> str:
        return f"Location({self.facility})"


class ReadyIdentity(NamedTuple):
    """One person as the index holds them, with the locations as an answer holds them already.

    Attributes:
        eid: enterprise id; "" for nobody.
        answer: the locations, in the wire format of mpi.v1.Identity.
        codes: codes of the facilities in it, sorted, with spaces between them.
        silent: nobody ever said anything about consent for any of its records.
        split: as in `Identity`.
    """

    eid: str
    answer: bytes
    codes: bytes
    silent: bool
    split: tuple[str, ...]

    @property
    def facilities(self) -> Sequence[str]:
        """Codes of the facilities that hold its records, sorted."""
        return self.codes.decode().split(" ")

    def __repr__(self) -> str:
        return f"ReadyIdentity({self.codes.decode()})"


@dataclass(frozen=True, slots=True)
class Identity:
    """One person as the index knows it.

    Attributes:
        eid: enterprise id; another one than was asked for, when that one stands for it.
        locations: where the member records are, sorted.
        split: enterprise ids of what was split off the identity that was asked for by its id.
    """

    eid: str
    locations: tuple[Location, ...]
    split: tuple[str, ...] = ()

    @property
    def facilities(self) -> Sequence[str]:
        """Codes of the facilities that hold its records, sorted."""
        return sorted({at.facility for at in self.locations})


Shown = Identity | ReadyIdentity
"""An identity that a caller may learn of."""


@dataclass(frozen=True, slots=True)
class Lookups:
    """What look-up keys lead to in one snapshot of the index.

    Attributes:
        answers: for each key the identities that may be shown, why the key is refused, or None where the answer would
            use up a consent.
        revision: of the store that the snapshot stands at.
        registered: when each facility that is shown registered last, by its code, in the wire format of
            mpi.v1.LastRegistration.
    """

    answers: Sequence[tuple[Shown, ...] | RecordRejected | None]
    revision: int
    registered: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """A record of an identity as stewards see it.

    Attributes:
        record: its number in the store.
        location: where it is.
        has_sealed_view: whether the facility lets stewards see something of it.
        registered: revision that brought its content.
    """

    record: int
    location: Location
    has_sealed_view: bool
    registered: int

    @classmethod
    def of(cls, number: int, registered: int, record: EncodedRecord) -> Member:
        """Take from a record what a steward may see."""
        return cls(number, Location(record.facility, record.pointer), bool(record.sealed_view), registered)


@dataclass(frozen=True, slots=True)
class IdentityView:
    """An identity as stewards see it.

    Attributes:
        eid: enterprise id; another one than was asked for, when that one stands for it.
        members: its records, the oldest first.
        retired: enterprise ids that stand for it; empty in an answer about the past.
        split: enterprise ids of what was split off it.
        bonds: what was decided about its records, as two numbers and "must_link" or "cannot_link"; empty in an answer
            about the past.
    """

    eid: str
    members: tuple[Member, ...]
    retired: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    bonds: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Regrouped:
    """What a steward's operation did.

    Attributes:
        eids: identities that hold the records concerned now, sorted.
        change: revision of the change, which can be undone.
    """

    eids: tuple[str, ...]
    change: int


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo does, or would do.

    Attributes:
        undone: how many changes are taken back.
        left: revisions that stay, because later changes build on them.
        identities: how many identities it touches.
        look_ups: how many look-up keys lead to another answer, or may.
        tasks: how many open tasks are of records that it touches.
        request: name of the undo in the log; "" for a preview.
        revision: of the store afterwards.
    """

    undone: int
    left: tuple[int, ...]
    identities: int
    look_ups: int
    tasks: int
    request: str
    revision: int


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

    def acknowledged(self) -> Registration:
        """What the facility may know that brought it: the state of its own record.

        Everything else, the enterprise id that moves with a merge included, would tell whether the person is known
        elsewhere, and no purpose and no consent was weighed.
        """
        return Registration("", Decision.STORED, None, self.unchanged, "")
