"""Who may call the REST API, and the answers kept for repeated calls."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from training.store.tables.base import Base, Json


class ApiToken(Base):
    """Who may call the REST API, as a hash of the token; `contributor_id` is the token's name in the statistics."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    contributor_id: Mapped[int] = mapped_column(ForeignKey("contributor.id"))
    requests_per_minute: Mapped[int | None]
    body_bytes: Mapped[int | None]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """An answer that was given once, and is given again to the same request under the same key."""

    __tablename__ = "idempotency_key"

    token_id: Mapped[int] = mapped_column(ForeignKey("api_token.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    answer: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(index=True)
