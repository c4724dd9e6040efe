"""Reading the queue of tasks, and what people said about them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, func, or_, select, tuple_

from mpi.domain.review import (
    DECIDED,
    UNDECIDED,
    HeldTask,
    Question,
    Remark,
    RemarkKind,
    TaskFilter,
    TaskKind,
    TaskStatus,
)
from mpi.store import schema
from mpi.store.event_packing import unpack_task
from mpi.store.sealing import Sealing

ROWS_PER_QUERY = 2500
"""Most values in one list of a statement; a batch of records with two names each fits into one."""
_THAILAND = timedelta(hours=7)
_TASK = schema.task.c
_HELD = (_TASK.id, _TASK.status, _TASK.payload, _TASK.rank, _TASK.opened)
_WORK = (_TASK.holder, _TASK.held_until, _TASK.assignee, _TASK.decided)

Value = TypeVar("Value")
Place = tuple[int, int]
"""Where in the queue a task stands: its rank and its number."""


class TaskReading:
    """What a snapshot says of tasks."""

    def __init__(self, connection: Connection, sealing: Sealing) -> None:
        self._connection = connection
        self._sealing = sealing

    def tasks(self, status: TaskStatus | None, after: int = 0, most: int | None = None) -> list[HeldTask]:
        """Read tasks in the order in which they were opened."""
        query = select(*_HELD, *_WORK).where(_TASK.id > after)
        if status is not None:
            query = query.where(_TASK.status == status)
        return self._tasks(query.order_by(_TASK.id).limit(most))

    def task(self, number: int) -> HeldTask | None:
        """Read one task; None when there is none with this number."""
        found = self._tasks(select(*_HELD, *_WORK).where(_TASK.id == number))
        return found[0] if found else None

    def open_tasks(self, records: Collection[int]) -> list[HeldTask]:
        """Read the tasks that people can still decide and that these records raised."""
        found = []
        for part in parts(sorted(records), ROWS_PER_QUERY):
            found += self._tasks(select(*_HELD, *_WORK).where(_TASK.record.in_(part), _TASK.status.in_(UNDECIDED)))
        return found

    def queue(self, meant: TaskFilter, after: Place | None, most: int, now: datetime) -> list[HeldTask]:
        """Read tasks in the order of the queue, the most valuable first.

        Args:
            meant: which; what only the sealed part of a task tells is not looked at.
            after: where the last page ended; None for the first page.
            most: how many.
            now: when claims end.
        """
        query = select(*_HELD, *_WORK).where(_TASK.status == meant.status)
        if meant.kind is not None:
            query = query.where(_TASK.kind == meant.kind)
        if meant.assignee:
            query = query.where(_TASK.assignee == meant.assignee)
        if meant.holder:
            query = query.where(_TASK.holder == meant.holder, _TASK.held_until > naive(now))
        if meant.unclaimed_by_others:
            free = _TASK.holder.is_(None), _TASK.holder == meant.unclaimed_by_others, _TASK.held_until <= naive(now)
            query = query.where(or_(*free))
        if after is not None:
            query = query.where(tuple_(_TASK.rank, _TASK.id) > after)
        return self._tasks(query.order_by(_TASK.rank, _TASK.id).limit(most))

    def count_tasks(self) -> dict[TaskStatus, int]:
        """Count the tasks that are open, and those that wait for a full bucket."""
        counted = (TaskStatus.OPEN, TaskStatus.WAITING)
        rows = self._connection.execute(
            select(_TASK.status, func.count()).where(_TASK.status.in_(counted)).group_by(_TASK.status)
        )
        found = {TaskStatus(name): int(count) for name, count in rows}
        return {each: found.get(each, 0) for each in counted}

    def count_queue(self) -> list[tuple[TaskKind, TaskStatus, int, datetime]]:
        """Count tasks by kind and status, each with the time when the oldest was opened; none that people never see."""
        oldest = func.min(_TASK.id)
        rows = self._connection.execute(
            select(_TASK.kind, _TASK.status, func.count(), oldest)
            .where(_TASK.status != TaskStatus.WAITING)
            .group_by(_TASK.status, _TASK.kind)
        ).all()
        those = select(_TASK.id, _TASK.opened).where(_TASK.id.in_([row[3] for row in rows]))
        opened: dict[int, datetime] = {row.id: row.opened for row in self._connection.execute(those)}
        return [
            (TaskKind(kind), TaskStatus(status), int(count), opened[number].replace(tzinfo=UTC))
            for kind, status, count, number in rows
        ]

    def decided_tasks(self, most: int) -> list[HeldTask]:
        """Read the tasks that were decided last."""
        query = select(*_HELD, *_WORK).where(_TASK.status.in_(DECIDED), _TASK.decided.is_not(None))
        return self._tasks(query.order_by(_TASK.decided.desc()).limit(most))

    def days(self, since: datetime) -> dict[date, tuple[int, int]]:
        """Count the tasks opened and decided since a time, by the day in Thailand."""
        found: dict[date, tuple[int, int]] = {}
        for place, column in enumerate((_TASK.opened, _TASK.decided)):
            day = self._day(column)
            rows = self._connection.execute(select(day, func.count()).where(column >= naive(since)).group_by(day))
            for when, count in rows:
                day_of = when if isinstance(when, date) else date.fromisoformat(when)
                counts = list(found.get(day_of, (0, 0)))
                counts[place] = int(count)
                found[day_of] = (counts[0], counts[1])
        return found

    def remarks(self, task: int) -> list[Remark]:
        """Read what happened on a task, the oldest first."""
        return self._remarks(schema.remark.c.task == task)

    def verdicts(self, since: datetime) -> list[Remark]:
        """Read the verdicts since a time and those that were taken back, without what was written."""
        table = schema.remark
        rows = self._connection.execute(
            select(table.c.task, table.c.at, table.c.kind, table.c.actor, table.c.word)
            .where(table.c.at >= naive(since), table.c.kind.in_((RemarkKind.VERDICT, RemarkKind.UNDONE)))
            .order_by(table.c.id)
        )
        return [
            Remark(RemarkKind(kind), actor, word, at=at.replace(tzinfo=UTC), task=task)
            for task, at, kind, actor, word in rows
        ]

    def questions(self, facility: str, after: int = 0, most: int = 100) -> list[Question]:
        """Read the questions that wait for a facility, the oldest first."""
        table = schema.question
        waits = table.c.facility.in_(self._named(facility)), table.c.status == "", table.c.id > after
        return self._questions(select(table).where(*waits).order_by(table.c.id).limit(most))

    def question(self, facility: str, number: int) -> Question | None:
        """Read one question that waits for a facility; None for another one's."""
        table = schema.question
        waits = table.c.facility.in_(self._named(facility)), table.c.status == "", table.c.id == number
        found = self._questions(select(table).where(*waits))
        return found[0] if found else None

    def unanswered(self, task: int) -> int:
        """Count the questions about a task that wait."""
        table = schema.question
        waits = table.c.task == task, table.c.status == ""
        return int(self._connection.scalar(select(func.count()).select_from(table).where(*waits)) or 0)

    def _questions(self, query: Any) -> list[Question]:
        return [
            Question(
                row.id,
                row.task,
                json.loads(self._sealing.box.open(f"question/{row.id}", row.payload)),
                row.asked.replace(tzinfo=UTC),
            )
            for row in self._connection.execute(query)
        ]

    def _named(self, facility: str) -> list[bytes]:
        return [each.facility(facility) for each in self._sealing.every]

    def _day(self, column: Any) -> Any:
        if self._connection.dialect.name == "sqlite":
            return func.date(column, "+7 hours")
        return func.date(column + _THAILAND)

    def _tasks(self, query: Any) -> list[HeldTask]:
        return [
            HeldTask(
                row.id,
                TaskStatus(row.status),
                replace(unpack_task(self._sealing.box.open(f"task/{row.id}", row.payload)), priority=-row.rank),
                _aware(row.opened),
                row.holder or "",
                _aware(row.held_until),
                row.assignee or "",
                _aware(row.decided),
            )
            for row in self._connection.execute(query)
        ]

    def _remarks(self, condition: Any) -> list[Remark]:
        table = schema.remark
        found = []
        for row in self._connection.execute(select(table).where(condition).order_by(table.c.id)):
            reason, text = json.loads(self._sealing.box.open(f"remark/{row.id}", row.payload))
            at = row.at.replace(tzinfo=UTC)
            found.append(Remark(RemarkKind(row.kind), row.actor, row.word, reason, text, at, row.task))
        return found


def naive(moment: datetime) -> datetime:
    """A time as the database keeps it: UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def parts(values: Sequence[Value], most: int) -> Iterator[Sequence[Value]]:
    """Cut values into parts that one statement can ask for."""
    return (values[start : start + most] for start in range(0, len(values), most))


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
