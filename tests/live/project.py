"""One project of a running system: what its store says, what Label Studio shows, and how to work on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sync.annotator import Annotator, Page, Submission
from sync.client import LabelStudio
from sync.records import Backend, StoredProject, StoredTask
from tests.live.system import RunningSystem
from training.spans import Span, hash_text, parse_spans
from training.store.tables.annotations import Annotation
from training.store.tables.examples import TrainingDataset
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult
from training.store.tables.inbox import EventStatus
from training.store.tables.models import MLModel
from training.store.tables.runs import TrainingBatch
from training.store.tables.texts import Task
from training.store.unit_of_work import UnitOfWork

Read = TypeVar("Read")
# Settings for a loop that does not wait; a run starts by itself where a test sets `retrain_after`.
QUICK = {
    "auto_promote": True,
    "quiet_seconds": 1,
    "min_interval_seconds": 0,
    "min_samples": 10,
    "retrain_after": 1000,
    "max_epochs": 10,
}


class LiveProject:
    """A project, by its id."""

    def __init__(self, system: RunningSystem, project_id: int) -> None:
        self.system = system
        self.id = project_id

    @classmethod
    def create(
        cls, system: RunningSystem, title: str, labels: Sequence[str], *, folder: Path, base: str = "", **settings: Any
    ) -> LiveProject:
        """Make a project by the command line, with these labels and quick settings."""
        file = folder / "labels.yaml"
        file.write_text(json.dumps({"labels": [{"name": name, "group": "TEST"} for name in labels]}))
        chosen = [word for key, value in {**QUICK, **settings}.items() for word in ("--set", f"{key}={value}")]
        model = ["--base-model", base] if base else []
        system.spanloop("project", "create", title, "--labels", file, *model, *chosen)
        return cls.find(system, title)

    @classmethod
    def find(cls, system: RunningSystem, title: str) -> LiveProject:
        """The project of this title."""
        with system.store.read() as uow:
            return cls(system, next(project.id for project in uow.projects.all() if project.title == title))

    @property
    def label_studio(self) -> LabelStudio:
        """Label Studio, for its first user."""
        return self.system.label_studio

    def shown(self) -> StoredProject:
        """The project as Label Studio keeps it."""
        found = self.label_studio.find_project(self.id)
        assert found is not None
        return found

    def backend(self) -> Backend:
        """Its one backend."""
        (backend,) = self.label_studio.list_backends(self.id)
        return backend

    def tasks(self) -> list[StoredTask]:
        """Its tasks as Label Studio keeps them, with annotations and predictions."""
        return list(self.label_studio.iter_tasks(self.id))

    def live(self) -> MLModel:
        """The live version."""
        model = self._read(lambda uow: uow.models.live(self.id))
        assert model is not None
        return model

    def versions(self) -> list[str]:
        """The registered versions, newest first."""
        return [model.version for model in self._read(lambda uow: uow.models.of_project(self.id))]

    def runs(self) -> list[TrainingBatch]:
        """Its runs, newest first."""
        return list(self._read(lambda uow: uow.runs.of_project(self.id, limit=20)))

    def task(self, task_id: int) -> Task | None:
        """A task as the store mirrors it."""
        return self._read(lambda uow: uow.texts.find_task(self.id, task_id))

    def annotation(self, annotation_id: int) -> Annotation | None:
        """An annotation as the store mirrors it."""
        return self._read(lambda uow: uow.annotations.find(self.id, annotation_id))

    def feedback(self, annotation_id: int) -> ClassificationFeedback | None:
        """The feedback of an annotation."""
        return self._read(lambda uow: uow.feedback.of_annotation(self.id, annotation_id))

    def result(self, feedback: ClassificationFeedback) -> MLClassificationResult:
        """The prediction that a feedback speaks of."""
        assert feedback.result_id is not None
        return self._read(lambda uow: uow.feedback.get_result(feedback.result_id or ""))

    def example(self, text: str) -> TrainingDataset | None:
        """What a text's annotations come to."""

        def find(uow: UnitOfWork) -> TrainingDataset | None:
            row = uow.texts.find_text(self.id, hash_text(text))
            return uow.examples.of_text(self.id, row.id) if row else None

        return self._read(find)

    def parked(self) -> list[str]:
        """Why events of this project were parked."""
        events = self._read(lambda uow: uow.inbox.list(status=EventStatus.PARKED, limit=1000))
        return [f"{event.action}: {event.error}" for event in events if event.project_id == self.id]

    def actions_done(self) -> list[str]:
        """The actions of the events that were worked off."""
        events = self._read(lambda uow: uow.inbox.list(status=EventStatus.DONE, limit=10_000))
        return [event.action for event in events if event.project_id == self.id]

    def import_texts(self, texts: Sequence[str], *, folder: Path) -> None:
        """Import texts by the command line, and wait until each carries a pre-label of the live version."""
        file = folder / "texts.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        self.system.spanloop("import", file, "--project", self.id)
        self.wait_for_prelabels()

    def wait_for_prelabels(self) -> None:
        """Return once every waiting task has a prediction of the live version, and Label Studio shows that version."""
        self.system.wait_for("pre-labels of the live version", self._is_up_to_date)

    def _is_up_to_date(self) -> bool:
        with self.system.store.read() as uow:
            project, live = uow.projects.get(self.id), uow.models.live(self.id)
            unpushed = uow.texts.count_unpushed(self.id, live.version) if live else 1
        if live is None or unpushed or project.announced_model_id != live.id:
            return False
        return self.shown().model_version == live.version

    def wait_for_version(self, version: str) -> None:
        """Return once this version is live and its predictions are shown; fails at once where a run failed."""

        def is_live() -> bool:
            failed = [run.error for run in self.runs() if run.error_code]
            assert not failed, f"a run failed: {failed}"
            return self.live().version == version

        self.system.wait_for(f"{version} to go live", is_live, seconds=240)
        self.wait_for_prelabels()

    def wait_for_annotations(self, annotation_ids: Sequence[int]) -> None:
        """Return once the store holds these annotations."""
        for annotation_id in annotation_ids:
            self.system.wait_for(f"annotation {annotation_id}", lambda: self.annotation(annotation_id))  # noqa: B023

    def wait_for_run(self, done: Callable[[TrainingBatch], bool], what: str) -> TrainingBatch:
        """The newest run, once it is as wanted."""
        return self.system.wait_for(what, lambda: next((run for run in self.runs()[:1] if done(run)), None))

    def annotate(self, count: int, right: Callable[[str], Sequence[Span]]) -> list[Submission]:
        """Work through the labelling queue as its annotator, submitting the right spans of each text."""
        annotator = self.system.annotator(self.id)
        return [annotator.submit(page, right(page.text)) for page in (self._open(annotator) for _ in range(count))]

    @staticmethod
    def _open(annotator: Annotator) -> Page:
        page = annotator.open_next()
        assert page is not None, "the labelling queue is empty"
        return page

    def _read(self, look: Callable[[UnitOfWork], Read]) -> Read:
        with self.system.store.read() as uow:
            return look(uow)


def spans_in(rows: Sequence[dict[str, Any]]) -> list[Span]:
    """Stored spans, sorted."""
    return sorted(parse_spans(rows))


def is_over(run: TrainingBatch) -> bool:
    """Whether a run has ended."""
    return run.finished_at is not None
