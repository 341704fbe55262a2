"""The inbox, emptied: each event is claimed, completed over the network, and put into the store with its mark."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from config.errors import (
    Conflict,
    InvalidInput,
    LabelStudioUnavailable,
    NotFound,
    SpanloopError,
)
from config.log import get_logger
from sync.client import LabelStudio
from sync.events import (
    AnnotationsDeleted,
    AnnotationsSaved,
    Event,
    Ignored,
    ProjectChanged,
    ProjectDeleted,
    PullNeeded,
    TasksDeleted,
    TasksSaved,
    TrainingRequested,
    parse_event,
)
from sync.mirror import Gathered, Gatherer, record, record_project
from sync.reconcile import reconcile
from training.examples.intake import record_deletions, record_task_deletions
from training.store.tables.inbox import Event as InboxEvent
from training.store.tables.inbox import EventStatus
from training.store.tables.projects import Project
from training.store.unit_of_work import Store, UnitOfWork

log = get_logger(__name__)

Clock = Callable[[], datetime]
RequestTraining = Callable[[UnitOfWork, Project], None]
"""Asks for a run because somebody pressed "Start Training"; may raise Conflict where one is under way."""

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=10)
NO_REPAIR = (InvalidInput, NotFound)
"""Errors that trying again cannot mend."""


@dataclass(frozen=True, slots=True)
class DrainPolicy:
    """How many events at a time, how long a claim holds, and after how many failures an event is parked."""

    batch: int
    lease: timedelta
    attempts: int


@dataclass(slots=True)
class Drained:
    """What became of the claimed events; `unavailable` says that Label Studio was needed and not there."""

    done: int = 0
    parked: int = 0
    failed: int = 0
    unavailable: bool = False


def drain(
    store: Store,
    client: LabelStudio,
    *,
    policy: DrainPolicy,
    token: str,
    clock: Clock,
    request_training: RequestTraining,
) -> Drained:
    """Work off one batch of events; `token` names this claim. May run beside other drains.

    An event that fails comes again after a growing pause, and is parked with its reason after some failures. Where
    Label Studio cannot be reached, what is left of the batch goes back as it was.
    """
    with store.write() as uow:
        events = list(uow.inbox.claim(token=token, limit=policy.batch, lease=policy.lease, now=clock()))
        uow.commit()
    drained = Drained()
    gatherers: dict[int, Gatherer] = {}
    for at, event in enumerate(events):
        try:
            _work_off(store, client, event, gatherers, token=token, clock=clock, request_training=request_training)
            drained.done += 1
        except LabelStudioUnavailable as error:
            _give_back(store, events[at:], token=token, now=clock())
            log.warning("label_studio_unavailable", waiting=len(events) - at, reason=error.message)
            drained.unavailable = True
            break
        except SpanloopError as error:
            _note_failure(
                store, event, error.message, drained, policy, token, clock(), final=isinstance(error, NO_REPAIR)
            )
        except Exception as error:  # noqa: BLE001 (the edge of one event: the others must not wait for it)
            reason = _name_crash(error)
            log.error("event_crashed", event_id=event.id, action=event.action, reason=reason)
            _note_failure(store, event, reason, drained, policy, token, clock(), final=False)
    return drained


def _work_off(
    store: Store,
    client: LabelStudio,
    row: InboxEvent,
    gatherers: dict[int, Gatherer],
    *,
    token: str,
    clock: Clock,
    request_training: RequestTraining,
) -> None:
    event = parse_event(_body(row))
    project = _find_project(store, row.project_id)
    gathered = None
    if isinstance(event, PullNeeded):
        reconcile(store, client, project.id, full=event.full, clock=clock)
    elif isinstance(event, AnnotationsSaved | TasksSaved):
        gatherer = gatherers.setdefault(project.id, Gatherer(store, client, project))
        gathered = gatherer.gather(event.tasks, event.annotations if isinstance(event, AnnotationsSaved) else ())
    elif isinstance(event, ProjectChanged):
        gatherers.pop(project.id, None)  # it reads spans by the labelling config that held before
    with store.write() as uow:
        held = uow.inbox.held(row.id, token)
        if held is None:  # the lease ran out, and somebody else has the event
            return
        _apply(
            uow,
            project.id,
            event,
            gathered,
            received_at=row.received_at,
            now=clock(),
            request_training=request_training,
        )
        held.status, held.error, held.lease_token = EventStatus.DONE, _remark(event), None
        uow.commit()


def _apply(
    uow: UnitOfWork,
    project_id: int,
    event: Event,
    gathered: Gathered | None,
    *,
    received_at: datetime,
    now: datetime,
    request_training: RequestTraining,
) -> None:
    project = uow.projects.lock(project_id)
    match event:
        case AnnotationsSaved() | TasksSaved() if gathered is not None:
            record(uow, project, gathered, now=now)
        case AnnotationsDeleted(ids):
            record_deletions(uow, project, ids, now=now, told_at=received_at)
        case TasksDeleted(ids):
            record_task_deletions(uow, project, ids, now=received_at)
        case ProjectChanged(stored):
            record_project(uow, project, stored)
        case ProjectDeleted():
            project.deleted_at = now
        case TrainingRequested():
            _request(uow, project, request_training)


def _request(uow: UnitOfWork, project: Project, request_training: RequestTraining) -> None:
    try:
        request_training(uow, project)
    except Conflict as error:
        log.info("training_not_requested", project_id=project.id, reason=error.message)


def _body(row: InboxEvent) -> Mapping[str, Any]:
    body = json.loads(row.body)
    if not isinstance(body, dict):
        raise InvalidInput("the body is no object")
    return body


def _find_project(store: Store, project_id: int | None) -> Project:
    if project_id is None:
        raise NotFound(
            "the event names no project; `spanloop project adopt ID` gives the project an address of its own"
        )
    with store.read() as uow:
        project = uow.projects.find(project_id)
    if project is None or project.deleted_at is not None:
        raise NotFound(
            f"project {project_id} is not known here: run `spanloop project adopt {project_id}`, "
            "which also pulls what came meanwhile"
        )
    return project


def _name_crash(error: Exception) -> str:
    """Where a fault of ours came up; its message may hold somebody's text, so it stays out."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.name}, {Path(place.filename).name} line {place.lineno}"


def _remark(event: Event) -> str | None:
    return event.reason if isinstance(event, Ignored) else None


def _give_back(store: Store, events: list[InboxEvent], *, token: str, now: datetime) -> None:
    with store.write() as uow:
        for event in events:
            held = uow.inbox.held(event.id, token)
            if held is not None:
                held.status, held.lease_token = EventStatus.PENDING, None
                held.available_at = now + FIRST_PAUSE
        uow.commit()


def _note_failure(
    store: Store,
    event: InboxEvent,
    reason: str,
    drained: Drained,
    policy: DrainPolicy,
    token: str,
    now: datetime,
    *,
    final: bool,
) -> None:
    with store.write() as uow:
        held = uow.inbox.held(event.id, token)
        if held is None:
            return
        held.attempts += 1
        held.error, held.lease_token = reason, None
        if final or held.attempts >= policy.attempts:
            held.status = EventStatus.PARKED
            drained.parked += 1
        else:
            held.status = EventStatus.PENDING
            held.available_at = now + min(FIRST_PAUSE * 2 ** (held.attempts - 1), LONGEST_PAUSE)
            drained.failed += 1
        status, attempts = held.status, held.attempts
        uow.commit()
    log.warning(
        "event_failed",
        event_id=event.id,
        action=event.action,
        project_id=event.project_id,
        attempts=attempts,
        status=status,
        reason=reason,
    )
