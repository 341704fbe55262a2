"""Clusters of the pool, and what is on its way into Label Studio's queue

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from training.store.database import BIG_ID, JSON_DOCUMENT, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("text", sa.Column("cluster", BIG_ID, nullable=True))
    op.add_column("pushed_prediction", sa.Column("cluster", BIG_ID, nullable=True))
    op.create_table(
        "pool_cluster",
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("number", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("centre", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_pool_cluster_project_id")),
        sa.PrimaryKeyConstraint("project_id", "number", name=op.f("pk_pool_cluster")),
    )
    op.create_table(
        "queue_entry",
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("task_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("spans", JSON_DOCUMENT, nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("claimed_until", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["ml_model.id"], name=op.f("fk_queue_entry_model_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_queue_entry_project_id")),
        sa.PrimaryKeyConstraint("model_id", "task_id", name=op.f("pk_queue_entry")),
    )
    op.create_index("ix_queue_entry_project_id", "queue_entry", ["project_id"], unique=False)


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_queue_entry_project_id", table_name="queue_entry")
    op.drop_table("queue_entry")
    op.drop_table("pool_cluster")
    op.drop_column("pushed_prediction", "cluster")
    op.drop_column("text", "cluster")
