"""Proposals on their way to Label Studio

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from training.store.database import BIG_ID, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change; what was proposed before and is no task yet waits from now on."""
    op.create_table(
        "waiting_proposal",
        sa.Column("text_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("available_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", BIG_ID, nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_waiting_proposal_project_id")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_waiting_proposal_text_id")),
        sa.PrimaryKeyConstraint("text_id", name=op.f("pk_waiting_proposal")),
    )
    with op.batch_alter_table("waiting_proposal", schema=None) as batch_op:
        batch_op.create_index("ix_waiting_proposal_due", ["project_id", "available_at"], unique=False)
    op.execute(
        "INSERT INTO waiting_proposal (text_id, project_id, revision, available_at, attempts) "
        "SELECT e.text_id, e.project_id, e.revision, e.updated_at, 0 FROM training_dataset e "
        "WHERE e.annotation_id IS NULL AND NOT e.verified AND e.source <> 'label_studio' AND NOT EXISTS "
        "(SELECT 1 FROM task t WHERE t.text_id = e.text_id AND t.deleted_at IS NULL)"
    )
