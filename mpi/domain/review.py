"""Tasks: what the model could not decide by itself, or could not look at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TaskStatus(StrEnum):
    """What became of a task."""

    OPEN = "open"
    """It waits for a person."""
    WAITING = "waiting"
    """A bucket was too full to be read at registration: the record waits to be compared with it."""
    SAME = "same"
    """A person said that it is one person."""
    DIFFERENT = "different"
    """A person said that these are two persons."""
    SETTLED = "settled"
    """What it asked has been answered otherwise: new content came, the record was retracted, or nothing was found."""


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """A possible link between the identity that a record began and another one.

    Attributes:
        record: number of the record that raised it.
        eid: the identity that the record was placed in.
        rival: the identity that it may belong to; "" where it has not been compared yet.
        weight: match weight in bits; None where it has not been compared yet.
        why: the rule that asked for a person.
    """

    record: int
    eid: str
    rival: str
    weight: float | None
    why: str


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task with its number in the store and what became of it."""

    number: int
    status: TaskStatus
    task: ReviewTask
