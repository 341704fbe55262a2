"""What audits of annotations found

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from training.store.database import BIG_ID, JSON_DOCUMENT, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "label_doubt",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("text_id", BIG_ID, nullable=False),
        sa.Column("rank", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("span", JSON_DOCUMENT, nullable=False),
        sa.Column("suggested", sa.String(), nullable=True),
        sa.Column("suspicion", sa.Float(), nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("found_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_label_doubt_project_id")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_label_doubt_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_doubt")),
    )
    op.create_index("ix_label_doubt_rank", "label_doubt", ["project_id", "rank"], unique=False)
    op.create_index("ix_label_doubt_text_id", "label_doubt", ["text_id"], unique=False)


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_label_doubt_text_id", table_name="label_doubt")
    op.drop_index("ix_label_doubt_rank", table_name="label_doubt")
    op.drop_table("label_doubt")
