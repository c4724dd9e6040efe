"""The queue of tasks: what it is ordered by, who works on what, remarks, and questions to facilities."""

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns and tables; tasks that are there already come last in the queue."""
    now = sa.text("CURRENT_TIMESTAMP")
    with op.batch_alter_table("task") as task:
        task.add_column(sa.Column("kind", sa.String(16), nullable=False, server_default="possible_link"))
        task.add_column(sa.Column("rank", sa.Integer, nullable=False, server_default="0"))
        task.add_column(sa.Column("opened", sa.DateTime, nullable=False, server_default=now))
        task.add_column(sa.Column("holder", sa.String(100)))
        task.add_column(sa.Column("held_until", sa.DateTime))
        task.add_column(sa.Column("assignee", sa.String(100)))
        task.add_column(sa.Column("decided", sa.DateTime))
        task.add_column(sa.Column("verdict", sa.String(16)))
        task.add_column(sa.Column("change", _NUMBER))
    for column in ("holder", "assignee", "decided", "change"):
        op.create_index(f"ix_task_{column}", "task", [column])
    op.create_index("ix_task_queue", "task", ["status", "rank", "id"])
    op.create_index("ix_task_kind", "task", ["status", "kind", "rank", "id"])
    op.create_table(
        "remark",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("task", _NUMBER, nullable=False, index=True),
        sa.Column("at", sa.DateTime, nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("word", sa.String(16), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "question",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("task", _NUMBER, nullable=False, index=True),
        sa.Column("facility", sa.LargeBinary(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("asked", sa.DateTime, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Index("ix_question_facility", "facility", "status", "id"),
    )
