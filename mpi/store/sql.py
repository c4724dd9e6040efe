"""The system of record on SQL: one writer at a time, everything of a transaction or nothing of it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, insert, select, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from mpi.domain.changes import Cause, Change
from mpi.domain.record import EncodedRecord
from mpi.errors import StoreUnusable
from mpi.store import schema
from mpi.store.loading import Loading
from mpi.store.migrating import migrate
from mpi.store.reading import LINEAGE, LiveRecord, Reading, StoredRecord
from mpi.store.sealing import Sealing
from mpi.store.writing import Transaction

__all__ = ["Change", "LiveRecord", "Store", "StoredRecord", "Transaction", "open_postgres", "open_sqlite"]

LOCK_SECONDS = 30
"""How long a writer waits for its turn before it gives up."""
_LOADING_KILOBYTES = 512 << 10
"""Pages that SQLite keeps at hand during a load, whose rows go to places all over its indexes."""
_WRITER = 0x6D7069
"""Number of the advisory lock that makes PostgreSQL's writers take turns: the letters "mpi"."""


class Store:
    """The system of record. Reading never waits for the writer; at most one transaction writes at a time."""

    def __init__(self, engine: Engine, at_rest: bytes) -> None:
        self._engine = engine
        self._sealing = Sealing(at_rest)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def ref(self, facility: str, local_id_token: bytes) -> bytes:
        """Keyed name that finds a facility's record again, 32 bytes."""
        return self._sealing.ref(facility, local_id_token)

    def refs(self, record: EncodedRecord) -> tuple[bytes, ...]:
        """Keyed names that find a record again: of its own key epoch, then of the one before."""
        return tuple(ref for ref in self._sealing.refs(record) if ref)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Read one snapshot: what is written meanwhile is not seen.

        Raises:
            StoreUnusable: the database cannot be read.
        """
        with _translated(), self._engine.connect() as connection:
            connection.execute(text(_SNAPSHOT[self._engine.dialect.name]))
            try:
                yield Reading(connection, self._sealing)
            finally:
                connection.rollback()

    @contextmanager
    def transaction(self, cause: Cause) -> Iterator[Transaction]:
        """Write: everything is committed when the block ends well, nothing when it raises.

        The write lock is taken on entry, so what is read inside the block stays true until the commit.

        Raises:
            StoreUnusable: the database cannot be read or written.
        """
        with _translated(), self._engine.connect() as connection:
            _lock(connection)
            try:
                transaction = Transaction(connection, self._sealing, cause)
                yield transaction
                transaction.flush()
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
            if transaction.erases and self._engine.dialect.name == "sqlite":
                # The log of SQLite still holds the pages as they were: writing them home empties it.
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    @contextmanager
    def loading(self, cause: Cause) -> Iterator[Loading]:
        """Write sealed rows: everything is committed when the block ends well, nothing when it raises.

        Raises:
            StoreUnusable: the database cannot be read or written.
        """
        with _translated(), self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.execute(text(f"PRAGMA cache_size=-{_LOADING_KILOBYTES}"))
            _lock(connection)
            try:
                yield Loading(connection, self._sealing, cause)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def filling(self) -> Iterator[Connection]:
        """Write rows as they are: everything is committed when the block ends well, nothing when it raises.

        Raises:
            StoreUnusable: the database cannot be read or written.
        """
        with _translated(), self._engine.connect() as connection:
            _lock(connection)
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def lineage(self) -> str:
        """Name of the history that revisions count. A restored store has another one: its next changes are others."""
        with self.reading() as reading:
            return reading.noted(LINEAGE)

    def head(self) -> int:
        """Revision of the newest change, 0 when there is none."""
        with self.reading() as reading:
            return reading.head()

    def find(self, refs: Sequence[bytes]) -> dict[bytes, StoredRecord]:
        """Find records by their refs, in a snapshot of their own."""
        with self.reading() as reading:
            return reading.find(refs)

    def count(self) -> tuple[int, int, int]:
        """Count live records, identities, and tasks that wait."""
        with self.reading() as reading:
            return reading.count()

    def records(self) -> Iterator[LiveRecord]:
        """Read every live record, by number, from one snapshot."""
        with self.reading() as reading:
            yield from reading.records()

    def content(self, numbers: Collection[int]) -> dict[int, EncodedRecord]:
        """Read the present content of records, in a snapshot of their own."""
        with self.reading() as reading:
            return reading.content(numbers)

    def changes(self, after: int, most: int | None = None) -> Iterator[Change]:
        """Read the changes after a revision, in order, from one snapshot."""
        with self.reading() as reading:
            yield from reading.changes(after, most)


_SNAPSHOT = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN"}


def open_sqlite(path: Path, at_rest: bytes, profile_digest: bytes) -> Store:
    """Open the SQLite store at `path`, making it where it is missing and migrating it where it is older.

    Commits are on disk when they return (WAL with synchronous FULL). What is deleted is overwritten.

    Raises:
        StoreUnusable: the file is no store, of a newer schema, holds records of another profile, or cannot be
            written.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": LOCK_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # The driver must not begin transactions by itself: the store says BEGIN IMMEDIATE when it writes.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")

    return _opened(engine, str(path), at_rest, profile_digest)


def open_postgres(url: str, password: str | None, at_rest: bytes, profile_digest: bytes) -> Store:
    """Open the store in a PostgreSQL database, making its tables where they are missing and migrating older ones.

    Args:
        url: the database, such as "postgresql://mpi@db.example.go.th/mpi?sslmode=verify-full"; without a password.
        password: of the user named in it; None where the server asks for none.
        at_rest: key at rest.
        profile_digest: digest of the profile that its records are encoded with.

    Raises:
        StoreUnusable: the database cannot be reached, is no store, is of a newer schema, or holds records of another
            profile.
    """
    with _translated():
        made = _postgres_url(url, password)
    # Connections begin no transaction by themselves: the store says when and how.
    engine = create_engine(made, pool_pre_ping=True, isolation_level="AUTOCOMMIT", hide_parameters=True)
    return _opened(engine, "the database", at_rest, profile_digest)


def _postgres_url(url: str, password: str | None) -> URL:
    from sqlalchemy.engine import make_url

    parsed = make_url(url).set(drivername="postgresql+psycopg")
    return parsed.set(password=password) if password else parsed


def _opened(engine: Engine, where: str, at_rest: bytes, profile_digest: bytes) -> Store:
    try:
        with _translated(), engine.connect() as connection:
            _lock(connection)
            migrate(connection, where)
            _check_profile(connection, where, profile_digest)
            _name_lineage(connection)
            connection.commit()
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, at_rest)


def _check_profile(connection: Connection, where: str, profile_digest: bytes) -> None:
    name, value = schema.setting.c.name, schema.setting.c.value
    held = connection.scalar(select(value).where(name == "profile_digest"))
    if held is None:
        connection.execute(insert(schema.setting), {"name": "profile_digest", "value": profile_digest.hex()})
    elif held != profile_digest.hex():
        raise StoreUnusable(f"{where}: holds records of another encoding profile; serve it with that rule file")


def _name_lineage(connection: Connection) -> None:
    name = schema.setting.c.name
    if connection.scalar(select(schema.setting.c.value).where(name == LINEAGE)) is None:
        connection.execute(insert(schema.setting), {"name": LINEAGE, "value": uuid.uuid4().hex})


def _lock(connection: Connection) -> None:
    """Begin a transaction that no other writer runs beside."""
    connection.execute(text(_BEGIN[connection.dialect.name]))
    if connection.dialect.name == "postgresql":
        # Freed at the end of the transaction, whatever ends it. Nobody waits for it longer than SQLite would let them.
        connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{LOCK_SECONDS}s"})
        connection.execute(text("SELECT pg_advisory_xact_lock(:writer)"), {"writer": _WRITER})


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, ImportError) as error:
        # The driver's text may quote bound values; only its class is let out.
        raise StoreUnusable(f"the database does not answer as it should ({type(error).__name__})") from None
