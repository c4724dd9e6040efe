"""Brings the tables of a database up to this program, inside the transaction of whoever opens it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mpi.errors import StoreUnusable
from mpi.store import schema

_VERSION_TABLE = "alembic_version"


def migrate(connection: Connection, where: str) -> None:
    """Make or migrate the tables; all of it is in the transaction that the connection is in.

    Args:
        connection: it holds the write lock, so that of several processes that start one migrates.
        where: what the database is called in errors.

    Raises:
        StoreUnusable: the tables are a newer program's, or not a store's at all.
    """
    tables = inspect(connection).get_table_names()
    held = connection.scalar(text(f"SELECT version_num FROM {_VERSION_TABLE}")) if _VERSION_TABLE in tables else None  # noqa: S608 (a constant)
    if held == schema.HEAD:
        return
    if held is None and tables:
        raise StoreUnusable(f"{where}: holds tables that this program did not make")
    # Alembic is needed in this case only; the start of a server is faster without it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if held is not None and held not in known:
        raise StoreUnusable(f"{where}: made by a newer version of this program (schema {held}); install that one")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
