"""Writing the system of record: one transaction, whose rows are gathered and written together at its end."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update

from mpi.domain import changes as changes_of
from mpi.domain.access import ClientRule
from mpi.domain.changes import Action, Bond, Cause, Change, Event, LastRegistration, Placement, Regrouping
from mpi.domain.consent import Consent, Opening, OpeningStatus
from mpi.domain.record import EncodedRecord
from mpi.errors import Conflict
from mpi.store import schema
from mpi.store.consent_packing import pack_consents, pack_subject, replaced
from mpi.store.event_packing import pack_outer, pack_placement
from mpi.store.facilities import note_registrations
from mpi.store.packing import pack_record
from mpi.store.reading import StoredRecord
from mpi.store.sealing import Box, Sealing
from mpi.store.task_writing import TaskWriting

Row = dict[str, Any]


class Transaction(TaskWriting):
    """What one transaction may do. It reads what was true when it began, which stays so until it ends."""

    def __init__(self, connection: Connection, sealing: Sealing, cause: Cause) -> None:
        log, record, causes, task = schema.change.c, schema.record.c, schema.cause.c, schema.task.c
        heads = [func.max(column) for column in (log.revision, record.number, causes.id, task.id)]
        row = connection.execute(select(*(select(each).scalar_subquery() for each in heads))).one()
        self._before, number, self._next_cause, tasks = (int(each or 0) for each in row)
        super().__init__(connection, sealing, tasks)
        self._cause = cause
        self._next_number = number + 1
        self._made: list[Change] = []
        self._payloads: list[Row] = []
        self._causes: dict[str, int] = {}
        self._inserts: dict[int, Row] = {}
        self._rewrites: dict[int, Row] = {}
        self._renamed: set[int] = set()
        self._moves: dict[int, str | None] = {}
        self._erased: set[int] = set()
        self._keys_made: dict[int, Box] = {}
        self._redirects: dict[str, str] = {}
        self._bonds: dict[tuple[int, int], Bond] = {}
        self._partings: dict[tuple[str, str], bool] = {}

    @property
    def revision(self) -> int:
        """Revision that the store will have after the commit."""
        return self._before + len(self._made)

    @property
    def changes_made(self) -> Sequence[Change]:
        """The changes made so far, in order."""
        return self._made

    @property
    def erases(self) -> bool:
        """Say whether a record's key is destroyed at the commit."""
        return bool(self._erased)

    def changes_after(self, revision: int) -> Iterator[Change]:
        """Read committed changes after a revision, so that the index can be brought up to this transaction."""
        if revision < self._before:
            yield from self.changes(revision)

    def new_number(self) -> int:
        """Take the number of a new record."""
        self._next_number += 1
        return self._next_number - 1

    def place(
        self, placement: Placement, record: EncodedRecord, digest: bytes, stored: StoredRecord | None
    ) -> StoredRecord:
        """Put a record into an identity and log it.

        Args:
            placement: what happens to it.
            record: its content from now on.
            digest: keyed digest of what arrived.
            stored: what is held of it already, this transaction's own writes included; None for a new record.

        Returns:
            What is held of it now.
        """
        number = placement.record
        if stored is None:
            key, payload = self._sealing.new_record_key(number)
            self._keys_made[number] = key
        else:
            payload = stored.payload
            key = self._keys_made.get(number) or self._sealing.record_key(number, payload)
        revision = self.revision + 1
        content = pack_placement(placement, digest) + pack_record(record)
        self._log(placement, record, record.facility, key.seal(f"change/{revision}", content))
        ref, earlier_ref = self._sealing.names.refs(record)
        row = {
            "number": number,
            "ref": ref,
            "earlier_ref": earlier_ref,
            "digest": digest,
            "eid": placement.eid,
            "content": revision,
            "payload": payload,
        }
        if stored is None or number in self._inserts:
            self._inserts[number] = row
        else:
            self._moves.pop(number, None)
            self._rewrites[number] = row
            if ref != stored.ref:
                self._renamed.add(number)
            self.settle(number)
        return StoredRecord(number, placement.eid, digest, revision, payload, ref)

    def regroup(self, event: Regrouping, facility: str = "") -> None:
        """Change identities without registering anything, and log it.

        Args:
            event: what happens.
            facility: whose record was retracted, or joined identities; "" for a steward's operation.

        Raises:
            Conflict: it would bring back the content of a record that was erased.
        """
        content = changes_of.rewrite(0, event)
        returning = [move for move in event.moves if not move.source and move.target]
        brought = [content.after] if content else [move.content for move in returning]
        contents = self.contents(brought) if brought else {}
        if len(contents) != len(set(brought)):
            raise Conflict("an erased record cannot be brought back", (event.undone,))
        record = next((each.record for each in contents.values()), None)
        self._log(event, record, facility, b"")
        for move in event.moves:
            if event.action is Action.ERASE:
                self._erased.add(move.record)
            elif move.record in self._inserts:
                self._inserts[move.record]["eid"] = move.target or None
            elif move.record in self._rewrites:
                self._rewrites[move.record]["eid"] = move.target or None
            else:
                self._moves[move.record] = move.target or None
            if not move.target:
                self.settle(move.record)
        if content is not None:
            self._rewrite(content.record, content.after, contents[content.after].record, contents[content.after].digest)
        for parting in event.partings:
            self._partings[parting.origin, parting.part] = parting.after

    def say(self, consents: Sequence[Consent]) -> None:
        """Keep what was said, in place of what was said before about the same networks and purposes, and log it."""
        table = schema.consent
        for said in consents:
            held = [each.subject(pack_subject(said.subject)) for each in self._sealing.every]
            payload, name = pack_consents(replaced(self.consents(said.subject), said)), held[0]
            self._connection.execute(delete(table).where(table.c.name.in_(held)))
            self._insert(table, [{"name": name, "payload": self._sealing.box.seal(f"consent/{name.hex()}", payload)}])
        self._log(Regrouping(Action.CONSENT, consents=tuple(consents)), None, "", b"")

    def heard_from(self, facilities: Collection[str]) -> list[LastRegistration]:
        """Note that facilities registered something now."""
        return note_registrations(self._connection, facilities)

    def open_glass(self, opening: Opening) -> int:
        """Leave a task about a lookup that broke the glass; gives its number."""
        table = schema.opening
        number = int(self._connection.scalar(select(func.max(table.c.id))) or 0) + 1
        content = json.dumps([opening.client, opening.reason, opening.request, list(opening.eids)]).encode()
        payload = self._sealing.box.seal(f"opening/{number}", content)
        at = datetime.now(UTC).replace(tzinfo=None)
        self._insert(table, [{"id": number, "status": OpeningStatus.OPEN, "at": at, "payload": payload}])
        return number

    def judge_opening(self, number: int, status: OpeningStatus) -> bool:
        """Judge an opening; says whether it waited for that."""
        table = schema.opening
        waits = table.c.id == number, table.c.status == OpeningStatus.OPEN
        return self._connection.execute(update(table).where(*waits).values(status=status)).rowcount == 1

    def set_client(self, rule: ClientRule) -> None:
        """Keep what was decided about a client, in place of what was decided before."""
        table = schema.client
        self._connection.execute(delete(table).where(table.c.urn == rule.urn))
        row = {
            "urn": rule.urn,
            "suspended": rule.suspended,
            "roles": " ".join(sorted(rule.roles)),
            "purposes": None if rule.purposes is None else " ".join(sorted(rule.purposes)),
            "changed": datetime.now(UTC).replace(tzinfo=None),
        }
        self._insert(table, [row])

    def flush(self) -> None:
        """Write what was gathered; called once, by the store, before the commit."""
        run, table = self._connection.execute, schema.record
        if self._causes:
            at = datetime.now(UTC).replace(tzinfo=None)
            fields = ("actor", "rules_digest", "request")
            kept = {field: getattr(self._cause, field) for field in fields}
            rows = [{"id": number, "facility": facility, "at": at, **kept} for facility, number in self._causes.items()]
            run(insert(schema.cause), rows)
        if self._renamed:
            # A name that one record gives up another may take, in either order.
            nameless = {"ref": None, "earlier_ref": None}
            run(
                update(table).where(table.c.number == bindparam("at")).values(nameless),
                [{"at": n} for n in self._renamed],
            )
        if self._inserts:
            run(insert(table), list(self._inserts.values()))
        by_number = update(table).where(table.c.number == bindparam("at_number"))
        if self._rewrites:
            columns = ("ref", "earlier_ref", "digest", "eid", "content")
            statement = by_number.values({column: bindparam(f"new_{column}") for column in columns})
            rows = [
                {"at_number": number, **{f"new_{column}": row[column] for column in columns}}
                for number, row in self._rewrites.items()
            ]
            self._connection.execute(statement, rows)
        moved = {number: eid for number, eid in self._moves.items() if number not in self._erased}
        if moved:
            rows = [{"at_number": number, "new_eid": eid} for number, eid in moved.items()]
            run(by_number.values(eid=bindparam("new_eid")), rows)
        if self._erased:
            gone = dict.fromkeys(("ref", "earlier_ref", "digest", "eid", "payload"))
            run(update(table).where(table.c.number.in_(self._erased)).values(gone))
            self.forget_tasks(self._erased)
        if self._payloads:
            run(insert(schema.change), self._payloads)
            self._insert(schema.trace, self._traces())
        self._write_pairs()
        self.flush_tasks()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _log(self, event: Event, record: EncodedRecord | None, facility: str, inner: bytes) -> None:
        revision = self.revision + 1
        if facility not in self._causes:
            self._next_cause += 1
            self._causes[facility] = self._next_cause
        payload = self._sealing.change(revision, pack_outer(event), inner)
        self._payloads.append({"revision": revision, "cause": self._causes[facility], "payload": payload})
        self._made.append(Change(revision, event, record, replace(self._cause, facility=facility)))
        self._redirects.update({each.eid: each.target for each in event.redirects})
        self._bonds.update({(each.first, each.second): each.after for each in event.bindings})

    def _rewrite(self, number: int, revision: int, record: EncodedRecord, digest: bytes) -> None:
        ref, earlier_ref = self._sealing.names.refs(record)
        eid = self._moves.pop(number) if number in self._moves else self.places([number]).get(number)
        if number in self._rewrites:
            eid = self._rewrites[number]["eid"]
        self._rewrites[number] = {
            "ref": ref,
            "earlier_ref": earlier_ref,
            "digest": digest,
            "eid": eid,
            "content": revision,
        }
        self.settle(number)

    def _traces(self) -> list[Row]:
        return [
            {"name": self._sealing.names.trace(eid), "revision": change.revision}
            for change in self._made
            for eid in sorted(changes_of.eids(change.event) | self._rewritten_in(change))
        ]

    def _rewritten_in(self, change: Change) -> set[str]:
        """Identity of a record that was given another content without being moved."""
        content = changes_of.rewrite(change.revision, change.event)
        if content is None or isinstance(change.event, Placement) or change.event.moves:
            return set()
        eid = self._rewrites[content.record]["eid"]
        return {eid} if eid else set()

    def _write_pairs(self) -> None:
        run, redirect, bond, parting = self._connection.execute, schema.redirect, schema.bond, schema.parting
        if self._redirects:
            run(delete(redirect).where(redirect.c.eid.in_(self._redirects)))
            self._insert(redirect, ({"eid": e, "target": t} for e, t in self._redirects.items() if t))
        if self._bonds:
            gone = delete(bond).where(bond.c.first == bindparam("one"), bond.c.second == bindparam("other"))
            run(gone, [{"one": one, "other": other} for one, other in self._bonds])
            rows = ({"first": a, "second": b, "kind": kind.value} for (a, b), kind in self._bonds.items())
            self._insert(bond, (row for row in rows if row["kind"]))
        if self._partings:
            gone = delete(parting).where(parting.c.origin == bindparam("one"), parting.c.part == bindparam("other"))
            run(gone, [{"one": one, "other": other} for one, other in self._partings])
            self._insert(parting, ({"origin": o, "part": p} for (o, p), held in self._partings.items() if held))

    def _insert(self, table: Table, rows: Iterable[Row]) -> None:
        held = list(rows)
        if held:
            self._connection.execute(insert(table), held)
