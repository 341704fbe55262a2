"""Training examples."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from training.store.database import JSON_DOCUMENT
from training.store.tables.base import Base, JsonRows, new_id


class Source(StrEnum):
    """Where a training example came from."""

    USER_FEEDBACK = "user_feedback"
    MANUAL = "manual"
    IMPORTED = "imported"
    LABEL_STUDIO = "label_studio"


class TrainingDataset(Base):
    """One text with its spans. Only verified ones train; `counted_run_id` is the run that took this revision.

    `classification_type` is what somebody said of the text, or else what its spans say; `given_type` is the former.
    `groups` are that and every span's group; the store fills them in, and the text's `part`
    (`training.store.counting`).
    """

    __tablename__ = "training_dataset"
    __table_args__ = (
        UniqueConstraint("project_id", "text_id"),
        Index("ix_training_dataset_pending", "project_id", "verified", "counted_run_id"),
        Index("ix_training_dataset_page", "project_id", "created_at", "id"),
        Index("ix_training_dataset_page_verified", "project_id", "verified", "created_at", "id"),
        Index("ix_training_dataset_page_source", "project_id", "source", "created_at", "id"),
        Index("ix_training_dataset_page_both", "project_id", "verified", "source", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    text_id: Mapped[int] = mapped_column(ForeignKey("text.id"))
    entities: Mapped[JsonRows]
    problems: Mapped[JsonRows]
    classification_type: Mapped[str]
    given_type: Mapped[str | None]
    groups: Mapped[list[str]] = mapped_column(JSON_DOCUMENT, default=list)
    part: Mapped[str] = mapped_column(String(16), default="")
    source: Mapped[str] = mapped_column(String(16))
    verified: Mapped[bool]
    verified_at: Mapped[datetime | None]
    annotation_id: Mapped[int | None]
    revision: Mapped[str] = mapped_column(String(64))
    conflict: Mapped[str | None] = mapped_column(Text)
    usage_count: Mapped[int]
    counted_run_id: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ExampleGroup(Base):
    """A group that an example belongs to, in the order of lists; `verified` and `source` are the example's."""

    __tablename__ = "example_group"
    __table_args__ = (
        Index("ix_example_group_verified", "project_id", "name", "verified", "created_at", "example_id"),
        Index("ix_example_group_source", "project_id", "name", "source", "created_at", "example_id"),
        Index("ix_example_group_both", "project_id", "name", "verified", "source", "created_at", "example_id"),
    )

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    example_id: Mapped[str] = mapped_column(ForeignKey("training_dataset.id"), primary_key=True)
    verified: Mapped[bool]
    source: Mapped[str] = mapped_column(String(16))
