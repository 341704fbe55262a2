"""Alembic's entry: migrations run on the connection that training.store.migrate hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from training.store.database import UtcDateTime
from training.store.tables import Base


def render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Write our column type by its short name into new migrations."""
    if kind == "type" and isinstance(item, UtcDateTime):
        autogen_context.imports.add("from training.store.database import UtcDateTime")
        return "UtcDateTime()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    render_item=render_item,
)
context.run_migrations()
