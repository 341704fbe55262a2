"""Due times, claimed by compare-and-set."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from training.store.tables.projects import DueTime


class Schedule:
    """What is due when. Two schedulers are harmless: one of them wins each claim."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def claim(self, name: str, project_id: int, *, every: timedelta, now: datetime) -> bool:
        """True for exactly one caller when `name` is due; it is due again `every` from now: misses are made up once."""
        row = self._session.get(DueTime, (name, project_id), populate_existing=True)
        if row is None:
            try:
                with self._session.begin_nested():
                    self._session.add(DueTime(name=name, project_id=project_id, due_at=now + every))
            except IntegrityError:
                return False
            return True
        if row.due_at > now:
            return False
        claimed = self._session.execute(
            update(DueTime)
            .where(DueTime.name == name, DueTime.project_id == project_id, DueTime.due_at == row.due_at)
            .values(due_at=now + every)
            .returning(DueTime.name)
        ).all()
        return bool(claimed)
