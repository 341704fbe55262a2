"""Proposals on their way to annotators: a queue with one row a text, claimed by lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import Insert, case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from training.store.tables.proposals import WaitingProposal


class Proposals:
    """Texts whose proposed spans are yet to be shown in Label Studio. The caller holds the project's lock."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def queue(self, project_id: int, text_id: int, *, revision: str, at: datetime) -> None:
        """Let a text wait from this moment on; one that waits or is claimed already keeps its time."""
        self._session.flush()
        values = {"project_id": project_id, "text_id": text_id, "revision": revision, "available_at": at, "attempts": 0}
        self._session.connection().execute(_upsert(self._session.get_bind().dialect.name), values)

    def claim(self, project_id: int, *, limit: int, lease: timedelta, now: datetime) -> Sequence[WaitingProposal]:
        """Take up to `limit` texts whose time has come, longest waiting first."""
        due = WaitingProposal.available_at <= now
        rows = self._session.scalars(
            select(WaitingProposal)
            .where(WaitingProposal.project_id == project_id, due)
            .order_by(WaitingProposal.available_at, WaitingProposal.text_id)
            .limit(limit)
        ).all()
        for row in rows:
            row.available_at = now + lease
        self._session.flush()
        return rows

    def settle(self, text_id: int, *, revision: str, now: datetime) -> None:
        """Note that this revision of a text's proposal is shown; what was proposed since then comes up again."""
        row = self._session.get(WaitingProposal, text_id, populate_existing=True)
        if row is not None and row.revision == revision:
            self._session.delete(row)
        elif row is not None:
            row.available_at = now
        self._session.flush()

    def put_off(self, text_id: int, *, until: datetime, error: str | None) -> None:
        """Let a text wait again until then; with an error, a failure of its own is counted."""
        row = self._session.get(WaitingProposal, text_id, populate_existing=True)
        if row is not None:
            row.available_at = until
            row.attempts, row.error = (row.attempts + 1, error) if error is not None else (row.attempts, row.error)
            self._session.flush()

    def drop(self, text_id: int) -> None:
        """Let a text wait no more."""
        row = self._session.get(WaitingProposal, text_id)
        if row is not None:
            self._session.delete(row)
            self._session.flush()

    def is_due(self, project_id: int, now: datetime) -> bool:
        """Whether a text could be claimed now."""
        query = select(WaitingProposal.text_id).where(WaitingProposal.project_id == project_id)
        return self._session.scalar(query.where(WaitingProposal.available_at <= now).limit(1)) is not None

    def count(self, project_id: int) -> int:
        """How many texts wait, claimed ones too."""
        return self._session.scalar(select(func.count()).where(WaitingProposal.project_id == project_id)) or 0


@cache
def _upsert(dialect: str) -> Insert:
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(WaitingProposal)
    given, kept = insert.excluded, WaitingProposal
    is_same = kept.revision == given.revision
    return insert.on_conflict_do_update(
        index_elements=[kept.text_id],
        set_={
            "revision": given.revision,
            "attempts": case((is_same, kept.attempts), else_=0),
            "error": case((is_same, kept.error), else_=None),
            "available_at": case((kept.available_at > given.available_at, kept.available_at), else_=given.available_at),
        },
    )
