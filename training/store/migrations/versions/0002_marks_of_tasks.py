"""Marks of tasks: what their tabs in Label Studio filter by

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change; tasks with a proposal wait for verification."""
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.add_column(sa.Column("marks", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("shown_marks", sa.String(), nullable=False, server_default=""))
    op.execute(
        "UPDATE task SET marks = 'to_verify' WHERE NOT is_labeled AND deleted_at IS NULL "
        "AND proposal IS NOT NULL AND CAST(proposal AS TEXT) <> 'null'"
    )
