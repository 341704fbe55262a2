"""Which tasks were made for their proposal alone

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    with op.batch_alter_table("task") as table:
        table.add_column(sa.Column("made_for_proposal", sa.Boolean(), nullable=False, server_default=sa.false()))
