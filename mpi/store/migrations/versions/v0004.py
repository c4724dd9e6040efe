"""When each facility registered last."""

import sqlalchemy as sa
from alembic import op

revision = "v0004"
down_revision = "v0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table, and fill it with when each facility last changed anything: nothing nearer is known."""
    op.create_table(
        "facility",
        sa.Column("code", sa.String(9), primary_key=True),
        sa.Column("registered", sa.DateTime, nullable=False),
        sa.Column("turn", _NUMBER, nullable=False, index=True),
    )
    op.execute(
        "INSERT INTO facility (code, registered, turn)"
        " SELECT facility, max(at), 1 FROM cause WHERE facility <> '' GROUP BY facility"
    )
