"""Who a token stands for, and the making and revoking of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from config.errors import Conflict, InvalidInput, Unauthorized
from training.access import Role, check_token_name, hash_token, write_token
from training.store.tables.access import ApiToken
from training.store.unit_of_work import Store, UnitOfWork

CONTRIBUTOR_KIND = "token"
USE_NOTED_EVERY = timedelta(minutes=1)
SMALLEST_BODY = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: the token, and the contributor that it is in the statistics."""

    token_id: int
    name: str
    role: Role
    contributor_id: int
    requests_per_minute: int | None
    body_bytes: int | None


def admit(store: Store, token: str, *, now: datetime) -> Caller:
    """The caller that this token stands for; its last use is noted, once a minute at most. Raises Unauthorized."""
    with store.read() as uow:
        row = uow.tokens.by_hash(hash_token(token))
    if row is None:
        raise Unauthorized(
            "this token is not known or was revoked; `spanloop tokens list` shows those in use, "
            "`spanloop tokens create` makes one"
        )
    if row.last_used_at is None or now - row.last_used_at >= USE_NOTED_EVERY:
        with store.write() as uow:
            uow.tokens.note_use(row.id, now=now, unless_since=now - USE_NOTED_EVERY)
            uow.commit()
    return Caller(row.id, row.name, Role(row.role), row.contributor_id, row.requests_per_minute, row.body_bytes)


def create_token(
    uow: UnitOfWork,
    name: str,
    role: Role,
    *,
    secret: str,
    requests_per_minute: int | None = None,
    body_bytes: int | None = None,
    now: datetime,
) -> str:
    """Make a token from 256 random bits in text; it is given back once, and only its hash is kept.

    Its limits, where it has some, stand in place of the installation's. A token made under the name of a revoked one
    is the same contributor. Raises Conflict where the name is in use.
    """
    check_token_name(name)
    if requests_per_minute is not None and requests_per_minute < 1:
        raise InvalidInput(f"{requests_per_minute} requests a minute is too few; give 1 or more")
    if body_bytes is not None and body_bytes < SMALLEST_BODY:
        raise InvalidInput(f"a body of {body_bytes} bytes is too small; give {SMALLEST_BODY} or more")
    if uow.tokens.by_name(name) is not None:
        raise Conflict(f"a token {name!r} is in use; take another name, or `spanloop tokens revoke` it first")
    token = write_token(secret)
    uow.tokens.add(
        ApiToken(
            name=name,
            role=role,
            hash=hash_token(token),
            contributor_id=uow.projects.contributor(CONTRIBUTOR_KIND, name, name).id,
            requests_per_minute=requests_per_minute,
            body_bytes=body_bytes,
            created_at=now,
            last_used_at=None,
            revoked_at=None,
        )
    )
    return token
