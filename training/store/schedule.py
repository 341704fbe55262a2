"""Due times, claimed by compare-and-set."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from training.store.tables.projects import DueTime


class Schedule:
    """What is due when. Two schedulers are harmless: one of them wins each claim."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def claim(self, name: str, project_id: int, *, every: timedelta, now: datetime) -> bool:
        """True for exactly one caller when `name` is due; it is due again `every` from now: misses are made up once."""
        row = self._find(name, project_id)
        if row is None:
            return self._add(name, project_id, now + every)
        return self._claim(row, now + every, now=now)

    def claim_planned(self, name: str, project_id: int, *, next_due: datetime, now: datetime) -> bool:
        """As `claim`, for what has times of its own: at first sight it is not due, but due at `next_due`."""
        row = self._find(name, project_id)
        if row is None:
            self._add(name, project_id, next_due)
            return False
        return self._claim(row, next_due, now=now)

    def is_known(self, name: str, project_id: int) -> bool:
        """Whether `name` was ever claimed."""
        return self._find(name, project_id) is not None

    def forget(self, name: str, project_id: int) -> None:
        """Let `name` be as if it had never been claimed."""
        self._session.execute(delete(DueTime).where(DueTime.name == name, DueTime.project_id == project_id))

    def due_at(self, name: str, project_id: int) -> datetime | None:
        """When `name` is due next; None where it was never claimed."""
        row = self._find(name, project_id)
        return None if row is None else row.due_at

    def _find(self, name: str, project_id: int) -> DueTime | None:
        return self._session.get(DueTime, (name, project_id), populate_existing=True)

    def _add(self, name: str, project_id: int, due_at: datetime) -> bool:
        try:
            with self._session.begin_nested():
                self._session.add(DueTime(name=name, project_id=project_id, due_at=due_at))
        except IntegrityError:
            return False
        return True

    def _claim(self, row: DueTime, due_at: datetime, *, now: datetime) -> bool:
        if row.due_at > now:
            return False
        claimed = self._session.execute(
            update(DueTime)
            .where(DueTime.name == row.name, DueTime.project_id == row.project_id, DueTime.due_at == row.due_at)
            .values(due_at=due_at)
            .returning(DueTime.name)
        ).all()
        return bool(claimed)
