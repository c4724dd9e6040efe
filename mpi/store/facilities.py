"""Noting when facilities registered last, whoever writes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, insert, select

from mpi.domain.changes import LastRegistration
from mpi.store import schema


def note_registrations(connection: Connection, codes: Collection[str]) -> list[LastRegistration]:
    """Note that facilities registered now, in a turn of its own."""
    table = schema.facility
    turn = int(connection.scalar(select(func.max(table.c.turn))) or 0) + 1
    made = [LastRegistration(code, datetime.now(UTC).replace(microsecond=0), turn) for code in sorted(codes)]
    if made:
        connection.execute(delete(table).where(table.c.code.in_(codes)))
        rows = [{"code": each.facility, "registered": each.at.replace(tzinfo=None), "turn": turn} for each in made]
        connection.execute(insert(table), rows)
    return made
