"""Short ways to put things into a store, for tests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar

from training.spans import Span
from training.store.tables import Event, EventStatus, Project, RunStatus, TrainingBatch
from training.store.unit_of_work import Store

Answer = TypeVar("Answer")
NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
LABELS = ("PERSON", "SSN", "CITY")
CONFIG = (
    '<View><Labels name="label" toName="text"><Label value="PERSON"/><Label value="SSN"/><Label value="CITY"/>'
    '</Labels><Text name="text" value="$text"/></View>'
)


def later(seconds: float) -> datetime:
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def new_project(project_id: int = 1, **changes: Any) -> Project:
    """A project with three labels and default settings."""
    columns: dict[str, Any] = {
        "title": f"Project {project_id}",
        "language": "en",
        "base_model": "blank:en",
        "label_config": CONFIG,
        "from_name": "label",
        "to_name": "text",
        "text_key": "text",
        "taxonomy": [{"name": name, "group": "PII"} for name in LABELS],
        "settings": {},
        "created_at": NOW,
    }
    return Project(id=project_id, **(columns | changes))


def add_project(store: Store, project_id: int = 1, **changes: Any) -> int:
    """Put a project in; its id."""
    with store.write() as uow:
        uow.projects.add(new_project(project_id, **changes))
        uow.commit()
    return project_id


def new_event(key: str, **changes: Any) -> Event:
    """A pending event with this dedupe key."""
    columns: dict[str, Any] = {
        "project_id": 1,
        "action": "ANNOTATION_CREATED",
        "body": "{}",
        "received_at": NOW,
        "status": EventStatus.PENDING,
        "attempts": 0,
        "available_at": NOW,
    }
    return Event(dedupe_key=key, **(columns | changes))


def new_run(project_id: int = 1, status: RunStatus = RunStatus.PENDING, **changes: Any) -> TrainingBatch:
    """A run of a project."""
    columns: dict[str, Any] = {
        "trigger": "test",
        "promote": False,
        "configuration": {},
        "cancel_requested": False,
        "created_at": NOW,
    }
    return TrainingBatch(project_id=project_id, status=status, **(columns | changes))


def span_of(text: str, part: str, label: str) -> Span:
    """The span of the first place where `part` stands in the text."""
    start = text.index(part)
    return Span(start, start + len(part), label)


def at_once(number: int, work: Callable[[int], Answer]) -> list[Answer]:
    """Do the same work in so many threads that start together; their answers, or the first one's error."""
    start = Barrier(number)

    def wait_and_work(index: int) -> Answer:
        start.wait(timeout=30)
        return work(index)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(wait_and_work, range(number)))
