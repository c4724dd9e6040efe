"""Writing the queue of tasks: what registration asks is gathered, what people do is written at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from mpi.domain.review import DECIDED, UNDECIDED, Answer, HeldTask, Remark, ReviewTask, TaskStatus
from mpi.store import schema
from mpi.store.event_packing import pack_task
from mpi.store.reading import Reading
from mpi.store.sealing import Sealing
from mpi.store.task_reading import naive

Row = dict[str, Any]

_TASK = schema.task.c


class TaskWriting(Reading):
    """What one transaction may do to tasks."""

    def __init__(self, connection: Connection, sealing: Sealing, tasks: int) -> None:
        super().__init__(connection, sealing)
        self._next_task = tasks
        self._now = naive(datetime.now(UTC))
        self._asked: list[Row] = []
        self._settled: set[int] = set()
        self._closed: dict[int, TaskStatus] = {}

    def ask(self, task: ReviewTask, status: TaskStatus = TaskStatus.OPEN) -> None:
        """Open a task."""
        self._next_task += 1
        payload = self._sealing.box.seal(f"task/{self._next_task}", pack_task(task))
        self._asked.append(
            {
                "id": self._next_task,
                "status": status,
                "record": task.record,
                "payload": payload,
                "kind": task.kind,
                "rank": -task.priority,
                "opened": self._now,
            }
        )

    def open_tasks(self, records: Collection[int]) -> list[HeldTask]:
        """Read the tasks that people can still decide, without those that this transaction settles."""
        return [held for held in super().open_tasks(records) if held.task.record not in self._settled]

    def settle(self, record: int) -> None:
        """Say that what a record's tasks asked has answered itself."""
        self._settled.add(record)

    def close_task(self, number: int, status: TaskStatus) -> None:
        """Say what became of a task without a person's verdict."""
        self._closed[number] = status

    def decide_task(self, number: int, status: TaskStatus, change: int | None) -> None:
        """Keep a verdict, and the revision that carried it out, None where nothing changed; nobody holds it now."""
        row: Row = {"status": status, "holder": None, "held_until": None}
        if status in DECIDED:
            row |= {"decided": self._now, "verdict": status, "change": change}
        self._update(number, row)

    def reopen(self, undone: int, revision: int) -> list[int]:
        """Turn round the tasks whose verdict a change carried out or took back, because it is undone itself.

        Args:
            undone: revision of the change that is undone.
            revision: revision of the undo.

        Returns:
            Their numbers.
        """
        rows = self._connection.execute(
            select(_TASK.id, _TASK.status, _TASK.verdict).where(_TASK.change == undone)
        ).all()
        for number, status, verdict in rows:
            if status in DECIDED:
                self._update(number, {"status": TaskStatus.OPEN, "decided": None, "change": revision})
            elif status in UNDECIDED and verdict:
                self._update(number, {"status": verdict, "decided": self._now, "change": revision})
        return [number for number, _, _ in rows]

    def claim(self, number: int, actor: str, now: datetime, until: datetime) -> bool:
        """Let a steward hold a task that nobody else holds; says whether that worked."""
        free = _TASK.holder.is_(None), _TASK.holder == actor, _TASK.held_until <= naive(now)
        waits = _TASK.id == number, _TASK.status.in_(UNDECIDED), or_(*free)
        held = {"holder": actor, "held_until": naive(until)}
        return self._connection.execute(update(schema.task).where(*waits).values(held)).rowcount == 1

    def release(self, number: int, actor: str) -> None:
        """Let a steward hold a task no longer."""
        held = _TASK.id == number, _TASK.holder == actor
        self._connection.execute(update(schema.task).where(*held).values(holder=None, held_until=None))

    def assign(self, number: int, assignee: str) -> bool:
        """Say whose work a task is; says whether a person can still decide it."""
        waits = update(schema.task).where(_TASK.id == number, _TASK.status.in_(UNDECIDED))
        return self._connection.execute(waits.values(assignee=assignee or None)).rowcount == 1

    def remark(self, task: int, remark: Remark) -> None:
        """Keep what happened on a task."""
        table = schema.remark
        number = int(self._connection.scalar(select(func.max(table.c.id))) or 0) + 1
        payload = self._sealing.box.seal(f"remark/{number}", json.dumps([remark.reason, remark.text]).encode())
        row = {
            "id": number,
            "task": task,
            "at": self._now,
            "kind": remark.kind,
            "actor": remark.actor,
            "word": remark.word,
            "payload": payload,
        }
        self._connection.execute(insert(table), [row])

    def question_facilities(self, task: int, records: Iterable[tuple[int, str]]) -> None:
        """Ask facilities about their own records: pairs of a record's number and its facility."""
        table = schema.question
        number = int(self._connection.scalar(select(func.max(table.c.id))) or 0)
        for record, facility in records:
            number += 1
            row = {
                "id": number,
                "task": task,
                "facility": self._sealing.names.facility(facility),
                "status": "",
                "asked": self._now,
                "payload": self._sealing.box.seal(f"question/{number}", json.dumps(record).encode()),
            }
            self._connection.execute(insert(table), [row])

    def answer(self, number: int, answer: Answer) -> None:
        """Keep the answer to a question."""
        table = schema.question
        self._connection.execute(update(table).where(table.c.id == number).values(status=answer))

    def withdraw_questions(self, task: int) -> None:
        """Ask no longer what has not been answered."""
        table = schema.question
        self._connection.execute(delete(table).where(table.c.task == task, table.c.status == ""))

    def forget_tasks(self, records: Collection[int]) -> None:
        """Take away the tasks of records, and all that was said about them."""
        table = schema.task
        those = select(table.c.id).where(table.c.record.in_(records))
        for each in (schema.remark, schema.question):
            self._connection.execute(delete(each).where(each.c.task.in_(those)))
        self._connection.execute(delete(table).where(table.c.record.in_(records)))

    def flush_tasks(self) -> None:
        """Write what was gathered."""
        table = schema.task
        if self._settled:
            waits = table.c.record.in_(self._settled), table.c.status.in_((*UNDECIDED, TaskStatus.WAITING))
            self._connection.execute(update(table).where(*waits).values(status=TaskStatus.SETTLED))
        if self._closed:
            by_id = update(table).where(table.c.id == bindparam("at_id")).values(status=bindparam("new_status"))
            rows = [{"at_id": number, "new_status": status} for number, status in self._closed.items()]
            self._connection.execute(by_id, rows)
        if self._asked:
            self._connection.execute(insert(table), self._asked)

    def _update(self, number: int, row: Row) -> None:
        self._connection.execute(update(schema.task).where(_TASK.id == number).values(row))
