"""Near-duplicate groups are found by their bands first

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    with op.batch_alter_table("group_band") as table:
        table.drop_constraint("pk_group_band", type_="primary")
        table.create_primary_key("pk_group_band", ["band", "project_id", "group_id"])
