"""A webhook body, kept: one insert, no network, nothing else (rule 1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.errors import InvalidInput
from sync.events import action_of, project_of
from training.store.tables.inbox import Event, EventStatus
from training.store.unit_of_work import Store


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a body; `event_id` is None where the same body was received before."""

    event_id: int | None
    project_id: int | None
    duplicate: bool


def receive(store: Store, body: bytes, project_id: int | None, *, now: datetime) -> Received:
    """Keep a webhook body for the drain.

    `project_id` is that of the address it came to; the body's own holds where it names one. A body that tells of
    tasks or annotations is kept once however often it comes. Raises InvalidInput for what is no webhook body.
    """
    parsed, text = _parse(body)
    action = action_of(parsed)
    named = project_of(parsed)
    project_id = project_id if named is None else named
    event = Event(
        project_id=project_id,
        dedupe_key=_dedupe_key(parsed, body, project_id, now),
        action=action[:64],
        body=text,
        received_at=now,
        status=EventStatus.PENDING,
        attempts=0,
        available_at=now,
    )
    with store.write() as uow:
        is_new = uow.inbox.add(event)
        uow.commit()
    return Received(event.id if is_new else None, project_id, duplicate=not is_new)


def _parse(body: bytes) -> tuple[Mapping[str, Any], str]:
    try:
        text = body.decode("utf-8")
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the webhook body of {len(body)} bytes is not JSON in UTF-8") from error
    if not isinstance(parsed, dict):
        raise InvalidInput(f"the webhook body is a JSON {type(parsed).__name__}, not an object")
    return parsed, text


def _dedupe_key(parsed: Mapping[str, Any], body: bytes, project_id: int | None, now: datetime) -> str:
    key = hashlib.sha256(f"{project_id}:".encode() + body)
    if not any(name in parsed for name in ("annotation", "annotations", "task", "tasks")):
        # "Start Training" pressed twice, or a body without payload, reads the same each time and means it each time.
        key.update(now.isoformat().encode())
    return key.hexdigest()
