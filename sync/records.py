"""What Label Studio keeps, as plain records; its API and its webhooks both write rows that are read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeGuard

from config.errors import InvalidInput

Row = Mapping[str, Any]

LARGEST_ID = 2**63 - 1
"""The largest number that a database holds as an id."""


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """A prediction as Label Studio keeps it."""

    id: int
    task_id: int
    result: list[Any]
    score: float | None
    model_version: str
    created_at: datetime
    cluster: int | None = None


@dataclass(frozen=True, slots=True)
class StoredAnnotation:
    """An annotation as Label Studio keeps it. `parent_prediction` is the one the annotator was shown."""

    id: int
    task_id: int
    result: list[Any]
    was_cancelled: bool
    ground_truth: bool
    lead_time: float | None
    completed_by: int | None
    parent_prediction: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A task as Label Studio keeps it; annotations and predictions are there only where they were asked for."""

    id: int
    project_id: int
    data: dict[str, Any]
    is_labeled: bool
    updated_at: datetime
    annotations: tuple[StoredAnnotation, ...] = ()
    predictions: tuple[StoredPrediction, ...] = ()
    has_draft: bool = False
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredProject:
    """A project's settings that concern the loop."""

    id: int
    title: str
    label_config: str
    model_version: str
    sampling: str
    show_collab_predictions: bool
    evaluate_predictions_automatically: bool
    maximum_annotations: int


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of a project. `headers` may hold a credential, so they stay out of its printed form."""

    id: int
    project_id: int | None
    url: str
    is_active: bool
    send_payload: bool
    send_for_all_actions: bool
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Backend:
    """A connected ML backend."""

    id: int
    project_id: int
    url: str
    title: str
    auth_method: str
    state: str
    error: str | None


@dataclass(frozen=True, slots=True)
class View:
    """A tab of the Data Manager; `data` is Label Studio's own description of its filters and its order."""

    id: int
    title: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a login."""

    id: int
    email: str


def read_prediction(row: Row) -> StoredPrediction:
    """A prediction from Label Studio's row. Raises InvalidInput."""
    return StoredPrediction(
        id=whole(row, "id"),
        task_id=whole(row, "task"),
        result=_items(row, "result"),
        score=_number(row, "score"),
        model_version=str(row.get("model_version") or ""),
        created_at=moment(row, "created_at"),
        cluster=reference(row, "cluster"),
    )


def read_annotation(row: Row) -> StoredAnnotation:
    """An annotation from Label Studio's row. Raises InvalidInput."""
    return StoredAnnotation(
        id=whole(row, "id"),
        task_id=whole(row, "task"),
        result=_items(row, "result"),
        was_cancelled=bool(row.get("was_cancelled")),
        ground_truth=bool(row.get("ground_truth")),
        lead_time=_number(row, "lead_time"),
        completed_by=reference(row, "completed_by"),
        parent_prediction=reference(row, "parent_prediction"),
        created_at=moment(row, "created_at"),
        updated_at=moment(row, "updated_at"),
    )


def read_task(row: Row) -> StoredTask:
    """A task from Label Studio's row, with the annotations and predictions it holds. Raises InvalidInput."""
    data = row.get("data")
    if not isinstance(data, dict):
        raise InvalidInput(f"a row of Label Studio lacks the object 'data'; it holds {_fields(row)}")
    return StoredTask(
        id=whole(row, "id"),
        project_id=whole(row, "project"),
        data=data,
        is_labeled=bool(row.get("is_labeled")),
        updated_at=moment(row, "updated_at"),
        annotations=tuple(read_annotation(a) for a in _rows(row, "annotations")),
        predictions=tuple(read_prediction(p) for p in _rows(row, "predictions")),
        has_draft=bool(row.get("drafts") or row.get("draft_exists")),
        created_at=moment(row, "created_at") if row.get("created_at") else None,
    )


def read_project(row: Row) -> StoredProject:
    """A project from Label Studio's row. Raises InvalidInput."""
    return StoredProject(
        id=whole(row, "id"),
        title=str(row.get("title") or ""),
        label_config=str(row.get("label_config") or ""),
        model_version=str(row.get("model_version") or ""),
        sampling=str(row.get("sampling") or ""),
        show_collab_predictions=bool(row.get("show_collab_predictions")),
        evaluate_predictions_automatically=bool(row.get("evaluate_predictions_automatically")),
        maximum_annotations=int(row.get("maximum_annotations") or 1),
    )


def read_user(row: Row) -> User:
    """A user from Label Studio's row. Raises InvalidInput."""
    return User(id=whole(row, "id"), email=str(row.get("email") or row.get("username") or ""))


def read_webhook(row: Row) -> Webhook:
    """A webhook from Label Studio's row. Raises InvalidInput."""
    return Webhook(
        id=whole(row, "id"),
        project_id=row.get("project"),
        url=str(row.get("url") or ""),
        is_active=bool(row.get("is_active")),
        send_payload=bool(row.get("send_payload")),
        send_for_all_actions=bool(row.get("send_for_all_actions")),
        headers=dict(row.get("headers") or {}),
    )


def read_backend(row: Row) -> Backend:
    """An ML backend from Label Studio's row. Raises InvalidInput."""
    return Backend(
        id=whole(row, "id"),
        project_id=whole(row, "project"),
        url=str(row.get("url") or ""),
        title=str(row.get("title") or ""),
        auth_method=str(row.get("auth_method") or "NONE"),
        state=str(row.get("state") or ""),
        error=row.get("error_message"),
    )


def read_view(row: Row) -> View:
    """A tab from Label Studio's row. Raises InvalidInput."""
    data = row.get("data") or {}
    return View(id=whole(row, "id"), title=str(data.get("title") or ""), data=dict(data))


def whole(row: Row, name: str) -> int:
    """The row's integer of this name. Raises InvalidInput."""
    value = row.get(name)
    if not is_id(value):
        raise InvalidInput(f"a row of Label Studio lacks the integer {name!r}; it holds {_fields(row)}")
    return value


def reference(row: Row, name: str) -> int | None:
    """The id that a row refers to, given as a number or as an object with an id."""
    value = row.get(name)
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if is_id(value) else None


def is_id(value: object) -> TypeGuard[int]:
    """Whether this can be the id of something."""
    return type(value) is int and 0 <= value <= LARGEST_ID


def moment(row: Row, name: str) -> datetime:
    """The row's time of this name, in UTC. Raises InvalidInput."""
    try:
        value = datetime.fromisoformat(str(row[name]))
    except (KeyError, ValueError) as error:
        raise InvalidInput(f"a row of Label Studio lacks the time {name!r}; it holds {_fields(row)}") from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _items(row: Row, name: str) -> list[Any]:
    value = row.get(name)
    return value if isinstance(value, list) else []


def _rows(row: Row, name: str) -> list[Row]:
    return [item for item in _items(row, name) if isinstance(item, Mapping)]


def _number(row: Row, name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _fields(row: Row) -> str:
    return ", ".join(sorted(map(str, row))) or "nothing"
