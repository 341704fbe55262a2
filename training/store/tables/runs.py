"""Training runs and what each of them learnt from."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, Json, new_id


class RunStatus(StrEnum):
    """Where a run stands. `waiting` is for test texts; the last three are final."""

    PENDING = "pending"
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_RUNS = (RunStatus.PENDING, RunStatus.WAITING, RunStatus.RUNNING)


RUN_MOVES: dict[RunStatus, tuple[RunStatus, ...]] = {
    RunStatus.PENDING: (RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED),
    RunStatus.WAITING: (RunStatus.PENDING, RunStatus.FAILED, RunStatus.CANCELLED),
    RunStatus.RUNNING: (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.WAITING),
    RunStatus.COMPLETED: (),
    RunStatus.FAILED: (),
    RunStatus.CANCELLED: (),
}


class TrainingBatch(Base):
    """One run, from request to verdict, with its progress."""

    __tablename__ = "training_batch"
    __table_args__ = (
        # One active run a project, held by the database whatever the queue does.
        Index(
            "uq_training_batch_active",
            "project_id",
            unique=True,
            sqlite_where=text("status IN ('pending', 'waiting', 'running')"),
            postgresql_where=text("status IN ('pending', 'waiting', 'running')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    status: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[str]
    promote: Mapped[bool]
    configuration: Mapped[Json]
    cancel_requested: Mapped[bool]
    worker: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]
    epoch: Mapped[int | None]
    step: Mapped[int | None]
    loss: Mapped[float | None]
    dev_f1: Mapped[float | None]
    seconds_left: Mapped[float | None]
    snapshot_hash: Mapped[str | None] = mapped_column(String(64))
    train_texts: Mapped[int | None]
    dev_texts: Mapped[int | None]
    test_texts: Mapped[int | None]
    verified_texts: Mapped[int | None]
    training_seconds: Mapped[float | None]
    metrics: Mapped[Json | None]
    verdict: Mapped[Json | None]
    model_id: Mapped[str | None] = mapped_column(ForeignKey("ml_model.id"))
    error_code: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Incorporation(Base):
    """A run took this revision of an example, as part of its training or of its evaluation."""

    __tablename__ = "incorporation"

    run_id: Mapped[str] = mapped_column(ForeignKey("training_batch.id"), primary_key=True)
    example_id: Mapped[str] = mapped_column(ForeignKey("training_dataset.id"), primary_key=True)
    revision: Mapped[str] = mapped_column(String(64))
    part: Mapped[str] = mapped_column(String(16))
