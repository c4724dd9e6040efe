"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "setting",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(200), nullable=False),
    )
    op.create_table(
        "cause",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("rules_digest", sa.String(64), nullable=False),
        sa.Column("request", sa.String(64), nullable=False, index=True),
        sa.Column("facility", sa.String(9), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False, index=True),
    )
    op.create_table(
        "record",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("ref", sa.LargeBinary(32), unique=True),
        sa.Column("earlier_ref", sa.LargeBinary(32), unique=True),
        sa.Column("digest", sa.LargeBinary(32)),
        sa.Column("eid", sa.String(36), index=True),
        sa.Column("content", _NUMBER, nullable=False),
        sa.Column("payload", sa.LargeBinary),
    )
    op.create_table(
        "change",
        sa.Column("revision", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("cause", _NUMBER, sa.ForeignKey("cause.id"), nullable=False, index=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "trace",
        sa.Column("name", sa.LargeBinary(16), primary_key=True),
        sa.Column("revision", _NUMBER, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "redirect",
        sa.Column("eid", sa.String(36), primary_key=True),
        sa.Column("target", sa.String(36), nullable=False, index=True),
    )
    op.create_table(
        "parting",
        sa.Column("origin", sa.String(36), primary_key=True),
        sa.Column("part", sa.String(36), primary_key=True),
    )
    op.create_table(
        "bond",
        sa.Column("first", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("second", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Index("ix_bond_second", "second"),
    )
    op.create_table(
        "task",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("record", _NUMBER, nullable=False, index=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Index("ix_task_status_id", "status", "id"),
    )
