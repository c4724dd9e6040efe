"""Review tasks: possible links that a person must decide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """A possible link between the identity that a record began and another one.

    Attributes:
        record: number of the record that raised it.
        eid: the identity that the record began.
        rival: the identity that it may belong to.
        weight: match weight in bits.
        why: the rule that asked for a person.
    """

    record: int
    eid: str
    rival: str
    weight: float
    why: str
