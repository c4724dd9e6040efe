"""Decisions about clients, and what citizens consent to."""

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of access."""
    op.create_table(
        "consent",
        sa.Column("name", sa.LargeBinary(16), primary_key=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "opening",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Index("ix_opening_status_id", "status", "id"),
    )
    op.create_table(
        "client",
        sa.Column("urn", sa.String(100), primary_key=True),
        sa.Column("suspended", sa.Boolean, nullable=False),
        sa.Column("roles", sa.String(200), nullable=False),
        sa.Column("purposes", sa.String(200)),
        sa.Column("changed", sa.DateTime, nullable=False),
    )
