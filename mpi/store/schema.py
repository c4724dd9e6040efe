"""Tables of the system of record.

What could tell records of one person apart or together outside the matcher (facility, tokens, vectors, pointers,
placements) stands only inside encrypted payloads. In clear are a record's number, the keyed name that finds it
again, a keyed digest of its content, and its identity.
"""

from __future__ import annotations

from sqlalchemy import Column, DateTime, ForeignKey, Integer, LargeBinary, MetaData, String, Table

SCHEMA_VERSION = 2

metadata = MetaData()

setting = Table(
    "setting",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(200), nullable=False),
)
"""Facts about the database itself: its schema version and the profile that its records are encoded with."""

cause = Table(
    "cause",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("actor", String(200), nullable=False),
    Column("rules_digest", String(64), nullable=False),
    Column("at", DateTime, nullable=False),
)
"""Why changes were made: one row a transaction, times in UTC."""

record = Table(
    "record",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("ref", LargeBinary(32), nullable=False, unique=True),
    Column("earlier_ref", LargeBinary(32), unique=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("eid", String(36), nullable=False, index=True),
    Column("payload", LargeBinary, nullable=False),
)
"""State: every live record and the identity that it belongs to.

`earlier_ref` finds a record by its name under the key epoch before, while the epoch is being changed.
"""

change = Table(
    "change",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("cause", Integer, ForeignKey("cause.id"), nullable=False),
    Column("payload", LargeBinary, nullable=False),
)
"""The append-only log: revisions count from 1 without a gap, in commit order."""

task = Table(
    "task",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("status", String(16), nullable=False, index=True),
    Column("payload", LargeBinary, nullable=False),
)
"""Possible links that wait for a person."""
