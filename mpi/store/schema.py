"""Tables of the system of record.

What could tell records of one person apart or together outside the matcher (facility, tokens, vectors, pointers,
placements) stands only inside encrypted payloads. In clear are a record's number, the keyed name that finds it
again, a keyed digest of its content, and its identity.

The content of a record stands once, in the change that brought it, encrypted with a key of the record's own. That key
stands in the record's row, encrypted with the key at rest. Erasing a record removes it there, and so every content
that the record ever had. Copies made before that (backups, PostgreSQL's write-ahead log and rows that it has not
vacuumed) still hold the sealed key: they must be kept no longer than the law allows.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

HEAD = "v0004"
"""The newest migration: after it the tables are as they are described here."""

metadata = MetaData()

Number = BigInteger().with_variant(Integer, "sqlite")
"""64 bits everywhere: SQLite's integer is, and only by that name is it the row's own id."""

setting = Table(
    "setting",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(200), nullable=False),
)
"""Facts about the database itself: the profile that its records are encoded with."""

cause = Table(
    "cause",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("actor", String(200), nullable=False),
    Column("rules_digest", String(64), nullable=False),
    Column("request", String(64), nullable=False, index=True),
    Column("facility", String(9), nullable=False),
    Column("at", DateTime, nullable=False, index=True),
)
"""Why changes were made: one row a transaction and facility, times in UTC."""

record = Table(
    "record",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("ref", LargeBinary(32), unique=True),
    Column("earlier_ref", LargeBinary(32), unique=True),
    Column("digest", LargeBinary(32)),
    Column("eid", String(36), index=True),
    Column("content", Number, nullable=False),
    Column("payload", LargeBinary),
)
"""State: every record that was ever registered, and the identity that it belongs to.

`earlier_ref` finds a record by its name under the key epoch before, while the epoch is being changed; `content` is the
revision that brought its content; `payload` seals its own key. A record that was retracted has no `eid`; one that was
erased has no more than its number, so that no other record ever gets it.
"""

change = Table(
    "change",
    metadata,
    Column("revision", Number, primary_key=True, autoincrement=False),
    Column("cause", Number, ForeignKey("cause.id"), nullable=False, index=True),
    Column("payload", LargeBinary, nullable=False),
)
"""The append-only log: revisions count from 1 without a gap, in commit order."""

trace = Table(
    "trace",
    metadata,
    Column("name", LargeBinary(16), primary_key=True),
    Column("revision", Number, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""Which changes an identity was touched by, under a keyed name: what its history is read from."""

redirect = Table(
    "redirect",
    metadata,
    Column("eid", String(36), primary_key=True),
    Column("target", String(36), nullable=False, index=True),
)
"""Enterprise ids that stand for another one, which stands for itself."""

parting = Table(
    "parting",
    metadata,
    Column("origin", String(36), primary_key=True),
    Column("part", String(36), primary_key=True),
)
"""Identities and those that were split off them."""

bond = Table(
    "bond",
    metadata,
    Column("first", Number, primary_key=True, autoincrement=False),
    Column("second", Number, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Index("ix_bond_second", "second"),
)
"""What people decided about pairs of records; the one with the smaller number stands first."""

task = Table(
    "task",
    metadata,
    Column("id", Number, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("record", Number, nullable=False, index=True),
    Column("payload", LargeBinary, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("opened", DateTime, nullable=False),
    Column("holder", String(100), index=True),
    Column("held_until", DateTime),
    Column("assignee", String(100), index=True),
    Column("decided", DateTime, index=True),
    Column("verdict", String(16)),
    Column("change", Number, index=True),
    Index("ix_task_status_id", "status", "id"),
    Index("ix_task_queue", "status", "rank", "id"),
    Index("ix_task_kind", "status", "kind", "rank", "id"),
)
"""Possible links that wait for a person, and records that wait to be compared.

`rank` is the priority below zero, so that a queue is read forwards; `change` is the revision that carried a verdict
out, or took it back.
"""

remark = Table(
    "remark",
    metadata,
    Column("id", Number, primary_key=True),
    Column("task", Number, nullable=False, index=True),
    Column("at", DateTime, nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("word", String(16), nullable=False),
    Column("payload", LargeBinary, nullable=False),
)
"""What happened on tasks; what was written is sealed."""

question = Table(
    "question",
    metadata,
    Column("id", Number, primary_key=True),
    Column("task", Number, nullable=False, index=True),
    Column("facility", LargeBinary(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("asked", DateTime, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index("ix_question_facility", "facility", "status", "id"),
)
"""What facilities are asked, under their keyed names; which record is meant is sealed."""

consent = Table(
    "consent",
    metadata,
    Column("name", LargeBinary(16), primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)
"""What citizens said last: one row a number (or a record, after a split), under a keyed name, its networks sealed."""

opening = Table(
    "opening",
    metadata,
    Column("id", Number, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("at", DateTime, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index("ix_opening_status_id", "status", "id"),
)
"""Lookups that broke the glass, for the privacy officer; who looked, at whom and why is sealed."""

facility = Table(
    "facility",
    metadata,
    Column("code", String(9), primary_key=True),
    Column("registered", DateTime, nullable=False),
    Column("turn", Number, nullable=False, index=True),
)
"""When each facility registered last, UTC, to the minute; `turn` counts the transactions that noted it."""

client = Table(
    "client",
    metadata,
    Column("urn", String(100), primary_key=True),
    Column("suspended", Boolean, nullable=False),
    Column("roles", String(200), nullable=False),
    Column("purposes", String(200)),
    Column("changed", DateTime, nullable=False),
)
"""What was decided about clients: roles and purposes are words between spaces; no purposes stand for every one."""
