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

from mpi.at_rest import AtRest
from mpi.domain.changes import Cause, Change
from mpi.domain.record import EncodedRecord, RecordName
from mpi.errors import StoreUnusable
from mpi.store import schema
from mpi.store.loading import Loading
from mpi.store.migrating import migrate
from mpi.store.reading import AT_REST, LINEAGE, LiveRecord, Reading, StoredRecord
from mpi.store.rekeying import Rekeying
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

    def __init__(self, engine: Engine, at_rest: AtRest) -> None:
        self._engine = engine
        self._at_rest = at_rest
        self._keys: tuple[str, Sealing] = "", Sealing([at_rest.oldest.secret])
        self._watching: Connection | None = None

    def close(self) -> None:
        """Close every connection."""
        if self._watching is not None:
            self._watching.close()
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Read one snapshot: what is written meanwhile is not seen.

        Raises:
            StoreUnusable: the database cannot be read.
        """
        with self._snapshot() as connection:
            yield Reading(connection, self._sealing(connection))

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
                transaction = Transaction(connection, self._sealing(connection), cause)
                yield transaction
                transaction.flush()
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
            if transaction.erases and self._engine.dialect.name == "sqlite":
                connection.execute(text(_FORGET["sqlite"]))

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
                yield Loading(connection, self._sealing(connection), cause)
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

    @contextmanager
    def rekeying(self, *, writes: bool) -> Iterator[Rekeying]:
        """Seal rows anew, everything when the block ends well and nothing when it raises; or look at one snapshot.

        Raises:
            StoreUnusable: the database cannot be read or written.
        """
        with self.filling() if writes else self._snapshot() as connection:
            yield Rekeying(connection, self._sealing(connection))

    def forget(self) -> None:
        """Give up what rows were before they were written anew, as far as the database itself keeps it.

        Raises:
            StoreUnusable: the database cannot be written.
        """
        with _translated(), self._engine.connect() as connection:
            connection.execute(text(_FORGET[self._engine.dialect.name]))

    def sealed_with(self) -> list[str]:
        """Names of the epochs of the keys at rest that rows are sealed with, the oldest first."""
        with self.reading() as reading:
            return reading.noted(AT_REST).split()

    def commits(self) -> int | None:
        """A number that is another one when anybody has committed since; None where the database tells only when asked.

        The thread that asks first is the one that may ask.

        Raises:
            StoreUnusable: the database cannot be read.
        """
        if self._engine.dialect.name != "sqlite":
            return None
        with _translated():
            if self._watching is None:
                self._watching = self._engine.connect()
            return int(self._watching.exec_driver_sql("PRAGMA data_version").scalar_one())

    def lineage(self) -> str:
        """Name of the history that revisions count. A restored store has another one: its next changes are others."""
        with self.reading() as reading:
            return reading.noted(LINEAGE)

    def head(self) -> int:
        """Revision of the newest change, 0 when there is none."""
        with self.reading() as reading:
            return reading.head()

    def find(self, names: Sequence[RecordName]) -> dict[RecordName, StoredRecord]:
        """Find records by their names, in a snapshot of their own."""
        with self.reading() as reading:
            return reading.find(names)

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

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with _translated(), self._engine.connect() as connection:
            connection.execute(text(_SNAPSHOT[self._engine.dialect.name]))
            try:
                yield connection
            finally:
                connection.rollback()

    def _sealing(self, connection: Connection) -> Sealing:
        """The keys that rows are sealed with in the transaction that a connection is in."""
        names = str(connection.scalar(_SEALED_WITH))
        held, sealing = self._keys
        if held != names:
            sealing = Sealing([key.secret for key in self._at_rest.named(names.split())])
            self._keys = names, sealing  # keys that ended are forgotten
        return sealing


_FORGET = {
    # The log of SQLite still holds the pages as they were: writing them home empties it.
    "sqlite": "PRAGMA wal_checkpoint(TRUNCATE)",
    "postgresql": "VACUUM",
}
_SEALED_WITH = select(schema.setting.c.value).where(schema.setting.c.name == AT_REST)
_SNAPSHOT = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN"}


def open_sqlite(path: Path, at_rest: AtRest, profile_digest: bytes) -> Store:
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


def open_postgres(url: str, password: str | None, at_rest: AtRest, profile_digest: bytes) -> Store:
    """Open the store in a PostgreSQL database, making its tables where they are missing and migrating older ones.

    Args:
        url: the database, such as "postgresql://mpi@db.example.go.th/mpi?sslmode=verify-full"; without a password.
        password: of the user named in it; None where the server asks for none.
        at_rest: keys at rest.
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


def _opened(engine: Engine, where: str, at_rest: AtRest, profile_digest: bytes) -> Store:
    try:
        with _translated(), engine.connect() as connection:
            _lock(connection)
            migrate(connection, where)
            _check_profile(connection, where, profile_digest)
            _note(connection, LINEAGE, uuid.uuid4().hex)
            # Rows from before epochs had names are sealed with the key that was the only one.
            _note(connection, AT_REST, at_rest.oldest.name)
            store = Store(engine, at_rest)
            store._sealing(connection)  # else every call would find that the key is missing
            connection.commit()
    except BaseException:
        engine.dispose()
        raise
    return store


def _check_profile(connection: Connection, where: str, profile_digest: bytes) -> None:
    name, value = schema.setting.c.name, schema.setting.c.value
    held = connection.scalar(select(value).where(name == "profile_digest"))
    if held is None:
        connection.execute(insert(schema.setting), {"name": "profile_digest", "value": profile_digest.hex()})
    elif held != profile_digest.hex():
        raise StoreUnusable(f"{where}: holds records of another encoding profile; serve it with that rule file")


def _note(connection: Connection, name: str, value: str) -> None:
    """Keep a fact about the database unless it is known."""
    if connection.scalar(select(schema.setting.c.value).where(schema.setting.c.name == name)) is None:
        connection.execute(insert(schema.setting), {"name": name, "value": value})


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
