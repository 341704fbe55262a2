"""Tests of challengers against the live version

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from training.store.database import BIG_ID, JSON_DOCUMENT, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "ab_test",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("live_id", sa.String(), nullable=False),
        sa.Column("challenger_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("fraction", sa.Float(), nullable=False),
        sa.Column("promote", sa.Boolean(), nullable=False),
        sa.Column("started_by", sa.String(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("stopped_by", sa.String(), nullable=True),
        sa.Column("stopped_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("figures", JSON_DOCUMENT, nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_ab_test_project_id")),
        sa.ForeignKeyConstraint(["live_id"], ["ml_model.id"], name=op.f("fk_ab_test_live_id")),
        sa.ForeignKeyConstraint(["challenger_id"], ["ml_model.id"], name=op.f("fk_ab_test_challenger_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ab_test")),
    )
    with op.batch_alter_table("ab_test", schema=None) as batch_op:
        batch_op.create_index(op.f("ix_ab_test_project_id"), ["project_id"])
        batch_op.create_index(op.f("ix_ab_test_challenger_id"), ["challenger_id"])
        batch_op.create_index(
            "uq_ab_test_running",
            ["project_id"],
            unique=True,
            sqlite_where=sa.text("stopped_at IS NULL"),
            postgresql_where=sa.text("stopped_at IS NULL"),
        )
    op.create_table(
        "shadow_prediction",
        sa.Column("test_id", sa.String(), nullable=False),
        sa.Column("task_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("text_id", BIG_ID, nullable=False),
        sa.Column("spans", JSON_DOCUMENT, nullable=False),
        sa.Column("predicted_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["test_id"], ["ab_test.id"], name=op.f("fk_shadow_prediction_test_id")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_shadow_prediction_text_id")),
        sa.PrimaryKeyConstraint("test_id", "task_id", name=op.f("pk_shadow_prediction")),
    )
    with op.batch_alter_table("ml_classification_result", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ab_test_id", sa.String(), nullable=True))
        batch_op.create_foreign_key(op.f("fk_ml_classification_result_ab_test_id"), "ab_test", ["ab_test_id"], ["id"])
        batch_op.create_index(op.f("ix_ml_classification_result_ab_test_id"), ["ab_test_id"])
