"""The inbox of webhook events."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base


class EventStatus(StrEnum):
    """Where an inbox event stands."""

    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    PARKED = "parked"


class Event(Base):
    """The inbox: one webhook body, kept until it is done or parked."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_queue", "status", "available_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int | None]
    dedupe_key: Mapped[str] = mapped_column(String(64), unique=True)
    action: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int]
    available_at: Mapped[datetime]
    lease_token: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(Text)
