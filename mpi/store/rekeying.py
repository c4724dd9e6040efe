"""Sealing anew: everything that the store holds under the key at rest of one epoch, under that of the next.

It goes on while the store is used. From its first moment on what is written is sealed under the newer key; then row
after row that still lies under the older one is sealed anew, a part a transaction; then every row is opened and every
name is made once more with the newer key alone; and only then the older one is needed no longer.

Records get fresh keys of their own, so whoever holds the older key and an older copy of the database opens nothing
that is written from now on. Until all of a record's contents are sealed with its fresh key its row holds both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import LargeBinary, Table, bindparam, delete, func, insert, select, update

from mpi.domain import changes as changes_of
from mpi.errors import StoreUnusable
from mpi.keyfiles import KEY_BYTES
from mpi.store import schema
from mpi.store.consent_packing import pack_subject, unpack_consents
from mpi.store.reading import AT_REST, Reading
from mpi.store.task_reading import ROWS_PER_QUERY, parts

ROWS_AT_ONCE = 500
"""Rows of a transaction: registrations wait for it some milliseconds."""
BEGUN = "rekeying"
"""Name of the setting that says how far it has come: the number of a step, and the last row that is done with."""
_DONE = "-"

Told = Callable[[str, int, int], None]
"""Told what is going on, how many rows of it are done, and how many there are."""
Rows = Sequence[Any]


class Rekeyed(Protocol):
    """The store, as far as sealing it anew needs it."""

    def rekeying(self, *, writes: bool) -> AbstractContextManager[Rekeying]:
        """Seal rows in a transaction that no other writer runs beside, or look at them in a snapshot."""


def seal_anew(store: Rekeyed, older: str, newer: str, told: Told) -> None:
    """Seal everything with the key of the newer epoch, going on where an interrupted run stopped, and verify it.

    When this returns nothing in the store needs the older key.

    Args:
        store: the store.
        older: name of the epoch that ends.
        newer: name of the epoch that begins; its key is where every server finds it.
        told: told how far it has come.

    Raises:
        StoreUnusable: a row opens with neither key, another change of keys is under way, or the database is gone.
    """
    with store.rekeying(writes=True) as rekeying:
        rekeying.begin(older, newer)
    for step, (table, _) in enumerate(_STEPS):
        with store.rekeying(writes=False) as rekeying:
            at, total = rekeying.position(step), rekeying.count_rows(table)
        done = 0
        while at != _DONE:
            with store.rekeying(writes=True) as rekeying:
                at, count = rekeying.seal(step, at)
            done += count
            told(f"sealing {table.name}", done, total)
    with store.rekeying(writes=False) as rekeying:
        total = sum(map(rekeying.count_rows, _VERIFIED))
        for done in rekeying.verified():
            told("verifying", done, total)
    with store.rekeying(writes=True) as rekeying:
        rekeying.end(older, newer)


class Rekeying(Reading):
    """What one transaction of sealing anew may do."""

    def begin(self, older: str, newer: str) -> None:
        """Let everything that is written from now on be sealed with the newer key."""
        held = self.noted(AT_REST)
        if held == older:
            self.note(AT_REST, f"{older} {newer}")
            self.note(BEGUN, "0 ")
        elif held != f"{older} {newer}":
            raise StoreUnusable(f"the store is sealed under {held}, not under {older}")

    def end(self, older: str, newer: str) -> None:
        """Need the older key no longer."""
        if self.noted(AT_REST) != f"{older} {newer}":
            raise StoreUnusable("somebody else changed the keys at rest meanwhile")
        self.note(AT_REST, newer)
        self._connection.execute(delete(schema.setting).where(schema.setting.c.name == BEGUN))

    def position(self, step: int) -> str:
        """The last row that a step is done with, "" at its beginning, `_DONE` at its end."""
        reached, _, at = self.noted(BEGUN).partition(" ")
        if step < int(reached):
            return _DONE
        return at if step == int(reached) else ""

    def count_rows(self, table: Table) -> int:
        """Count the rows of a table."""
        return int(self._connection.scalar(select(func.count()).select_from(table)) or 0)

    def seal(self, step: int, at: str) -> tuple[str, int]:
        """Seal the rows that follow; gives the last one, `_DONE` where there is none, and how many there were."""
        table, work = _STEPS[step]
        rows = self._after(table, at)
        if not rows:
            self.note(BEGUN, f"{step + 1} ")
            return _DONE, 0
        work(self, rows)
        at = _position(rows)
        self.note(BEGUN, f"{step} {at}")
        return at, len(rows)

    def verified(self) -> Iterator[int]:
        """Open every row with the newest key alone, and make every name anew; gives how many are done.

        Raises:
            StoreUnusable: a row or a name needs another key.
        """
        newest = Rekeying(self._connection, self._sealing.newest)
        done = 0
        for done in newest.open_everything():
            yield done
        for table, misnamed in (
            (schema.record, newest._misnamed_records),
            (schema.consent, newest._misnamed_consents),
            (schema.change, self._misnamed_traces),
        ):
            at = ""
            while rows := self._after(table, at):
                if misnamed(rows):
                    raise StoreUnusable("a row is not named under the newer key at rest; run the command again")
                at = _position(rows)
                done += len(rows)
                yield done

    def _misnamed_records(self, rows: Rows) -> bool:
        held = [row for row in rows if row.payload is not None]
        return [(row.ref, row.earlier_ref) for row in held] != self._refs(held)

    def _misnamed_consents(self, rows: Rows) -> bool:
        return any(row.name != self._subject(row)[0] for row in rows)

    def _misnamed_traces(self, rows: Rows) -> bool:
        names = [each.trace(eid) for each in self._sealing.every[1:] for eid in self._eids(rows)]
        held = select(schema.trace.c.revision)
        return any(
            self._connection.execute(held.where(schema.trace.c.name.in_(part)).limit(1)).first()
            for part in parts(names, ROWS_PER_QUERY)
        )

    # --- steps -----------------------------------------------------------------------------------------------------

    def _seal_records(self, rows: Rows) -> None:
        """Give records fresh keys beside those that they have, and their names under the newer key."""
        held = [row for row in rows if row.payload is not None]
        named = [
            {"at": row.number, "payload": self._with_fresh_key(row), "ref": ref, "earlier_ref": earlier}
            for row, (ref, earlier) in zip(held, self._refs(held), strict=True)
        ]
        self._write(schema.record, named)

    def _seal_changes(self, rows: Rows) -> None:
        """Seal entries of the log, contents with the fresh keys, and name the identities that they are about."""
        opened = [(row.revision, *self._opened(row.revision, row.payload)) for row in rows]
        keys = self._keys({number for _, number, _, _ in opened if number})
        sealed = []
        for row, (revision, number, _, inner) in zip(rows, opened, strict=True):
            if number in keys:
                inner = self._sealing.record_key(number, keys[number]).anew(f"change/{revision}", inner)
            outer = self._sealing.box.open(f"change/{revision}", self._sealing.parted(row.payload)[0])
            sealed.append({"at": revision, "payload": self._sealing.change(revision, outer, inner)})
        self._write(schema.change, sealed)
        renamed = update(schema.trace).where(schema.trace.c.name == bindparam("older")).values(name=bindparam("newer"))
        names = [
            {"older": each.trace(eid), "newer": self._sealing.names.trace(eid)}
            for each in self._sealing.every[1:]
            for eid in self._eids(rows)
        ]
        if names:
            self._connection.execute(renamed, names)

    def _forget_keys(self, rows: Rows) -> None:
        """Forget the keys that records had before."""
        sealed = []
        for row in rows:
            if row.payload is not None:
                kept = self._sealing.record_keys(row.number, row.payload)[0]
                sealed.append({"at": row.number, "payload": self._sealing.box.seal(f"record/{row.number}", kept)})
        self._write(schema.record, sealed)

    def _seal_consents(self, rows: Rows) -> None:
        for row in rows:
            name, packed = self._subject(row)
            if name != row.name:
                self._connection.execute(delete(schema.consent).where(schema.consent.c.name == row.name))
                payload = self._sealing.box.seal(f"consent/{name.hex()}", packed)
                self._connection.execute(insert(schema.consent), {"name": name, "payload": payload})

    def _seal_questions(self, rows: Rows) -> None:
        about = {row.id: json.loads(self._sealing.box.open(f"question/{row.id}", row.payload)) for row in rows}
        contents = self.content(set(about.values()))
        named = []
        for row in rows:
            payload = self._sealing.box.anew(f"question/{row.id}", row.payload)
            facility = self._sealing.names.facility(contents[about[row.id]].facility)
            named.append({"at": row.id, "payload": payload, "facility": facility})
        self._write(schema.question, named)

    def _seal_payloads(self, table: Table, rows: Rows) -> None:
        box = self._sealing.box
        self._write(table, [{"at": r.id, "payload": box.anew(f"{table.name}/{r.id}", r.payload)} for r in rows])

    # --- inside ----------------------------------------------------------------------------------------------------

    def _after(self, table: Table, at: str) -> Rows:
        (key,) = table.primary_key.columns
        query = select(table).order_by(key).limit(ROWS_AT_ONCE)
        if at:
            query = query.where(key > (bytes.fromhex(at) if isinstance(key.type, LargeBinary) else int(at)))
        return self._connection.execute(query).all()

    def _write(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Write columns of rows that the primary key `at` names."""
        if rows:
            (key,) = table.primary_key.columns
            values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in rows[0] if name != "at"}
            self._connection.execute(
                update(table).where(key == bindparam("at_key")).values(values),
                [{"at_key": row["at"], **{f"new_{name}": row[name] for name in values}} for row in rows],
            )

    def note(self, name: str, value: str) -> None:
        """Keep a fact about the database."""
        table = schema.setting
        self._connection.execute(delete(table).where(table.c.name == name))
        self._connection.execute(insert(table), {"name": name, "value": value})

    def _with_fresh_key(self, row: Any) -> bytes:
        place = f"record/{row.number}"
        keys = self._sealing.record_keys(row.number, row.payload)
        if len(keys) == 1 and not self._sealing.box.is_newest(place, row.payload):
            keys.insert(0, os.urandom(KEY_BYTES))
        return self._sealing.box.seal(place, b"".join(keys))

    def _refs(self, rows: Rows) -> list[tuple[bytes, bytes | None]]:
        contents = self.contents([row.content for row in rows])
        return [self._sealing.names.refs(contents[row.content].record) for row in rows]

    def _subject(self, row: Any) -> tuple[bytes, bytes]:
        """The name under the newest key of whom consents are about, and the consents."""
        packed = self._sealing.box.open(f"consent/{row.name.hex()}", row.payload)
        return self._sealing.names.subject(pack_subject(unpack_consents(packed)[0].subject)), packed

    def _eids(self, rows: Rows) -> list[str]:
        pairs = [(row.revision, row.payload) for row in rows]
        return sorted({eid for _, event, _ in self._events(pairs) for eid in changes_of.eids(event)})


def _position(rows: Rows) -> str:
    last = rows[-1][0]
    return last.hex() if isinstance(last, bytes) else str(last)


def _payloads(table: Table) -> tuple[Table, Callable[[Rekeying, Rows], None]]:
    return table, lambda rekeying, rows: rekeying._seal_payloads(table, rows)


_STEPS: tuple[tuple[Table, Callable[[Rekeying, Rows], None]], ...] = (
    (schema.record, Rekeying._seal_records),
    (schema.change, Rekeying._seal_changes),
    (schema.record, Rekeying._forget_keys),
    (schema.consent, Rekeying._seal_consents),
    (schema.question, Rekeying._seal_questions),
    *map(_payloads, (schema.task, schema.remark, schema.opening)),
)
"""Tables in the order in which they are sealed, and what is done with their rows."""

_VERIFIED = (*(table for table, _ in _STEPS), schema.consent, schema.change)
"""Tables that are gone through to verify them, those with names twice."""
