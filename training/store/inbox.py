"""The webhook inbox: a queue whose rows are claimed by lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config.errors import Conflict, NotFound
from training.store.tables.inbox import Event, EventStatus


class Inbox:
    """Events wait here until they are done, or parked with their reason."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, event: Event) -> bool:
        """Put an event in; False where the same body came before."""
        try:
            with self._session.begin_nested():
                self._session.add(event)
        except IntegrityError:
            return False
        return True

    def get(self, event_id: int) -> Event:
        """The event. Raises NotFound."""
        event = self._session.get(Event, event_id)
        if event is None:
            raise NotFound(f"no event {event_id} in the inbox; `spanloop sync events` lists those there are")
        return event

    def claim(self, *, token: str, limit: int, lease: timedelta, now: datetime) -> Sequence[Event]:
        """Claim up to `limit` events, oldest first: those that wait and those whose lease ran out."""
        due = or_(Event.status == EventStatus.PENDING, Event.status == EventStatus.LEASED)
        ids = list(
            self._session.scalars(
                select(Event.id)
                .where(due, Event.available_at <= now)
                .order_by(Event.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
        )
        self._session.execute(
            update(Event)
            .where(Event.id.in_(ids))
            .values(status=EventStatus.LEASED, lease_token=token, available_at=now + lease)
        )
        return self._session.scalars(select(Event).where(Event.id.in_(ids)).order_by(Event.id)).all()

    def held(self, event_id: int, token: str) -> Event | None:
        """The event if this lease still holds it, locked until the unit of work ends."""
        return self._session.scalar(
            select(Event)
            .where(Event.id == event_id, Event.lease_token == token, Event.status == EventStatus.LEASED)
            .with_for_update()
        )

    def count_due(self, now: datetime) -> int:
        """How many events could be claimed now."""
        due = Event.status.in_([EventStatus.PENDING, EventStatus.LEASED])
        return self._session.scalar(select(func.count()).where(due, Event.available_at <= now)) or 0

    def count_by_status(self) -> dict[str, int]:
        """How many events stand where."""
        rows = self._session.execute(select(Event.status, func.count()).group_by(Event.status))
        return {str(status): number for status, number in rows}

    def list(self, *, status: EventStatus, limit: int = 100) -> Sequence[Event]:
        """Events of a status, newest first."""
        return self._session.scalars(
            select(Event).where(Event.status == status).order_by(Event.id.desc()).limit(limit)
        ).all()

    def parked_ids(self) -> Sequence[int]:
        """The parked events, oldest first."""
        query = select(Event.id).where(Event.status == EventStatus.PARKED).order_by(Event.id)
        return self._session.scalars(query).all()

    def replay(self, event_id: int, now: datetime) -> Event:
        """Put a parked event back into the queue with a clean count of failures. Raises NotFound, Conflict."""
        event = self._get_parked(event_id)
        event.status, event.attempts, event.error, event.lease_token = EventStatus.PENDING, 0, None, None
        event.available_at = now
        return event

    def discard(self, event_id: int) -> Event:
        """Call a parked event done, with the reason why nothing came of it. Raises NotFound, Conflict."""
        event = self._get_parked(event_id)
        event.status = EventStatus.DONE
        return event

    def _get_parked(self, event_id: int) -> Event:
        event = self.get(event_id)
        if event.status != EventStatus.PARKED:
            raise Conflict(
                f"event {event_id} is {event.status}; only parked events can be replayed or discarded",
                status=event.status,
            )
        return event

    def delete_done(self, before: datetime, *, limit: int = 5000) -> int:
        """Forget up to `limit` events that were done long ago; returns how many. Parked ones stay."""
        done = select(Event.id).where(Event.status == EventStatus.DONE, Event.received_at < before).limit(limit)
        gone = self._session.execute(delete(Event).where(Event.id.in_(done)).returning(Event.id))
        return len(gone.all())
