"""For whom an annotation was made over the API

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from training.store.database import BIG_ID

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    with op.batch_alter_table("annotation") as table:
        table.add_column(sa.Column("on_behalf_of_id", BIG_ID, nullable=True))
        table.create_foreign_key(op.f("fk_annotation_on_behalf_of_id"), "contributor", ["on_behalf_of_id"], ["id"])
