"""Short ways to put things into a store, for tests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar

from training.examples.intake import (
    Person,
    SeenAnnotation,
    SeenPrediction,
    SeenTask,
    record_annotation,
    record_deletions,
    record_task,
    record_task_deletions,
)
from training.spans import ScoredSpan, Span, hash_text
from training.store.examples import ExampleCounts
from training.store.tables.examples import TrainingDataset
from training.store.tables.feedback import ClassificationFeedback
from training.store.tables.inbox import Event, EventStatus
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus, TrainingBatch
from training.store.tables.texts import TextRow
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


class Desk:
    """Hands tasks and annotations in, as webhooks and pulls do; `at` is in seconds after NOW."""

    def __init__(self, store: Store, project_id: int = 1, **project: Any) -> None:
        self.store = store
        self.project_id = add_project(store, project_id, **project)

    def task(self, task_id: int, text: str | None, *, at: float = 0, problem: str | None = None) -> None:
        """A task as it was at that time."""
        with self.store.write() as uow:
            project = uow.projects.lock(self.project_id)
            record_task(uow, project, SeenTask(task_id, text, problem, False, later(at)), now=later(at))
            uow.commit()

    def annotate(self, annotation_id: int, task_id: int, *spans: Span, at: float = 1, **changes: Any) -> bool:
        """An annotation as it was at that time; whether it was news."""
        columns: dict[str, Any] = {
            "problems": (),
            "was_cancelled": False,
            "ground_truth": False,
            "lead_time": 3.5,
            "person": Person("7", "ada"),
            "parent_prediction": None,
            "parent": None,
            "created_at": NOW,
            "updated_at": later(at),
        }
        seen = SeenAnnotation(id=annotation_id, task_id=task_id, spans=spans, **(columns | changes))
        with self.store.write() as uow:
            project = uow.projects.lock(self.project_id)
            news = record_annotation(uow, project, seen, now=later(at))
            uow.commit()
        return news

    def delete(self, *annotation_ids: int, at: float = 100, drained: float | None = None) -> int:
        """Annotations were deleted, of which the store learns when the news is drained; how many of them stood."""
        with self.store.write() as uow:
            project = uow.projects.lock(self.project_id)
            now = later(at if drained is None else drained)
            standing = record_deletions(uow, project, annotation_ids, now=now, told_at=later(at))
            uow.commit()
        return standing

    def delete_tasks(self, *task_ids: int, at: float = 100) -> int:
        """Tasks were deleted; how many of them stood."""
        with self.store.write() as uow:
            project = uow.projects.lock(self.project_id)
            standing = record_task_deletions(uow, project, task_ids, now=later(at))
            uow.commit()
        return standing

    def text(self, text: str) -> TextRow:
        """The stored row of a text."""
        with self.store.read() as uow:
            row = uow.texts.find_text(self.project_id, hash_text(text))
        assert row is not None
        return row

    def example(self, text: str) -> TrainingDataset | None:
        """The training example of a text."""
        with self.store.read() as uow:
            row = uow.texts.find_text(self.project_id, hash_text(text))
            return None if row is None else uow.examples.of_text(self.project_id, row.id)

    def feedback(self, annotation_id: int) -> ClassificationFeedback | None:
        """The feedback row of an annotation."""
        with self.store.read() as uow:
            return uow.feedback.of_annotation(self.project_id, annotation_id)

    def counts(self) -> ExampleCounts:
        """How many examples stand where."""
        with self.store.read() as uow:
            return uow.examples.count(self.project_id)


def shown(prediction_id: int, *spans: Span, version: str = "spanloop-v0") -> dict[str, Any]:
    """The columns of an annotation that started from this prediction."""
    scored = tuple(ScoredSpan(s.start, s.end, s.label, 0.9) for s in spans)
    parent = SeenPrediction(prediction_id, version, scored, 0.9, NOW)
    return {"parent_prediction": prediction_id, "parent": parent}
