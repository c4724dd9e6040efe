"""Reading the system of record, from one snapshot."""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, or_, select

from mpi.domain import changes as changes_of
from mpi.domain.access import ClientRule, Role
from mpi.domain.changes import Action, Bond, Cause, Change, LastRegistration, Placement, Regrouping, Selection
from mpi.domain.consent import Consent, Opening, OpeningStatus, Subject
from mpi.domain.grouping import Grouping
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import EncodedRecord, RecordName
from mpi.domain.review import TaskStatus
from mpi.store import schema
from mpi.store.consent_packing import pack_subject, unpack_consents
from mpi.store.event_packing import unpack_outer, unpack_placement
from mpi.store.packing import unpack_record
from mpi.store.task_reading import ROWS_PER_QUERY, TaskReading, naive, parts

CHANGES_PER_READ = 500
"""Changes opened at a time: the keys of their records are fetched together."""
AT_REST = "at_rest"
"""Name of the setting that names the epochs of the keys at rest that rows are sealed with, the oldest first."""
LINEAGE = "lineage"
"""Name of the setting that names the history which revisions count."""


@dataclass(frozen=True, slots=True, repr=False)
class StoredRecord:
    """Where a record stands.

    Attributes:
        number: its number.
        eid: its identity; "" when it was retracted.
        digest: keyed digest of the content last registered.
        content: revision that brought its content.
        payload: its own key, sealed.
        ref: what its name of today is stored as.
    """

    number: int
    eid: str
    digest: bytes
    content: int
    payload: bytes
    ref: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """The content of a record as a revision brought it, and the keyed digest of what had arrived."""

    record: EncodedRecord
    digest: bytes


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """A record of the present state."""

    number: int
    eid: str
    record: EncodedRecord


class Reading(TaskReading):
    """What can be read of one snapshot."""

    def head(self) -> int:
        """Revision of the newest change, 0 when there is none."""
        return int(self._connection.scalar(select(func.max(schema.change.c.revision))) or 0)

    def revision_at(self, moment: datetime) -> int:
        """Revision that the store had at a time, 0 before the first change."""
        cause = select(func.max(schema.cause.c.id)).where(schema.cause.c.at <= naive(moment)).scalar_subquery()
        # Causes are numbered in the order of commits, so the newest one has the newest change.
        return int(
            self._connection.scalar(select(func.max(schema.change.c.revision)).where(schema.change.c.cause == cause))
            or 0
        )

    def last_registrations(self, after: int = 0) -> list[LastRegistration]:
        """Read when facilities registered last, those that were noted in turns after one."""
        return self._registrations(schema.facility.c.turn > after)

    def last_registrations_of(self, facilities: Collection[str]) -> list[LastRegistration]:
        """Read when some facilities registered last; those that never did are left out."""
        return self._registrations(schema.facility.c.code.in_(facilities))

    def noted(self, name: str) -> str:
        """Read a fact about the database, "" where it is not known."""
        return self._connection.scalar(select(schema.setting.c.value).where(schema.setting.c.name == name)) or ""

    def find(self, names: Sequence[RecordName]) -> dict[RecordName, StoredRecord]:
        """Find records by their names, retracted ones included."""
        return dict(self.bearers(names))

    def bearers(self, names: Sequence[RecordName]) -> ChainMap[RecordName, StoredRecord]:
        """Find records by their names: by those under the epoch of today, and beneath by those under the one before.

        So where two records claim a name, the one that bears it today has the say.
        """
        table = schema.record
        found = ChainMap[RecordName, StoredRecord]({}, {})
        for part in parts(names, ROWS_PER_QUERY):
            named = [{each.ref(*name): name for name in part} for each in self._sealing.every]
            for column, bearers in zip((table.c.ref, table.c.earlier_ref), found.maps, strict=True):
                for refs in named:
                    rows = self._connection.execute(
                        select(
                            column,
                            table.c.number,
                            table.c.eid,
                            table.c.digest,
                            table.c.content,
                            table.c.payload,
                            table.c.ref,
                        ).where(column.in_(refs))
                    )
                    bearers.update({refs[name]: StoredRecord(at, eid or "", *rest) for name, at, eid, *rest in rows})
        return found

    def count(self) -> tuple[int, int, int]:
        """Count live records, identities, and tasks that wait."""
        live = schema.record.c.eid
        row = self._connection.execute(select(func.count(live), func.count(live.distinct()))).one()
        tasks = self._connection.scalar(
            select(func.count()).select_from(schema.task).where(schema.task.c.status == TaskStatus.OPEN)
        )
        return int(row[0]), int(row[1]), int(tasks or 0)

    def highest_number(self) -> int:
        """The greatest number that a record was given, 0 for none."""
        return int(self._connection.scalar(select(func.max(schema.record.c.number))) or 0)

    def records(self, *, by_identity: bool = False) -> Iterator[LiveRecord]:
        """Read every live record, by number or by identity and then number."""
        table, log = schema.record, schema.change
        query = (
            select(table.c.number, table.c.eid, table.c.payload, log.c.revision, log.c.payload)
            .select_from(table.join(log, log.c.revision == table.c.content))
            .where(table.c.eid.is_not(None))
            .order_by(*([table.c.eid] if by_identity else []), table.c.number)
        )
        for number, eid, payload, revision, sealed in self._streamed(query):
            key = self._sealing.record_key(number, payload)
            _, _, packed = self._opened(revision, sealed)
            _, _, content = unpack_placement(number, _NOTHING, key.open(f"change/{revision}", packed))
            yield LiveRecord(number, eid, unpack_record(content))

    def content(self, numbers: Collection[int]) -> dict[int, EncodedRecord]:
        """Read the present content of records that are held or were retracted."""
        found = {}
        for part in parts(sorted(numbers), ROWS_PER_QUERY):
            table = schema.record
            rows = self._connection.execute(
                select(table.c.number, table.c.content).where(table.c.number.in_(part), table.c.payload.is_not(None))
            )
            revisions = {revision: number for number, revision in rows}
            contents = self.contents(revisions)
            found.update({revisions[revision]: content.record for revision, content in contents.items()})
        return found

    def contents(self, revisions: Collection[int]) -> dict[int, Content]:
        """Read what was registered at these revisions; contents of erased records are left out."""
        found: dict[int, Content] = {}
        for part in parts(sorted(revisions), CHANGES_PER_READ):
            rows = self._connection.execute(
                select(schema.change.c.revision, schema.change.c.payload).where(schema.change.c.revision.in_(part))
            ).all()
            found.update({revision: placed for revision, _, placed in self._events(rows) if placed is not None})
        return found

    def changes(self, after: int, most: int | None = None) -> Iterator[Change]:
        """Read the changes after a revision, in order, each with the content that it gave to a record."""
        table = schema.change
        query = select(table.c.revision, table.c.payload).where(table.c.revision > after).order_by(table.c.revision)
        yield from self._changes(query.limit(most))

    def selected(self, selection: Selection, after: int = 0, most: int | None = None) -> list[Change]:
        """Read the changes that are meant, in order, with their causes and without contents."""
        log, cause = schema.change, schema.cause
        query = (
            select(log.c.revision, log.c.payload, *cause.c[*_CAUSE])
            .select_from(log.join(cause, cause.c.id == log.c.cause))
            .where(log.c.revision > after, *self._conditions(selection))
            .order_by(log.c.revision)
            .limit(most)
        )
        rows = self._connection.execute(query).all()
        causes = {row[0]: Cause(row[2], row[3], row[4], row[5], row[6].replace(tzinfo=UTC)) for row in rows}
        events = self._events(rows, contents=False)
        return [Change(revision, event, None, causes[revision]) for revision, event, _ in events]

    def grouping(self, eids: Collection[str], records: Collection[int] = ()) -> Grouping:
        """Read the part of the grouping around some identities and records, whole identities at a time."""
        table, held = schema.record, Grouping()
        wanted = set(eids)
        wanted |= {eid for _, eid, _ in self._places(table.c.number, records) if eid}
        redirect = schema.redirect.c
        targets = self._pairs(select(redirect.eid, redirect.target), redirect.eid, wanted)
        wanted |= set(targets.values())
        for eid, target in (
            targets | self._pairs(select(redirect.eid, redirect.target), redirect.target, wanted)
        ).items():
            held.lead(eid, target)
        numbers = set(records)
        for number, eid, content in self._places(table.c.eid, wanted):
            held.hold(number, eid, content)
            numbers.add(number)
        bonds = self.bonds(numbers)
        numbers |= {number for pair in bonds for number in pair}
        for number, eid, content in self._places(table.c.number, numbers - held.contents.keys()):
            held.hold(number, eid, content)
        for (first, second), kind in bonds.items():
            held.bind(first, second, kind)
        for part in parts(sorted(wanted), ROWS_PER_QUERY):
            rows = self._connection.execute(select(schema.parting).where(schema.parting.c.origin.in_(part)))
            held.partings |= {(origin, other) for origin, other in rows}
        return held

    def surroundings(self, records: Collection[int]) -> Grouping:
        """Read what registering these records again must know: bonds, places, and what stands for their identities.

        Of their identities it holds no other members.
        """
        table, redirect, held = schema.record, schema.redirect.c, Grouping()
        bonds = self.bonds(records)
        for (first, second), kind in bonds.items():
            held.bind(first, second, kind)
        for number, eid, content in self._places(table.c.number, {*records, *(n for pair in bonds for n in pair)}):
            held.hold(number, eid, content)
        eids = set(held.eids.values())
        for eid, target in self._pairs(select(redirect.eid, redirect.target), redirect.target, eids).items():
            held.lead(eid, target)
        return held

    def redirects(self) -> Iterator[tuple[str, str]]:
        """Read every enterprise id that stands for another one."""
        rows: Any = self._connection.execute(select(schema.redirect.c.eid, schema.redirect.c.target))
        yield from ((eid, target) for eid, target in rows)

    def partings(self) -> Iterator[tuple[str, str]]:
        """Read every identity that was split off another one, after that one."""
        rows: Any = self._connection.execute(select(schema.parting.c.origin, schema.parting.c.part))
        yield from ((origin, part) for origin, part in rows)

    def bonds(self, records: Collection[int]) -> dict[tuple[int, int], Bond]:
        """Read what was decided about pairs with one of these records."""
        table, found = schema.bond, {}
        for part in parts(sorted(records), ROWS_PER_QUERY):
            rows = self._connection.execute(select(table).where(or_(table.c.first.in_(part), table.c.second.in_(part))))
            found.update({(first, second): Bond(kind) for first, second, kind in rows})
        return found

    def places(self, records: Collection[int]) -> dict[int, str]:
        """Read which identities records are in; those that are not held are left out."""
        return {number: eid for number, eid, _ in self._places(schema.record.c.number, records) if eid}

    def tables(self) -> Iterator[tuple[Table, Sequence[Any]]]:
        """Read every row of every table as it is, some thousand at once, in an order that any copy of them has."""
        for table in schema.metadata.sorted_tables:
            for rows in rows_of(self._connection, table):
                yield table, rows

    def consents(self, subject: Subject) -> list[Consent]:
        """Read what holds of what was said about somebody, by network and purpose."""
        table, packed = schema.consent, pack_subject(subject)
        for each in self._sealing.every:
            name = each.subject(packed)
            payload = self._connection.scalar(select(table.c.payload).where(table.c.name == name))
            if payload is not None:
                return self._said(name, payload)
        return []

    def every_consent(self) -> Iterator[list[Consent]]:
        """Read what holds of what was said about everybody, one person's number after the other."""
        table = schema.consent
        for name, payload in self._streamed(select(table.c.name, table.c.payload)):
            yield self._said(name, payload)

    def open_everything(self) -> Iterator[int]:
        """Open every sealed row; gives how many have been opened so far.

        Raises:
            StoreUnusable: one does not open.
        """
        opened = 0
        for _ in self.changes(0):
            opened += 1
            yield opened
        held = schema.record.c
        for number, payload in self._streamed(select(held.number, held.payload).where(held.payload.is_not(None))):
            self._sealing.record_key(number, payload)
            opened += 1
            yield opened
        for _ in self.every_consent():
            opened += 1
            yield opened
        for table in (schema.task, schema.remark, schema.question, schema.opening):
            for number, payload in self._streamed(select(table.c.id, table.c.payload)):
                self._sealing.box.open(f"{table.name}/{number}", payload)
                opened += 1
                yield opened

    def openings(self, after: int = 0, most: int = 100) -> list[Opening]:
        """Read the openings that wait to be judged, the oldest first."""
        table = schema.opening
        rows = self._connection.execute(
            select(table.c.id, table.c.at, table.c.payload)
            .where(table.c.status == OpeningStatus.OPEN, table.c.id > after)
            .order_by(table.c.id)
            .limit(most)
        )
        found = []
        for number, at, payload in rows:
            client, reason, request, eids = json.loads(self._sealing.box.open(f"opening/{number}", payload))
            found.append(Opening(number, at.replace(tzinfo=UTC), client, reason, tuple(eids), request))
        return found

    def clients(self) -> list[ClientRule]:
        """Read what was decided about clients, by name."""
        table = schema.client
        rows = self._connection.execute(
            select(table.c.urn, table.c.suspended, table.c.roles, table.c.purposes).order_by(table.c.urn)
        )
        return [
            ClientRule(
                urn,
                bool(suspended),
                frozenset(map(Role, roles.split())),
                None if purposes is None else frozenset(map(PurposeOfUse, purposes.split())),
            )
            for urn, suspended, roles, purposes in rows
        ]

    # --- inside ----------------------------------------------------------------------------------------------------

    def _registrations(self, condition: ColumnElement[bool]) -> list[LastRegistration]:
        rows = self._connection.execute(select(schema.facility).where(condition))
        return [LastRegistration(code, at.replace(tzinfo=UTC), turn) for code, at, turn in rows]

    def _said(self, name: bytes, payload: bytes) -> list[Consent]:
        return unpack_consents(self._sealing.box.open(f"consent/{name.hex()}", payload))

    def _conditions(self, selection: Selection) -> Iterator[Any]:
        log, cause, trace = schema.change.c, schema.cause.c, schema.trace.c
        if selection.revisions:
            yield log.revision.in_(selection.revisions)
        if selection.eid:
            names = [each.trace(selection.eid) for each in self._sealing.every]
            yield log.revision.in_(select(trace.revision).where(trace.name.in_(names)))
        for column in ("actor", "rules_digest", "request", "facility"):
            if value := getattr(selection, column):
                yield cause[column] == value
        if selection.since:
            yield cause.at >= naive(selection.since)
        if selection.until:
            yield cause.at < naive(selection.until)

    def _places(self, column: Any, values: Collection[Any]) -> Iterator[tuple[int, str, int]]:
        table = schema.record
        for part in parts(sorted(values), ROWS_PER_QUERY):
            rows = self._connection.execute(
                select(table.c.number, table.c.eid, table.c.content).where(
                    column.in_(part), table.c.payload.is_not(None)
                )
            )
            yield from ((number, eid or "", content) for number, eid, content in rows)

    def _pairs(self, query: Select[Any], column: Any, values: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in parts(sorted(values), ROWS_PER_QUERY):
            rows: Sequence[Any] = self._connection.execute(query.where(column.in_(part))).all()
            found.update({row[0]: row[1] for row in rows})
        return found

    def _changes(self, query: Any) -> Iterator[Change]:
        for part in self._streamed_parts(query):
            events = list(self._events(part))
            wanted = {revision for revision, event, _ in events for revision in _brought(event)}
            contents = self.contents(wanted) if wanted else {}
            for revision, event, placed in events:
                found = placed or next((contents[each] for each in _brought(event) if each in contents), None)
                yield Change(revision, event, None if found is None else found.record)

    def _streamed(self, query: Any) -> Iterator[Any]:
        """Rows of a query, fetched some hundred at once."""
        for part in self._streamed_parts(query):
            yield from part

    def _streamed_parts(self, query: Any) -> Iterator[Sequence[Any]]:
        """Rows of a query, some hundred at once; whoever stops early leaves nothing open."""
        with closing(self._connection.execute(query, execution_options={"yield_per": CHANGES_PER_READ})) as rows:
            yield from rows.partitions()

    def _events(
        self, rows: Sequence[Any], *, contents: bool = True
    ) -> Iterator[tuple[int, Placement | Regrouping, Content | None]]:
        """Open rows of the log; the first two columns are revision and payload. Contents come where they are wanted."""
        opened = [(row[0], *self._opened(row[0], row[1])) for row in rows]
        keys = self._keys({number for _, number, _, _ in opened if number})
        for revision, number, outer, packed in opened:
            if number not in keys:
                yield revision, outer, None
                continue
            inner = self._sealing.record_key(number, keys[number]).open(f"change/{revision}", packed)
            placement, digest, content = unpack_placement(number, outer, inner)
            yield revision, placement, Content(unpack_record(content), digest) if contents else None

    def _opened(self, revision: int, payload: bytes) -> tuple[int, Regrouping, bytes]:
        """Open the outer part of a row of the log: number of the record registered, what is known, the inner part."""
        outer, inner = self._sealing.parted(payload)
        number, known = unpack_outer(self._sealing.box.open(f"change/{revision}", outer))
        return number, known, inner

    def _keys(self, numbers: Collection[int]) -> dict[int, bytes]:
        table, found = schema.record, {}
        for part in parts(sorted(numbers), ROWS_PER_QUERY):
            rows = self._connection.execute(
                select(table.c.number, table.c.payload).where(table.c.number.in_(part), table.c.payload.is_not(None))
            )
            found.update({number: payload for number, payload in rows})  # noqa: C416 (a row is no pair)
        return found


def rows_of(connection: Connection, table: Table) -> Iterator[Sequence[Any]]:
    """Read every row of a table by its primary key, some thousand at once."""
    query = select(table).order_by(*table.primary_key.columns)
    yield from connection.execute(query, execution_options={"yield_per": CHANGES_PER_READ}).partitions()


_CAUSE = ("actor", "rules_digest", "request", "facility", "at")
_NOTHING = Regrouping(Action.ERASE)


def _brought(event: Placement | Regrouping) -> list[int]:
    """Revisions whose content a regrouping gives to a record that it rewrites or brings back."""
    if isinstance(event, Placement):
        return []
    content = changes_of.rewrite(0, event)
    if content is not None:
        return [content.after]
    return [move.content for move in event.moves if not move.source]
