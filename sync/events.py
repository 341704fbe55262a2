"""Webhook bodies, read into events. Field by field as Label Studio 1.23 sends them; tests/payloads holds real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.errors import InvalidInput
from sync.records import (
    StoredAnnotation,
    StoredProject,
    StoredTask,
    read_annotation,
    read_project,
    read_task,
    reference,
)

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AnnotationsSaved:
    """Annotations were submitted, skipped, changed or starred; `tasks` are those they belong to."""

    annotations: tuple[StoredAnnotation, ...]
    tasks: tuple[StoredTask, ...]


@dataclass(frozen=True, slots=True)
class AnnotationsDeleted:
    """Annotations are gone; the body says no more than their ids."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TasksSaved:
    """Tasks came in. Their annotations, if they came with some, are announced by no event at all."""

    tasks: tuple[StoredTask, ...]


@dataclass(frozen=True, slots=True)
class TasksDeleted:
    """Tasks are gone, and their annotations with them."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProjectChanged:
    """Somebody changed the project's settings or its labelling config."""

    project: StoredProject


@dataclass(frozen=True, slots=True)
class ProjectDeleted:
    """The project is gone."""

    id: int


@dataclass(frozen=True, slots=True)
class TrainingRequested:
    """Somebody pressed "Start Training"."""


@dataclass(frozen=True, slots=True)
class PullNeeded:
    """The body only hints at a change; what changed must be asked for, by comparing everything where `full`."""

    reason: str
    full: bool


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing in the loop follows from this event."""

    reason: str


Event = (
    AnnotationsSaved
    | AnnotationsDeleted
    | TasksSaved
    | TasksDeleted
    | ProjectChanged
    | ProjectDeleted
    | TrainingRequested
    | PullNeeded
    | Ignored
)


def parse_event(body: Body) -> Event:
    """What a webhook body says. Raises InvalidInput where a row in it lacks what it must have."""
    action = action_of(body)
    read = _READERS.get(action)
    if read is None:
        return Ignored(f"action {action!r} changes nothing here")
    return read(body) or PullNeeded(f"{action} came without its payload", full=action in _LEAVE_NO_TRACE)


def action_of(body: Body) -> str:
    """The body's action. Raises InvalidInput."""
    action = body.get("action")
    if not isinstance(action, str) or not action:
        raise InvalidInput("the webhook body has no 'action'; only Label Studio's webhooks are understood")
    return action


def project_of(body: Body) -> int | None:
    """The id of the project a body speaks of, if it says so anywhere."""
    rows = [*_rows(body, "annotation", "annotations"), *_rows(body, "task", "tasks")]
    named = [reference(body, "project"), *(reference(row, "project") for row in rows)]
    return next((project_id for project_id in named if project_id is not None), None)


def _read_saved(body: Body) -> Event | None:
    rows = _rows(body, "annotation", "annotations")
    tasks = tuple(read_task(row) for row in _rows(body, "task", "tasks"))
    return AnnotationsSaved(tuple(read_annotation(row) for row in rows), tasks) if rows else None


def _read_annotations_deleted(body: Body) -> Event | None:
    ids = _ids(body, "annotation", "annotations")
    return AnnotationsDeleted(ids) if ids else None


def _read_tasks_saved(body: Body) -> Event | None:
    tasks = tuple(read_task(row) for row in _rows(body, "task", "tasks"))
    return TasksSaved(tasks) if tasks else None


def _read_tasks_deleted(body: Body) -> Event | None:
    ids = _ids(body, "task", "tasks")
    return TasksDeleted(ids) if ids else None


def _read_project_changed(body: Body) -> Event | None:
    row = body.get("project")
    return ProjectChanged(read_project(row)) if isinstance(row, Mapping) else None


def _read_project_deleted(body: Body) -> Event | None:
    project_id = reference(body, "project")
    return None if project_id is None else ProjectDeleted(project_id)


_LEAVE_NO_TRACE = frozenset({"TASKS_DELETED", "ANNOTATIONS_DELETED", "ANNOTATION_DELETED", "PROJECT_DELETED"})
"""Deletions that no listing of changed tasks may show."""

_READERS: dict[str, Callable[[Body], Event | None]] = {
    "ANNOTATION_CREATED": _read_saved,
    "ANNOTATIONS_CREATED": _read_saved,
    "ANNOTATION_UPDATED": _read_saved,
    # Label Studio sends the plural; its documentation names the singular.
    "ANNOTATIONS_DELETED": _read_annotations_deleted,
    "ANNOTATION_DELETED": _read_annotations_deleted,
    "TASKS_CREATED": _read_tasks_saved,
    "TASKS_DELETED": _read_tasks_deleted,
    "PROJECT_UPDATED": _read_project_changed,
    "PROJECT_DELETED": _read_project_deleted,
    "START_TRAINING": lambda _: TrainingRequested(),
}


def _rows(body: Body, *names: str) -> list[Body]:
    """The rows under any of these names, be it one row or a list: batches use both spellings."""
    found: list[Body] = []
    for name in names:
        value = body.get(name)
        found += [row for row in (value if isinstance(value, list) else [value]) if isinstance(row, Mapping)]
    return found


def _ids(body: Body, *names: str) -> tuple[int, ...]:
    ids = [reference({"row": row}, "row") for row in _rows(body, *names)]
    if None in ids:
        raise InvalidInput(f"a row under {' or '.join(names)} has no id")
    return tuple(row_id for row_id in ids if row_id is not None)
