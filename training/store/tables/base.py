"""What all tables share. Spans are JSON lists of {"start", "end", "label"}; times are UTC."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from training.store.database import BIG_ID, JSON_DOCUMENT, UtcDateTime

Json = dict[str, Any]


JsonRows = list[dict[str, Any]]


def new_id() -> str:
    """A fresh random id (UUID 4) as text."""
    return str(uuid.uuid4())


class Base(DeclarativeBase):
    """Shared metadata; names of constraints follow one pattern so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it from the class)
        datetime: UtcDateTime(),
        Json: JSON_DOCUMENT,
        JsonRows: JSON_DOCUMENT,
        int: BIG_ID,
    }
