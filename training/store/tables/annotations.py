"""What annotators did, and the predictions they were shown."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, JsonRows


class Contributor(Base):
    """One integer id for annotators and for users of API tokens alike."""

    __tablename__ = "contributor"
    __table_args__ = (UniqueConstraint("kind", "external_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    external_key: Mapped[str]
    username: Mapped[str]


class Annotation(Base):
    """A mirrored annotation. `deleted` is final: no update that arrives later undoes it.

    `on_behalf_of_id` is the contributor for whom we made it: Label Studio knows it as our own user's.
    """

    __tablename__ = "annotation"
    __table_args__ = (Index("ix_annotation_text", "project_id", "text_id"),)

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int | None]
    text_id: Mapped[int | None] = mapped_column(ForeignKey("text.id"))
    contributor_id: Mapped[int | None] = mapped_column(ForeignKey("contributor.id"))
    on_behalf_of_id: Mapped[int | None] = mapped_column(ForeignKey("contributor.id"))
    spans: Mapped[JsonRows]
    problems: Mapped[JsonRows]
    was_cancelled: Mapped[bool]
    ground_truth: Mapped[bool]
    lead_time: Mapped[float | None]
    parent_prediction: Mapped[int | None]
    revision: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted: Mapped[bool]


class PredictionKind(StrEnum):
    """Whether a shown prediction was a model's, or somebody's proposal."""

    MODEL = "model"
    PROPOSAL = "proposal"


class PushedPrediction(Base):
    """A prediction that was put into Label Studio for a task.

    `score` is the version's own; where the queue goes by another one, for a task of its honest slice say, only Label
    Studio has that. `cluster` is the one that it has there.
    """

    __tablename__ = "pushed_prediction"
    __table_args__ = (UniqueConstraint("project_id", "task_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    task_id: Mapped[int]
    model_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"))
    version: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    spans: Mapped[JsonRows]
    score: Mapped[float]
    pushed_at: Mapped[datetime]
    cluster: Mapped[int | None]
