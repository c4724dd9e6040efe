"""How the queue of tasks does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from mpi.domain.review import TaskKind, TaskStatus


@dataclass(frozen=True, slots=True)
class TaskCount:
    """Tasks of one kind and state, and when the oldest of them was opened."""

    kind: TaskKind
    status: TaskStatus
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class StewardCount:
    """What one steward did.

    Attributes:
        steward: name of the client.
        decided: verdicts.
        undone: those of them that were taken back.
        seconded: tasks on which another steward gave a verdict as well.
        agreed: those of them on which both said the same.
    """

    steward: str
    decided: int
    undone: int
    seconded: int
    agreed: int


@dataclass(frozen=True, slots=True)
class BandCount:
    """How the tasks of one band of match weights, 2 bits wide from `least`, were decided.

    Attributes:
        least: least weight, bits.
        same: decided as one person.
        different: decided as two.
        expected: sum of the probabilities that the model gave them.
    """

    least: float
    same: int
    different: int
    expected: float


@dataclass(frozen=True, slots=True)
class Dashboard:
    """How the queue does.

    Attributes:
        counts: tasks by kind and state.
        days: day in Thailand, tasks opened, tasks decided; the oldest first.
        stewards: by name.
        bands: of the tasks decided last, the lightest first.
        facilities: facility and open tasks, of the most valuable ones.
        median_hours: how long a task waited for its verdict.
    """

    counts: tuple[TaskCount, ...]
    days: tuple[tuple[date, int, int], ...]
    stewards: tuple[StewardCount, ...]
    bands: tuple[BandCount, ...]
    facilities: tuple[tuple[str, int], ...]
    median_hours: float
