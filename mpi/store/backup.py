"""Backups: everything that a store held at one moment, in one file, from which any store can be filled again.

A backup is an SQLite store with a table `manifest` beside its own, whichever database it was taken from. Its rows are
as sealed as they were: without the centre's key file nobody opens them. The digest in the manifest is over every row
of every table, so a damaged or shortened backup is told from a whole one before anything is written.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, delete, func, insert, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from mpi.at_rest import AtRest
from mpi.errors import InputRejected, StoreUnusable
from mpi.keyfiles import derive, sync
from mpi.store import schema
from mpi.store.migrating import migrate
from mpi.store.reading import AT_REST, Reading, rows_of
from mpi.store.sealing import Sealing
from mpi.store.sql import Store

ROWS_AT_ONCE = 5000
_PARTIAL = ".partial"

Told = Callable[[str, int, int], None]
"""Told what is going on, how many rows of it are done, and how many there are."""

_metadata = MetaData()
_manifest = Table(
    "manifest",
    _metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(200), nullable=False),
)
_counted = Table("counted", _metadata, Column("name", String(32), primary_key=True), Column("rows", Integer))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        taken: when it was taken, UTC.
        revision: the newest change in it.
        records: live records.
        identities: identities.
        tasks: tasks that are open.
        digest: hex HMAC-SHA256 over all rows, under the key at rest: nobody without it makes another.
    """

    taken: str
    revision: int
    records: int
    identities: int
    tasks: int
    digest: str


def _untold(_what: str, _done: int, _of: int) -> None:
    pass


def take(store: Store, path: Path, at_rest: AtRest, told: Told = _untold) -> Manifest:
    """Write a backup of one moment; the store goes on being written meanwhile.

    Raises:
        InputRejected: the file is there already, or cannot be written; nothing is left of it then.
        StoreUnusable: the store cannot be read.
    """
    if path.exists():
        raise InputRejected(f"{path}: is there already; a backup is written to a new file")
    partial = path.with_name(path.name + _PARTIAL)
    try:
        # Sealed or not, it is for its owner alone.
        os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        with store.reading() as reading:
            key = at_rest.named(reading.noted(AT_REST).split())[-1]
            manifest = _written(partial, reading, key.secret, told)
        os.replace(partial, path)
        sync(path.parent)
    except OSError as error:
        raise InputRejected(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def check(path: Path, at_rest: AtRest, profile_digest: bytes, told: Told = _untold) -> Manifest:
    """Read a whole backup: all rows are there, and the key at rest opens each of them.

    Raises:
        InputRejected: it is no backup, damaged, of other rules or under another key.
    """
    with _Backup(path) as backup:
        return backup.checked(at_rest, profile_digest, told)


def restore(store: Store, path: Path, at_rest: AtRest, profile_digest: bytes, told: Told = _untold) -> Manifest:
    """Fill an empty store from a backup that was checked: all of it in one transaction, or nothing.

    Raises:
        InputRejected: as `check`, or the store is not empty.
        StoreUnusable: the store cannot be written.
    """
    with _Backup(path) as backup:
        manifest = backup.checked(at_rest, profile_digest, told)
        with store.filling() as connection:
            held = [table for table in schema.metadata.sorted_tables if table is not schema.setting]
            if any(connection.scalar(select(func.count()).select_from(table)) for table in held):
                raise InputRejected(
                    "the store is not empty; a backup is restored into an empty data folder or database. After a "
                    "restore that was interrupted when its rows were written, run `mpi index rebuild`"
                )
            # Its rows stay sealed as they are, whatever the centre's newest key is.
            connection.execute(delete(schema.setting).where(schema.setting.c.name == AT_REST))
            own = set(connection.scalars(select(schema.setting.c.name)))
            for table, rows in backup.tables(told, "writing rows"):
                # Its profile and its lineage a store has since it was opened: revisions count another history now.
                kept = [row for row in rows if table is not schema.setting or row.name not in own]
                if kept:
                    connection.execute(insert(table), [dict(row._mapping) for row in kept])
    return manifest


class _Backup:
    """A backup that is open for reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = create_engine(URL.create("sqlite", database=f"file:{path}", query={"mode": "ro", "uri": "true"}))

    def __enter__(self) -> _Backup:
        if not self._path.is_file():
            raise InputRejected(f"{self._path}: no such file")
        try:
            self._connection = self._engine.connect()
            rows: Any = self._connection.execute(select(_manifest.c.name, _manifest.c.value))
            held: dict[str, str] = {row.name: row.value for row in rows}
            rows = self._connection.execute(select(_counted.c.name, _counted.c.rows))
            self._counted: dict[str, int] = {row.name: row.rows for row in rows}
            self.manifest = Manifest(
                held["taken"],
                int(held["revision"]),
                int(held["records"]),
                int(held["identities"]),
                int(held["tasks"]),
                held["digest"],
            )
            self._version, self._key = held["schema"], held["key"]
        except (SQLAlchemyError, KeyError, ValueError):
            self.__exit__()
            raise InputRejected(f"{self._path}: is no backup, or damaged at its beginning") from None
        if self._version != schema.HEAD:
            self.__exit__()
            raise InputRejected(
                f"{self._path}: made by another version of this program (schema {self._version}, here {schema.HEAD}); "
                "restore it with that one, and let this one migrate the store"
            )
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()
        self._engine.dispose()

    def tables(self, told: Told, what: str) -> Iterator[tuple[Table, Sequence[Any]]]:
        """All rows, table by table, some thousand at once."""
        done, total = 0, sum(self._counted.values())
        for table in schema.metadata.sorted_tables:
            for rows in rows_of(self._connection, table):
                yield table, rows
                done += len(rows)
                told(what, done, total)

    def checked(self, at_rest: AtRest, profile_digest: bytes, told: Told) -> Manifest:
        damaged = InputRejected(f"{self._path}: is damaged; take an older or another copy")
        foreign = InputRejected(
            f"{self._path}: does not open with the keys at rest; it is of another centre, or of a time before they "
            "were changed: name the key file of then"
        )
        try:
            noted = self._connection.scalar(select(schema.setting.c.value).where(schema.setting.c.name == AT_REST))
        except SQLAlchemyError:
            raise damaged from None
        try:
            secrets = [key.secret for key in at_rest.named((noted or "").split())]
        except StoreUnusable:
            raise foreign from None
        if not secrets or not hmac.compare_digest(_Digest(secrets[-1]).hex(), self._key):
            raise foreign
        try:
            seen = _Digest(secrets[-1])
            for table, rows in self.tables(told, "checking rows"):
                seen.add(table, rows)
            if not hmac.compare_digest(seen.hex(), self.manifest.digest):
                raise damaged
            held = self._connection.scalar(
                select(schema.setting.c.value).where(schema.setting.c.name == "profile_digest")
            )
        except SQLAlchemyError:
            raise damaged from None
        if held != profile_digest.hex():
            raise InputRejected(
                f"{self._path}: holds records of another encoding profile; name its rule file in `rules`"
            )
        reading = Reading(self._connection, Sealing(secrets))
        try:
            for number in reading.open_everything():
                if not number % ROWS_AT_ONCE:
                    told("opening rows", number, sum(self._counted.values()))
        except StoreUnusable:
            raise InputRejected(
                f"{self._path}: is whole, and still some of its rows do not open: they were damaged before it was "
                "taken; restore an older one"
            ) from None
        return self.manifest


def _written(path: Path, reading: Reading, at_rest: bytes, told: Told) -> Manifest:
    engine = create_engine(URL.create("sqlite", database=str(path)))
    try:
        with engine.connect() as target:
            # All or nothing is what the renaming sees to; until then speed is all.
            target.execute(text("PRAGMA journal_mode=OFF"))
            target.execute(text("PRAGMA synchronous=OFF"))
            migrate(target, str(path))
            target.commit()
            _metadata.create_all(target)
            seen, counted = _Digest(at_rest), dict[str, int]()
            records, identities, tasks = reading.count()
            for table, rows in reading.tables():
                seen.add(table, rows)
                target.execute(insert(table), [dict(row._mapping) for row in rows])
                counted[table.name] = counted.get(table.name, 0) + len(rows)
                told("writing rows", sum(counted.values()), 0)
            manifest = Manifest(
                datetime.now(UTC).isoformat(timespec="seconds"), reading.head(), records, identities, tasks, seen.hex()
            )
            told_of = {**asdict(manifest), "schema": schema.HEAD, "key": _Digest(at_rest).hex()}
            target.execute(insert(_manifest), [{"name": name, "value": str(value)} for name, value in told_of.items()])
            if counted:
                target.execute(insert(_counted), [{"name": name, "rows": count} for name, count in counted.items()])
            target.commit()
    except SQLAlchemyError:
        raise InputRejected(f"{path}: cannot be written (is the disk full?)") from None
    finally:
        engine.dispose()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return manifest


class _Digest:
    """HMAC-SHA256 over rows under the key at rest: names of tables, then each value with its kind and length."""

    def __init__(self, at_rest: bytes) -> None:
        self._hash = hmac.new(derive(at_rest, "store/backup"), digestmod=hashlib.sha256)

    def add(self, table: Table, rows: Sequence[Any]) -> None:
        """Take more rows."""
        parts = []
        for row in rows:
            parts.append(table.name.encode())
            for value in row:
                packed = value if isinstance(value, bytes) else str(value).encode()
                parts.append(f"{type(value).__name__[:1]}{len(packed)}:".encode() + packed)
        self._hash.update(b"".join(parts))

    def hex(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()
