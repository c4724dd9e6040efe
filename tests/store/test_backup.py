"""Backups: whole, sealed, checked before anything is written, and restored into either kind of database."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mpi.at_rest import AtRest
from mpi.errors import InputRejected
from mpi.store.backup import check, restore, take
from mpi.store.sql import Store
from tests.building import AT_REST
from tests.databases import BACKENDS, PROFILE, database
from tests.store.test_conformance import CAUSE, a_record, filled, grouped, put

KEYS = (AT_REST, PROFILE)


def rows_of(store: Store) -> list[tuple[str, list[tuple[object, ...]]]]:
    with store.reading() as reading:
        return [
            (table.name, [tuple(row) for row in rows]) for table, rows in reading.tables() if table.name != "setting"
        ]


@pytest.mark.parametrize("other", BACKENDS)
def test_a_backup_gives_the_store_again(store: Store, other: str, tmp_path: Path) -> None:
    """Every row comes back, in the other kind of database as well; the store goes on from there."""
    filled(store, 7)
    (tmp_path / "other").mkdir()
    path = tmp_path / "a.backup"
    taken = take(store, path, AT_REST)
    assert check(path, *KEYS) == taken
    before, places, lineage = rows_of(store), grouped(store).eids, store.lineage()
    assert (taken.records, taken.revision) == (7, 7)
    with database(other, tmp_path / "other") as opener:
        fresh = opener()
        assert restore(fresh, path, *KEYS) == taken
        assert rows_of(fresh) == before
        assert grouped(fresh).eids == places
        assert fresh.lineage() != lineage  # so an index of what came after the backup is told from one of this
        with fresh.transaction(CAUSE) as transaction:
            assert put(transaction, "0" * 8 + "-0000-4000-8000-" + "0" * 12, a_record(8)).number == 8
        with pytest.raises(InputRejected, match="empty"):
            restore(fresh, path, *KEYS)
        fresh.close()


def test_a_backup_is_of_one_moment(store: Store, tmp_path: Path) -> None:
    """What is registered while it is being taken is not in it, or all of it is."""
    filled(store, 3)
    told: list[str] = []

    def busy(what: str, _done: int, _of: int) -> None:
        if not told:
            with store.transaction(CAUSE) as transaction:
                put(transaction, "0" * 8 + "-0000-4000-8000-" + "0" * 12, a_record(99))
        told.append(what)

    assert take(store, tmp_path / "a.backup", AT_REST, busy).revision == 3
    assert check(tmp_path / "a.backup", *KEYS).records == 3
    assert store.head() == 4


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return change


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("something else entirely"),
        changed("DELETE FROM record WHERE number = 2"),
        changed("DELETE FROM change WHERE revision = 3"),
        changed("UPDATE record SET eid = 'another' WHERE number = 2"),
        changed("UPDATE change SET payload = zeroblob(200) WHERE revision = 1"),
        changed("UPDATE manifest SET value = '99' WHERE name = 'digest'"),
        changed("DROP TABLE manifest"),
        changed("UPDATE manifest SET value = 'v9999' WHERE name = 'schema'"),
    ],
)
def test_a_damaged_backup_is_refused_by_its_name(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Whatever is missing or other than it was: nothing of it is restored."""
    with database("sqlite", tmp_path) as opener:
        store = opener()
        filled(store, 3)
        path = tmp_path / "a.backup"
        take(store, path, AT_REST)
        store.close()
    damage(path)
    (tmp_path / "fresh").mkdir()
    with database("sqlite", tmp_path / "fresh") as opener:
        fresh = opener()
        for attempt in (lambda: check(path, *KEYS), lambda: restore(fresh, path, *KEYS)):
            with pytest.raises(InputRejected, match=r"a\.backup"):
                attempt()
        assert fresh.count() == (0, 0, 0)
        fresh.close()


def test_another_key_or_profile_opens_nothing(tmp_path: Path) -> None:
    """The error says which of the two is another one."""
    with database("sqlite", tmp_path) as opener:
        store = opener()
        filled(store, 1)
        path = tmp_path / "a.backup"
        take(store, path, AT_REST)
        store.close()
    with pytest.raises(InputRejected, match="keys at rest"):
        check(path, AtRest.of(b"\x01" * 32), PROFILE)
    with pytest.raises(InputRejected, match="profile"):
        check(path, AT_REST, b"\x01" * 32)
    with pytest.raises(InputRejected, match="no such file"):
        check(tmp_path / "nowhere", *KEYS)


def test_a_backup_is_written_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    """It is not written over another file, and nothing is left of one that could not be written."""
    with database("sqlite", tmp_path) as opener:
        store = opener()
        filled(store, 1)
        path = tmp_path / "a.backup"
        take(store, path, AT_REST)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        before = path.read_bytes()
        with pytest.raises(InputRejected, match="there already"):
            take(store, path, AT_REST)
        assert path.read_bytes() == before
        with pytest.raises(InputRejected, match="cannot be written"):
            take(store, tmp_path / "nowhere" / "b.backup", AT_REST)

        def fails(_what: str, _done: int, _of: int) -> None:
            raise OSError(28, "No space left on device")

        with pytest.raises(InputRejected, match="No space"):
            take(store, tmp_path / "c.backup", AT_REST, fails)
        assert list(tmp_path.glob("c.*")) == []
        store.close()
