"""What a person sees of a task, and of the records that it is about."""

from __future__ import annotations

from dataclasses import dataclass

from mpi.domain.changes import Bond
from mpi.domain.identity import IdentityView, Regrouped
from mpi.domain.review import HeldTask, Question, Remark, TaskKind, TaskStatus


@dataclass(frozen=True, slots=True)
class ListedTask:
    """A task as a list shows it.

    Attributes:
        held: the task.
        probability: share of pairs of that weight that are of one person; None for a model without calibration.
        facilities: of the records of both identities, sorted.
    """

    held: HeldTask
    probability: float | None
    facilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a match weight.

    Attributes:
        comparison: a channel, or a kind of number.
        level: level of agreement.
        weight: what it adds, bits.
        english: the same as a sentence.
        thai: the same as a sentence.
        similar: between what shares of letter pairs the fields agree; None for numbers and without a shared bucket.
    """

    comparison: str
    level: str
    weight: float
    english: str
    thai: str
    similar: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Pair:
    """What two records say of each other.

    Attributes:
        record: number of the one.
        other: number of the other.
        weight: match weight, bits.
        probability: share of such pairs that are of one person; None for a model without calibration.
        terms: of the weight, in the order of the rule file.
        missing: comparisons that a value was missing for.
        rule: decision rule that applies to this pair alone.
        english: that rule as a sentence.
        thai: that rule as a sentence.
    """

    record: int
    other: int
    weight: float
    probability: float | None
    terms: tuple[Term, ...]
    missing: tuple[str, ...]
    rule: str
    english: str
    thai: str


@dataclass(frozen=True, slots=True)
class IfLinked:
    """What would come of "one person".

    Attributes:
        eid: the enterprise id that would stand for both.
        records: records of the identity.
        facilities: that a lookup would show, sorted.
        weight: what all records of the one say of all records of the other, bits.
        veto: kind of number that speaks against it, "" for none.
        forbidden: people's decisions keep records of the two apart.
        confirmation: two stewards have to agree.
    """

    eid: str
    records: int
    facilities: tuple[str, ...]
    weight: float
    veto: str
    forbidden: bool
    confirmation: bool


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """A task with everything that a person needs to decide it.

    Attributes:
        listed: the task.
        left: the identity that the record is in by now; None when it is held no longer.
        right: the identity that it may belong to; None likewise.
        pairs: the record against the other identity's records, the heaviest first.
        if_linked: what would come of it; None when the task asks nothing any longer.
        remarks: what happened on it, the oldest first.
        revision: the state that this is of.
    """

    listed: ListedTask
    left: IdentityView | None
    right: IdentityView | None
    pairs: tuple[Pair, ...]
    if_linked: IfLinked | None
    remarks: tuple[Remark, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question as a facility sees it.

    Attributes:
        question: which.
        pointer: the facility's own record, as only the facility can open it.
        kind: what the task is about.
        terms: how the record compares with the other one; empty where the two cannot be compared any longer.
    """

    question: Question
    pointer: bytes
    kind: TaskKind
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """Two records that speak for each other, or that people decided about."""

    record: int
    other: int
    weight: float
    carries: bool
    bond: Bond


@dataclass(frozen=True, slots=True)
class Graph:
    """Records of identities, (number, identity, facility) each, and what joins them."""

    nodes: tuple[tuple[int, str, str], ...]
    edges: tuple[Edge, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Decided:
    """What a verdict did: how far the task is, and which identities changed, None for none."""

    status: TaskStatus
    regrouped: Regrouped | None


@dataclass(frozen=True, slots=True)
class DecidedTask:
    """What became of one of many tasks: how far it is, or None and why it was left alone."""

    number: int
    status: TaskStatus | None
    refused: str


@dataclass(frozen=True, slots=True)
class BulkDecided:
    """What became of many tasks, and the name of the call, by which all of it is undone."""

    decided: tuple[DecidedTask, ...]
    request: str
