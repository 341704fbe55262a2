"""API tokens, and the answers that were given under an idempotency key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config.errors import NotFound
from training.store.tables.access import ApiToken, IdempotencyKey

# Built once: every request asks for its token.
_BY_HASH = select(ApiToken).where(ApiToken.hash == bindparam("hash"), ApiToken.revoked_at.is_(None))


class Tokens:
    """Who may call the REST API."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, token: ApiToken) -> ApiToken:
        """Put a new token in."""
        self._session.add(token)
        self._session.flush()
        return token

    def by_hash(self, token_hash: str) -> ApiToken | None:
        """The token with this hash, unless it was revoked."""
        return self._session.scalar(_BY_HASH, {"hash": token_hash})

    def by_name(self, name: str) -> ApiToken | None:
        """The token of this name that was not revoked."""
        return self._session.scalar(select(ApiToken).where(ApiToken.name == name, ApiToken.revoked_at.is_(None)))

    def all(self) -> Sequence[ApiToken]:
        """Every token, also revoked ones, oldest first."""
        return self._session.scalars(select(ApiToken).order_by(ApiToken.id)).all()

    def note_use(self, token_id: int, *, now: datetime, unless_since: datetime) -> None:
        """Note when the token was last used, unless that was noted since then already."""
        self._session.execute(
            update(ApiToken)
            .where(ApiToken.id == token_id)
            .where(ApiToken.last_used_at.is_(None) | (ApiToken.last_used_at < unless_since))
            .values(last_used_at=now)
        )

    def revoke(self, name: str, *, now: datetime) -> ApiToken:
        """Let the token of this name open nothing any more. Raises NotFound."""
        token = self.by_name(name)
        if token is None:
            raise NotFound(f"no token {name!r:.120} is in use; `spanloop tokens list` shows those there are")
        token.revoked_at = now
        return token


class Answers:
    """What was answered under which idempotency key."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, token_id: int, key: str) -> IdempotencyKey | None:
        """What was answered under the key, or None."""
        return self._session.get(IdempotencyKey, (token_id, key))

    def claim(self, token_id: int, key: str, *, request_hash: str, now: datetime) -> IdempotencyKey | None:
        """Take the key for this unit of work; where it was taken before, the row that holds the answer.

        On PostgreSQL a second request with the key waits here until the first one's unit of work has ended.
        """
        row = IdempotencyKey(token_id=token_id, key=key, request_hash=request_hash, answer={}, created_at=now)
        try:
            with self._session.begin_nested():
                self._session.add(row)
        except IntegrityError:
            return self._session.get_one(IdempotencyKey, (token_id, key))
        return None

    def keep(self, token_id: int, key: str, answer: dict[str, Any]) -> None:
        """Keep the answer under the key that this unit of work took."""
        self._session.get_one(IdempotencyKey, (token_id, key)).answer = answer

    def forget(self, before: datetime) -> int:
        """Let go of the keys taken before this moment; returns how many."""
        rows = self._session.execute(
            delete(IdempotencyKey).where(IdempotencyKey.created_at < before).returning(IdempotencyKey.key)
        )
        return len(rows.all())
