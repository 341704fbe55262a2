"""Proposals on their way to annotators."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base


class WaitingProposal(Base):
    """A text whose proposed spans are not in Label Studio yet; `revision` is the example's that is to come there.

    Nobody takes it before `available_at`: a claim moves that on, and so does a failure with its `error`.
    """

    __tablename__ = "waiting_proposal"
    __table_args__ = (Index("ix_waiting_proposal_due", "project_id", "available_at"),)

    text_id: Mapped[int] = mapped_column(ForeignKey("text.id"), primary_key=True, autoincrement=False)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    revision: Mapped[str] = mapped_column(String(64))
    available_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
