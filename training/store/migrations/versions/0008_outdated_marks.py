"""An index of the tasks whose data shows other marks than they are to carry

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    outdated = sa.text("marks <> shown_marks")
    op.create_index(
        "ix_task_outdated_marks", "task", ["project_id", "id"], sqlite_where=outdated, postgresql_where=outdated
    )
