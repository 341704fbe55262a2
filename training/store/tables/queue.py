"""What is on its way into Label Studio's queue."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, JsonRows


class PoolCluster(Base):
    """A cluster of a project's pool; `centre` holds little-endian 32-bit floats. Its number keeps its meaning."""

    __tablename__ = "pool_cluster"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    centre: Mapped[bytes] = mapped_column(LargeBinary)


class QueueEntry(Base):
    """What a version says of a waiting task, until Label Studio has it; without a score it is still being asked.

    Whoever works on it holds `claimed_by` until `claimed_until`; then another may take it.
    """

    __tablename__ = "queue_entry"

    model_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    spans: Mapped[JsonRows]
    score: Mapped[float | None]
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_until: Mapped[datetime | None]
