"""Tests of a challenger against the live version, and what challengers said unseen."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, Json, JsonRows, new_id


class ChallengeMode(StrEnum):
    """Whether the challenger serves a share of the tasks, or predicts unseen."""

    AB = "ab"
    SHADOW = "shadow"


class AbTest(Base):
    """A challenger beside the live version, one at a time in a project; `figures` are those of its end."""

    __tablename__ = "ab_test"
    __table_args__ = (
        Index(
            "uq_ab_test_running",
            "project_id",
            unique=True,
            sqlite_where=text("stopped_at IS NULL"),
            postgresql_where=text("stopped_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    live_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"))
    challenger_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"), index=True)
    mode: Mapped[str] = mapped_column(String(16))
    fraction: Mapped[float]
    promote: Mapped[bool]
    started_by: Mapped[str]
    started_at: Mapped[datetime]
    stopped_by: Mapped[str | None]
    stopped_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(Text)
    passed: Mapped[bool | None]
    figures: Mapped[Json | None]


class ShadowPrediction(Base):
    """What a challenger says of an annotated task, unseen by anybody."""

    __tablename__ = "shadow_prediction"

    test_id: Mapped[str] = mapped_column(ForeignKey("ab_test.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text_id: Mapped[int] = mapped_column(ForeignKey("text.id"))
    spans: Mapped[JsonRows]
    predicted_at: Mapped[datetime]
