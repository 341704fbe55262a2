"""Projects, and when their loops are due."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, Json, JsonRows


class Project(Base):
    """A Label Studio project and how its loop is set."""

    __tablename__ = "project"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    language: Mapped[str]
    base_model: Mapped[str]
    label_config: Mapped[str] = mapped_column(Text)
    from_name: Mapped[str]
    to_name: Mapped[str]
    text_key: Mapped[str]
    taxonomy: Mapped[JsonRows]
    settings: Mapped[Json]
    announced_model_id: Mapped[str | None]
    backend_id: Mapped[int | None]
    webhook_id: Mapped[int | None]
    reconcile_cursor: Mapped[datetime | None]
    last_change_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    @property
    def labels(self) -> tuple[str, ...]:
        """The project's leaves, in the taxonomy's order."""
        return tuple(row["name"] for row in self.taxonomy)


class DueTime(Base):
    """When something is due next; claimed by compare-and-set, so that two schedulers do no harm."""

    __tablename__ = "due_time"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    due_at: Mapped[datetime]
