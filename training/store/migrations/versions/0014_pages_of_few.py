"""Lists whose filters together let few rows through: an index for each combination

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OF_FEEDBACK = {
    "ix_feedback_page_correct_incorporated": ("is_correct", "incorporated_in_training"),
    "ix_feedback_page_contributor_correct": ("contributor_id", "is_correct"),
    "ix_feedback_page_contributor_incorporated": ("contributor_id", "incorporated_in_training"),
    "ix_feedback_page_all": ("contributor_id", "is_correct", "incorporated_in_training"),
}
_OF_GROUPS = {
    "ix_example_group_verified": ("verified",),
    "ix_example_group_source": ("source",),
    "ix_example_group_both": ("verified", "source"),
}


def upgrade() -> None:
    """Apply the change."""
    for name, columns in _OF_FEEDBACK.items():
        op.create_index(
            name,
            "classification_feedback",
            ["project_id", *columns, "created_at", "id"],
            sqlite_where=sa.text("withdrawn = 0"),
            postgresql_where=sa.text("NOT withdrawn"),
        )
    op.create_index(
        "ix_training_dataset_page_both",
        "training_dataset",
        ["project_id", "verified", "source", "created_at", "id"],
    )
    with op.batch_alter_table("example_group") as table:
        table.add_column(sa.Column("verified", sa.Boolean(), nullable=True))
        table.add_column(sa.Column("source", sa.String(length=16), nullable=True))
    op.execute(
        "UPDATE example_group SET "
        "verified = (SELECT e.verified FROM training_dataset e WHERE e.id = example_group.example_id), "
        "source = (SELECT e.source FROM training_dataset e WHERE e.id = example_group.example_id)"
    )
    with op.batch_alter_table("example_group") as table:
        table.alter_column("verified", existing_type=sa.Boolean(), nullable=False)
        table.alter_column("source", existing_type=sa.String(length=16), nullable=False)
    for name, columns in _OF_GROUPS.items():
        op.create_index(name, "example_group", ["project_id", "name", *columns, "created_at", "example_id"])
