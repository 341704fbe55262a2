"""What audits of annotations found."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, Json


class LabelDoubt(Base):
    """A likely label error, from the newest audit: `rank` 1 is the most suspicious.

    `revision` is the example's at that time: once it differs, somebody has changed the annotation.
    """

    __tablename__ = "label_doubt"
    __table_args__ = (Index("ix_label_doubt_rank", "project_id", "rank"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    text_id: Mapped[int] = mapped_column(ForeignKey("text.id"), index=True)
    rank: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    span: Mapped[Json]
    suggested: Mapped[str | None]
    suspicion: Mapped[float]
    revision: Mapped[str] = mapped_column(String(64))
    found_at: Mapped[datetime]
