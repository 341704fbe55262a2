"""Texts, their near-duplicate groups, and the tasks that show them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from training.store.database import JSON_DOCUMENT
from training.store.tables.base import Base, JsonRows


class TextGroup(Base):
    """Near-duplicate texts, which share one part for ever."""

    __tablename__ = "text_group"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    part: Mapped[str] = mapped_column(String(16))
    signature: Mapped[bytes] = mapped_column(LargeBinary)


class GroupBand(Base):
    """One key by which a near-duplicate group is found.

    The key comes first: before PostgreSQL has statistics it would search by the project alone, and read all its keys.
    """

    __tablename__ = "group_band"

    band: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("text_group.id"), primary_key=True)


class TextRow(Base):
    """One text of a project, with the part (train, dev, test, set_aside) it got at first sight.

    `cluster` is the number of the pool's cluster that it is nearest to, once the pool has some.
    """

    __tablename__ = "text"
    __table_args__ = (UniqueConstraint("project_id", "hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    hash: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("text_group.id"))
    part: Mapped[str] = mapped_column(String(16))
    bridged_groups: Mapped[list[int]] = mapped_column(JSON_DOCUMENT)
    first_seen_at: Mapped[datetime]
    cluster: Mapped[int | None]


class Task(Base):
    """A mirrored Label Studio task. `proposal` holds spans that came from outside and wait for an annotator.

    `made_for_proposal`: there would be no such task without one; other tasks were in the project before or besides.
    `marks` is what the task's data is to say of it (`training.examples.marks`), `shown_marks` what it says in Label
    Studio.
    """

    __tablename__ = "task"
    __table_args__ = (
        # The tick asks for these often, and there are few.
        Index(
            "ix_task_outdated_marks",
            "project_id",
            "id",
            sqlite_where=text("marks <> shown_marks"),
            postgresql_where=text("marks <> shown_marks"),
        ),
    )

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text_id: Mapped[int | None] = mapped_column(ForeignKey("text.id"), index=True)
    problem: Mapped[str | None]
    proposal: Mapped[JsonRows | None]
    made_for_proposal: Mapped[bool] = mapped_column(default=False, server_default=false())
    is_labeled: Mapped[bool]
    marks: Mapped[str] = mapped_column(default="", server_default="")
    shown_marks: Mapped[str] = mapped_column(default="", server_default="")
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class TextClaim(Base):
    """A text that somebody is about to verify in Label Studio; nobody else does `until` then."""

    __tablename__ = "text_claim"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    until: Mapped[datetime]
