"""Alembic's entry: migrations run on the connection that training.store.migrate hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, BigInteger

from training.store.database import UtcDateTime
from training.store.tables.every import METADATA


def render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Write our column types by their short names into new migrations."""
    names = {UtcDateTime: "UtcDateTime()", JSON: "JSON_DOCUMENT", BigInteger: "BIG_ID"}
    name = names.get(type(item)) if kind == "type" else None
    if name is None:
        return False
    autogen_context.imports.add(f"from training.store.database import {name.removesuffix('()')}")
    return name


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    compare_type=True,
    render_item=render_item,
)
context.run_migrations()
