"""Model versions, which of them is live, and their metrics over time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, Json, new_id


class MLModel(Base):
    """A version of a project's model. `is_production` = live, one per project; `is_active` = serving."""

    __tablename__ = "ml_model"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        Index(
            "uq_ml_model_live",
            "project_id",
            unique=True,
            sqlite_where=text("is_production"),
            postgresql_where=text("is_production"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    number: Mapped[int]
    version: Mapped[str]
    is_active: Mapped[bool]
    is_production: Mapped[bool]
    spec: Mapped[Json]
    label_mapping: Mapped[Json]
    path: Mapped[str | None]
    checksum: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("ml_model.id"))
    metrics: Mapped[Json | None]
    precision: Mapped[float | None]
    recall: Mapped[float | None]
    f1_score: Mapped[float | None]
    verdict: Mapped[Json | None]
    trained_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class ModelActivation(Base):
    """A change of the live version: from what to what, by whom and why."""

    __tablename__ = "model_activation"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"))
    previous_model_id: Mapped[str | None] = mapped_column(ForeignKey("ml_model.id"))
    by: Mapped[str]
    reason: Mapped[str] = mapped_column(Text)
    activated_at: Mapped[datetime]


class ModelMetric(Base):
    """One figure of a version, overall (label empty) or for a label, at the time it was measured."""

    __tablename__ = "model_metric"
    __table_args__ = (Index("ix_model_metric_series", "project_id", "name", "label", "recorded_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    model_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    label: Mapped[str]
    value: Mapped[float]
    support: Mapped[int]
    recorded_at: Mapped[datetime]
