"""Tasks: what the model could not decide by itself, or could not look at, and what people say about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TaskStatus(StrEnum):
    """What became of a task."""

    OPEN = "open"
    """It waits for a person."""
    CONFIRMING = "confirming"
    """One steward said that it is one person; a second one has to agree."""
    ASKED = "asked"
    """Facilities were asked, and have not all answered."""
    UNSURE = "unsure"
    """A person looked and cannot tell; it is not asked again until a record has new content."""
    WAITING = "waiting"
    """A bucket was too full to be read at registration: the record waits to be compared with it."""
    SAME = "same"
    """A person said that it is one person."""
    DIFFERENT = "different"
    """A person said that these are two persons."""
    SETTLED = "settled"
    """What it asked has been answered otherwise: new content came, the record was retracted, or nothing was found."""


UNDECIDED = (TaskStatus.OPEN, TaskStatus.CONFIRMING, TaskStatus.ASKED, TaskStatus.UNSURE)
"""Tasks that a person can still decide."""
DECIDED = (TaskStatus.SAME, TaskStatus.DIFFERENT)


class TaskKind(StrEnum):
    """What a task is about."""

    POSSIBLE_LINK = "possible_link"
    """A record is nearly of another identity."""
    OVERLAY = "overlay"
    """A number is in common, and the rest speaks against it: somebody else's number may stand on a record."""
    OVER_MERGE = "over_merge"
    """A link was refused: the identity had grown too large, or its records together speak against it."""
    BUCKET_CAP = "bucket_cap"
    """Found later, because a bucket was too full when the record was registered."""


_KINDS = {
    "number_alone": TaskKind.OVERLAY,
    "evidence": TaskKind.OVER_MERGE,
    "too_many_members": TaskKind.OVER_MERGE,
    "bucket_full": TaskKind.BUCKET_CAP,
}


def priority_of(probability: float | None, records: int) -> int:
    """Value of an answer: how many records it is expected to bring to where lookups find them, times 1000.

    Args:
        probability: share of such pairs that are of one person; None where no calibration tells it.
        records: records of both identities.
    """
    return round(1000 * (0.5 if probability is None else probability) * records)


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """A possible link between the identity that a record began and another one.

    Attributes:
        record: number of the record that raised it.
        eid: the identity that the record was placed in.
        rival: the identity that it may belong to; "" where it has not been compared yet.
        weight: match weight in bits; None where it has not been compared yet.
        why: the rule that asked for a person.
        priority: value of an answer, see `priority_of`.
    """

    record: int
    eid: str
    rival: str
    weight: float | None
    why: str
    priority: int = 0

    @property
    def kind(self) -> TaskKind:
        """What it is about."""
        return _KINDS.get(self.why, TaskKind.POSSIBLE_LINK)


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task as the store holds it.

    Attributes:
        number: its number.
        status: what became of it.
        task: what it asks.
        opened: when, UTC.
        holder: the steward who has claimed it; "" for nobody.
        held_until: when that ends, UTC.
        assignee: the steward whose work it is; "" for anybody's.
        decided: when it was decided, UTC.
    """

    number: int
    status: TaskStatus
    task: ReviewTask
    opened: datetime | None = None
    holder: str = ""
    held_until: datetime | None = None
    assignee: str = ""
    decided: datetime | None = None

    def is_held(self, other_than: str, now: datetime) -> bool:
        """Say whether somebody other than a steward has claimed it for now."""
        return bool(self.holder and self.holder != other_than and self.held_until and self.held_until > now)


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are meant; what is left out does not count.

    Attributes:
        kind: what they are about.
        status: how far they are.
        why: the rule that asked.
        assignee: whose work they are.
        holder: who has claimed them now.
        unclaimed_by_others: for whom those that somebody else has claimed are left out.
        facility: a facility that has one of the records concerned.
        least: least match weight, bits.
        most: greatest match weight, bits.
    """

    kind: TaskKind | None = None
    status: TaskStatus = TaskStatus.OPEN
    why: str = ""
    assignee: str = ""
    holder: str = ""
    unclaimed_by_others: str = ""
    facility: str = ""
    least: float | None = None
    most: float | None = None

    def fits(self, held: HeldTask) -> bool:
        """Say whether a task is meant, as far as it tells itself: claims and facilities are looked up elsewhere."""
        task, weight = held.task, held.task.weight or 0.0
        return (
            held.status is self.status
            and self.kind in (None, task.kind)
            and self.assignee in ("", held.assignee)
            and self.why in ("", task.why)
            and (self.least is None or weight >= self.least)
            and (self.most is None or weight <= self.most)
        )


class Verdict(StrEnum):
    """What a person says about a task."""

    SAME = "same"
    """One person."""
    DIFFERENT = "different"
    """Two persons."""
    UNSURE = "unsure"
    """Nobody can tell from what there is."""
    ASK = "ask"
    """The facilities should look."""


class Answer(StrEnum):
    """What a facility says of its own record."""

    YES = "yes"
    """What the question doubts is right in its own papers."""
    NO = "no"
    """It is wrong there."""
    UNSURE = "unsure"
    """It cannot tell."""


class RemarkKind(StrEnum):
    """What a remark is."""

    COMMENT = "comment"
    VERDICT = "verdict"
    UNDONE = "undone"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Remark:
    """One entry of what happened on a task.

    Attributes:
        kind: what it is.
        actor: who.
        word: the verdict or the answer, as a word; "" for a comment.
        reason: reason code.
        text: what was written.
        at: when, UTC; None before it is kept.
        task: number of the task.
    """

    kind: RemarkKind
    actor: str
    word: str = ""
    reason: str = ""
    text: str = ""
    at: datetime | None = None
    task: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a facility is asked about one of its own records.

    Attributes:
        number: its number.
        task: the task that it is asked for.
        record: number of the record.
        asked: when, UTC.
    """

    number: int
    task: int
    record: int
    asked: datetime
