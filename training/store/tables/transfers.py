"""Imports and exports that were asked for over the API."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, Json, new_id


class TransferKind(StrEnum):
    """Which way the texts go."""

    IMPORT = "import"
    EXPORT = "export"


class TransferStatus(StrEnum):
    """Where a transfer stands; the last two are final."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


OPEN_TRANSFERS = (TransferStatus.PENDING, TransferStatus.RUNNING)


class Transfer(Base):
    """One import or export. `source` is what is to be imported, `outcome` what there is to download, as artefacts.

    Nobody takes it before `available_at`: a claim moves that on, and so does a Label Studio that is away.
    """

    __tablename__ = "transfer"
    __table_args__ = (
        Index("ix_transfer_due", "status", "available_at"),
        Index("ix_transfer_page", "project_id", "kind", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    kind: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    format: Mapped[str] = mapped_column(String(32))
    options: Mapped[Json]
    contributor_id: Mapped[int | None] = mapped_column(ForeignKey("contributor.id"))
    done: Mapped[int]
    source: Mapped[Json | None]
    outcome: Mapped[Json | None]
    report: Mapped[Json | None]
    error_code: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(Text)
    available_at: Mapped[datetime]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
