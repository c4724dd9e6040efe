"""The system of record on SQL: one writer at a time, everything of a transaction or nothing of it."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, create_engine, event, func, insert, select, text, update
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from mpi.domain.changes import Cause, Placement
from mpi.domain.identity import Decision
from mpi.domain.record import EncodedRecord
from mpi.domain.review import ReviewTask
from mpi.errors import StoreUnusable
from mpi.keyfiles import derive
from mpi.store import schema
from mpi.store.packing import pack_record, unpack_record

_NONCE_BYTES = 12
_REFS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """Where a record stands: its number, identity, and the keyed digest of the content last registered."""

    number: int
    eid: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log, with what the index needs to follow it.

    Attributes:
        revision: counts from 1 without a gap.
        placement: what happened.
        record: the record as it is from this change on.
        replaced: the record as it was before, when its content was revised.
    """

    revision: int
    placement: Placement
    record: EncodedRecord
    replaced: EncodedRecord | None


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """A record of the present state."""

    number: int
    eid: str
    record: EncodedRecord


class Store:
    """The system of record. Reading never waits for the writer; at most one transaction writes at a time."""

    def __init__(self, engine: Engine, at_rest: bytes) -> None:
        self._engine = engine
        self._box = _Box(derive(at_rest, "store/payload"))
        self._ref_key = derive(at_rest, "store/ref")

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def ref(self, facility: str, local_id_token: bytes) -> bytes:
        """Keyed name that finds a facility's record again, 32 bytes."""
        return hmac.digest(self._ref_key, facility.encode() + b"\x1f" + local_id_token, "sha256")

    def earlier_ref(self, record: EncodedRecord) -> bytes | None:
        """Keyed name of a record under the key epoch before; None outside a change of epochs."""
        return None if record.earlier is None else self.ref(record.facility, record.earlier.local_id_token)

    def head(self) -> int:
        """Revision of the newest change, 0 when there is none."""
        with self._reading() as connection:
            return _head(connection)

    def find(self, refs: Sequence[bytes]) -> dict[bytes, StoredRecord]:
        """Find records by their refs, in a snapshot of their own."""
        with self._reading() as connection:
            return _find(connection, refs)

    def count(self) -> tuple[int, int, int]:
        """Count live records, identities, and tasks that wait."""
        with self._reading() as connection:
            row = connection.execute(
                select(func.count(), func.count(schema.record.c.eid.distinct())).select_from(schema.record)
            ).one()
            tasks = connection.scalar(
                select(func.count()).select_from(schema.task).where(schema.task.c.status == "open")
            )
            return int(row[0]), int(row[1]), int(tasks or 0)

    def records(self) -> Iterator[LiveRecord]:
        """Read every live record, by number, from one snapshot."""
        table = schema.record
        with self._reading() as connection:
            rows = connection.execution_options(yield_per=1000).execute(
                select(table.c.number, table.c.eid, table.c.payload).order_by(table.c.number)
            )
            for number, eid, payload in rows:
                yield LiveRecord(number, eid, self._record(number, payload))

    def changes(self, after: int) -> Iterator[Change]:
        """Read the changes after a revision, in order, from one snapshot."""
        with self._reading() as connection:
            yield from self._changes(connection, after)

    @contextmanager
    def transaction(self, cause: Cause) -> Iterator[Transaction]:
        """Write: everything is committed when the block ends well, nothing when it raises.

        The write lock is taken on entry, so what is read inside the block stays true until the commit.

        Raises:
            StoreUnusable: the database cannot be read or written.
        """
        with _translated(), self._engine.connect() as connection:
            connection.execute(text("BEGIN IMMEDIATE"))
            try:
                transaction = Transaction(self, connection, cause)
                yield transaction
                transaction.flush()
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _translated(), self._engine.connect() as connection:
            connection.execute(text("BEGIN"))
            try:
                yield connection
            finally:
                connection.rollback()

    def _changes(self, connection: Connection, after: int) -> Iterator[Change]:
        table = schema.change
        rows = connection.execution_options(yield_per=500).execute(
            select(table.c.revision, table.c.payload).where(table.c.revision > after).order_by(table.c.revision)
        )
        for revision, payload in rows:
            yield self._change(revision, payload)

    def _record(self, number: int, payload: bytes) -> EncodedRecord:
        return unpack_record(self._box.open(f"record/{number}", payload))

    def _change(self, revision: int, payload: bytes) -> Change:
        content = json.loads(self._box.open(f"change/{revision}", payload))
        placement = content["placement"]
        placement["decision"] = Decision(placement["decision"])
        replaced = content["replaced"]
        return Change(
            revision,
            Placement(**placement),
            unpack_record(bytes.fromhex(content["record"])),
            None if replaced is None else unpack_record(bytes.fromhex(replaced)),
        )


class Transaction:
    """What one transaction may do. Rows are gathered and written together when the block ends."""

    def __init__(self, store: Store, connection: Connection, cause: Cause) -> None:
        self._store = store
        self._connection = connection
        self._cause = cause
        self._before = _head(connection)
        self._revision = self._before
        self._next_number = 1 + int(connection.scalar(select(func.max(schema.record.c.number))) or 0)
        self._inserts: dict[int, dict[str, Any]] = {}
        self._updates: dict[int, dict[str, Any]] = {}
        self._changes: list[Change] = []
        self._tasks: list[bytes] = []

    @property
    def revision(self) -> int:
        """Revision that the store will have after the commit."""
        return self._revision

    @property
    def changes(self) -> Sequence[Change]:
        """The changes made so far, in order."""
        return self._changes

    def changes_after(self, revision: int) -> Iterator[Change]:
        """Read committed changes after a revision, so that the index can be brought up to this transaction."""
        if revision < self._before:
            yield from self._store._changes(self._connection, revision)

    def find(self, refs: Sequence[bytes]) -> dict[bytes, StoredRecord]:
        """Find records by their refs, as they were when the transaction began."""
        return _find(self._connection, refs)

    def read(self, number: int) -> EncodedRecord:
        """Read a record's content, this transaction's own writes included."""
        row = self._updates.get(number) or self._inserts.get(number)
        if row is None:
            payload = self._connection.scalar(select(schema.record.c.payload).where(schema.record.c.number == number))
            if payload is None:
                raise StoreUnusable("a record that the index names is not in the store; rebuild the index")
            return self._store._record(number, payload)
        return self._store._record(number, row["payload"])

    def new_number(self) -> int:
        """Take the number of a new record."""
        self._next_number += 1
        return self._next_number - 1

    def place(self, placement: Placement, record: EncodedRecord, digest: bytes, replaced: EncodedRecord | None) -> None:
        """Put a record, new (`placement.previous` is empty) or revised, into an identity and log it."""
        number = placement.record
        packed = pack_record(record)
        row = {
            "number": number,
            "ref": self._store.ref(record.facility, record.local_id_token),
            "earlier_ref": self._store.earlier_ref(record),
            "digest": digest,
            "eid": placement.eid,
            "payload": self._store._box.seal(f"record/{number}", packed),
        }
        if placement.previous and number not in self._inserts:
            self._updates[number] = row
        else:
            self._inserts[number] = row
        self._revision += 1
        self._changes.append(Change(self._revision, placement, record, replaced))

    def ask(self, task: ReviewTask) -> None:
        """Open a review task."""
        self._tasks.append(self._store._box.seal("task", json.dumps(asdict(task)).encode()))

    def flush(self) -> None:
        """Write what was gathered; called once, by the store, before the commit."""
        if not self._changes:
            return
        connection, table = self._connection, schema.record
        cause_id = connection.execute(
            insert(schema.cause).values(
                actor=self._cause.actor,
                rules_digest=self._cause.rules_digest,
                at=datetime.now(UTC).replace(tzinfo=None),
            )
        ).lastrowid
        if self._inserts:
            connection.execute(insert(table), list(self._inserts.values()))
        for number, row in self._updates.items():
            connection.execute(update(table).where(table.c.number == number).values(row))
        rows = [{"revision": c.revision, "cause": cause_id, "payload": self._seal(c)} for c in self._changes]
        connection.execute(insert(schema.change), rows)
        if self._tasks:
            connection.execute(insert(schema.task), [{"status": "open", "payload": p} for p in self._tasks])

    def _seal(self, change: Change) -> bytes:
        content = {
            "placement": asdict(change.placement),
            "record": pack_record(change.record).hex(),
            "replaced": None if change.replaced is None else pack_record(change.replaced).hex(),
        }
        return self._store._box.seal(f"change/{change.revision}", json.dumps(content).encode())


class _Box:
    """AES-256-GCM with a random nonce; the place of a row is authenticated with it, so rows cannot be swapped."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, place: str, content: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, place.encode())

    def open(self, place: str, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except InvalidTag:
            raise StoreUnusable(
                "a row does not open with the key at rest: the key file is another one, or the row was changed"
            ) from None


def open_sqlite(path: Path, at_rest: bytes, profile_digest: bytes) -> Store:
    """Open the SQLite store at `path`, making it where it is missing.

    Commits are on disk when they return (WAL with synchronous FULL).

    Raises:
        StoreUnusable: the file is no store, of a newer schema, holds records of another profile, or cannot be
            written.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # The driver must not begin transactions by itself: the store says BEGIN IMMEDIATE when it writes.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    with _translated(), engine.connect() as connection:
        connection.execute(text("BEGIN IMMEDIATE"))
        schema.metadata.create_all(connection)
        rows = connection.execute(select(schema.setting.c.name, schema.setting.c.value))
        settings = {name: value for name, value in rows}  # noqa: C416 (a row is no pair to the type checker)
        wanted = {"schema_version": str(schema.SCHEMA_VERSION), "profile_digest": profile_digest.hex()}
        if not settings:
            connection.execute(insert(schema.setting), [{"name": n, "value": v} for n, v in wanted.items()])
        connection.commit()
    if settings and settings.get("schema_version") != wanted["schema_version"]:
        raise StoreUnusable(f"{path}: made by another version of this program (schema {settings['schema_version']})")
    if settings and settings.get("profile_digest") != wanted["profile_digest"]:
        raise StoreUnusable(f"{path}: holds records of another encoding profile; serve it with that rule file")
    return Store(engine, at_rest)


def _head(connection: Connection) -> int:
    return int(connection.scalar(select(func.max(schema.change.c.revision))) or 0)


def _find(connection: Connection, refs: Sequence[bytes]) -> dict[bytes, StoredRecord]:
    table = schema.record
    found = {}
    for start in range(0, len(refs), _REFS_PER_QUERY):
        part = refs[start : start + _REFS_PER_QUERY]
        # The name under the epoch of today is asked for last: where two records claim a name, it has the say.
        for name in (table.c.earlier_ref, table.c.ref):
            rows = connection.execute(select(name, table.c.number, table.c.eid, table.c.digest).where(name.in_(part)))
            found.update({ref: StoredRecord(number, eid, digest) for ref, number, eid, digest in rows})
    return found


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # The driver's text may quote bound values; only its class is let out.
        raise StoreUnusable(f"the database does not answer as it should ({type(error).__name__})") from None
