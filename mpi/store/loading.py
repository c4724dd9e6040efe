"""Loading: many records at once into a store, as if each had been registered, sealed before the transaction begins.

A row is sealed for its place, so whoever seals it must know which number and revision it will get. They are known as
long as nobody else writes; when somebody did, the rows are refused and sealed again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select

from mpi.domain.changes import Cause, Placement
from mpi.domain.identity import Decision
from mpi.domain.record import EncodedRecord, RecordName
from mpi.errors import StoreUnusable
from mpi.store import schema
from mpi.store.event_packing import pack_outer, pack_placement
from mpi.store.facilities import note_registrations
from mpi.store.packing import pack_record
from mpi.store.reading import AT_REST, Reading
from mpi.store.sealing import Sealing

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, repr=False)
class Arrival:
    """A record that the gateway admitted, and where it belongs.

    Attributes:
        record: its content.
        digest: keyed digest of what arrived.
        eid: its identity.
        begins: it is the first record of that identity.
    """

    record: EncodedRecord
    digest: bytes
    eid: str
    begins: bool


@dataclass(frozen=True, slots=True, repr=False)
class SealedRows:
    """Records of one facility, ready to be written in one place of the log and no other.

    Attributes:
        facility: whose records they are.
        number: number of the first one; the others follow.
        revision: revision that the first one will be, likewise.
        records: rows of the table `record`.
        changes: rows of the table `change`, without their cause.
        traces: rows of the table `trace`.
        names: every name by which one of the records can be held already.
        at_rest: names of the epochs of the keys at rest that they were sealed for, see `AtRest`.
    """

    facility: str
    number: int
    revision: int
    records: Rows
    changes: Rows
    traces: Rows
    names: list[RecordName]
    at_rest: str


def seal_rows(
    sealing: Sealing, at_rest: str, arrivals: Sequence[Arrival], number: int, revision: int, why: str
) -> SealedRows:
    """Seal records of one facility, at least one, as registering them one after the other would.

    Args:
        sealing: keys of the store.
        at_rest: names of the epochs of these keys.
        arrivals: the records; each is logged as placed, the first of an identity as new.
        number: that the first one will get.
        revision: that the first one will be.
        why: what is logged as the rule that decided.
    """
    records: Rows = []
    changes: Rows = []
    traces: Rows = []
    for at, each in enumerate(arrivals):
        mine, this = number + at, revision + at
        key, payload = sealing.new_record_key(mine)
        decision = Decision.NEW if each.begins else Decision.LINK
        placement = Placement(mine, each.eid, "", decision, None, why, "")
        inner = key.seal(f"change/{this}", pack_placement(placement, each.digest) + pack_record(each.record))
        records.append((mine, *sealing.names.refs(each.record), each.digest, each.eid, this, payload))
        changes.append((this, sealing.change(this, pack_outer(placement), inner)))
        traces.append((sealing.names.trace(each.eid), this))
    names = [name for each in arrivals for name in each.record.names()]
    return SealedRows(arrivals[0].record.facility, number, revision, records, changes, traces, names, at_rest)


class Loading(Reading):
    """What one transaction of a load may do. Rows are written as they are handed over."""

    def __init__(self, connection: Connection, sealing: Sealing, cause: Cause) -> None:
        super().__init__(connection, sealing)
        self._cause = cause
        heads = [func.max(each) for each in (schema.change.c.revision, schema.record.c.number, schema.cause.c.id)]
        row = connection.execute(select(*(select(each).scalar_subquery() for each in heads))).one()
        self.revision, self.number, self._last_cause = (int(each or 0) for each in row)
        self._causes: dict[str, int] = {}

    def fits(self, rows: SealedRows) -> bool:
        """Say whether rows were sealed for the place where they would be written now."""
        return (rows.number, rows.revision) == (self.number + 1, self.revision + 1)

    def held(self, names: Collection[RecordName]) -> frozenset[RecordName]:
        """Those of these names by which records are held already."""
        return frozenset(self.find(list(names)))

    def write(self, rows: SealedRows) -> None:
        """Write rows that fit, none of which is held.

        Raises:
            StoreUnusable: they do not fit, or were sealed with other keys than the store is sealed with by now.
        """
        if not self.fits(rows):
            raise StoreUnusable("rows were sealed for another place of the log")
        if rows.at_rest != self.noted(AT_REST):
            raise StoreUnusable("the store began to be sealed with another key meanwhile; run the command again")
        cause = self._cause_of(rows.facility)
        self._insert(
            schema.change, ("revision", "cause", "payload"), [(at, cause, sealed) for at, sealed in rows.changes]
        )
        columns = ("number", "ref", "earlier_ref", "digest", "eid", "content", "payload")
        self._insert(schema.record, columns, rows.records)
        # In their order the rows of an index go to pages that are at hand.
        self._insert(schema.trace, ("name", "revision"), sorted(rows.traces))
        self.number += len(rows.records)
        self.revision += len(rows.changes)

    def note(self, name: str, value: str) -> None:
        """Keep a fact about the database."""
        table = schema.setting
        self._connection.execute(delete(table).where(table.c.name == name))
        self._connection.execute(insert(table), {"name": name, "value": value})

    def _cause_of(self, facility: str) -> int:
        if facility not in self._causes:
            self._last_cause += 1
            self._causes[facility] = self._last_cause
            kept = {field: getattr(self._cause, field) for field in ("actor", "rules_digest", "request")}
            at = datetime.now(UTC).replace(tzinfo=None)
            self._connection.execute(
                insert(schema.cause), {"id": self._last_cause, "facility": facility, "at": at, **kept}
            )
            note_registrations(self._connection, [facility])
        return self._causes[facility]

    def _insert(self, table: Table, columns: Sequence[str], rows: Rows) -> None:
        names = ", ".join(columns)
        if self._connection.dialect.name == "postgresql":
            types = [_COPIED[type(table.c[column].type).__name__] for column in columns]
            _copy(self._connection, f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)", types, rows)
        else:
            marks = ", ".join("?" * len(columns))
            self._connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)  # noqa: S608


_COPIED = {"BigInteger": "int8", "LargeBinary": "bytea", "String": "varchar"}


def _copy(connection: Connection, statement: str, types: Sequence[str], rows: Rows) -> None:
    import psycopg

    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        # The driver's text may quote values; only its class is let out.
        raise StoreUnusable(f"the database does not take the rows ({type(error).__name__})") from None
