"""Imports and exports that were asked for, claimed by lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from config.errors import NotFound
from training.store.tables.transfers import OPEN_TRANSFERS, Transfer, TransferKind, TransferStatus


class Transfers:
    """Imports and exports of all projects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, transfer: Transfer) -> Transfer:
        """Put a new one in."""
        self._session.add(transfer)
        self._session.flush()
        return transfer

    def get(self, kind: TransferKind, transfer_id: str) -> Transfer:
        """The import or export of this id. Raises NotFound."""
        found = self._session.get(Transfer, transfer_id, populate_existing=True)
        if found is None or found.kind != kind:
            raise NotFound(f"there is no {kind} {transfer_id}; GET {kind}s/ lists those there are")
        return found

    def of_project(self, project_id: int, kind: TransferKind, *, limit: int, offset: int) -> Sequence[Transfer]:
        """A page of the project's imports or exports, newest first."""
        query = select(Transfer).where(Transfer.project_id == project_id, Transfer.kind == kind)
        return self._session.scalars(
            query.order_by(Transfer.created_at.desc(), Transfer.id.desc()).limit(limit).offset(offset)
        ).all()

    def count(self, project_id: int, kind: TransferKind) -> int:
        """How many imports or exports the project has."""
        query = select(func.count()).where(Transfer.project_id == project_id, Transfer.kind == kind)
        return self._session.scalar(query) or 0

    def claim(self, transfer_id: str, *, lease: timedelta, now: datetime) -> Transfer | None:
        """Take an open transfer whose time has come; None where it is done, or somebody else has it."""
        claimed = self._session.execute(
            update(Transfer)
            .where(Transfer.id == transfer_id, Transfer.status.in_(OPEN_TRANSFERS), Transfer.available_at <= now)
            .values(status=TransferStatus.RUNNING, available_at=now + lease, started_at=now, done=0)
            .returning(Transfer.id)
        ).all()
        return self._session.get(Transfer, transfer_id, populate_existing=True) if claimed else None

    def progress(self, transfer_id: str, *, done: int, until: datetime) -> None:
        """Note how far a transfer is, which holds it until then."""
        self._session.execute(update(Transfer).where(Transfer.id == transfer_id).values(done=done, available_at=until))

    def due(self, now: datetime) -> Sequence[str]:
        """The ids of open transfers that nobody works on, oldest first."""
        due = select(Transfer.id).where(Transfer.status.in_(OPEN_TRANSFERS), Transfer.available_at <= now)
        return self._session.scalars(due.order_by(Transfer.created_at)).all()

    def outdated(self, before: datetime, *, limit: int = 100) -> Sequence[Transfer]:
        """Finished transfers with files that ended before this moment."""
        old = select(Transfer).where(Transfer.status.not_in(OPEN_TRANSFERS), Transfer.finished_at < before)
        return [row for row in self._session.scalars(old.limit(limit)) if row.source or row.outcome]
