"""What Label Studio holds, gathered over the network and then put into the store; for webhooks and pulls alike.

Gathering comes first and holds no transaction; recording comes after and needs no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from config.errors import InvalidInput
from config.log import get_logger
from sync.client import LabelStudio
from sync.convert import spans_of
from sync.labelling import LabellingConfig, parse_config, text_of
from sync.records import StoredAnnotation, StoredPrediction, StoredProject, StoredTask
from training.examples.intake import (
    Person,
    SeenAnnotation,
    SeenPrediction,
    SeenTask,
    record_annotation,
    record_task,
)
from training.examples.marks import FIELD, read_words, write_marks
from training.spans import ScoredSpan
from training.store.tables.feedback import MLClassificationResult
from training.store.tables.projects import Project
from training.store.unit_of_work import Store, UnitOfWork
from training.taxonomy import Taxonomy, taxonomy_of

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Tasks and annotations with all that the store keeps of them."""

    tasks: tuple[SeenTask, ...]
    annotations: tuple[SeenAnnotation, ...]

    def on_behalf_of(self, contributor_id: int, *, only: int | None = None) -> Gathered:
        """The same, with its annotations, or that of this id, as a contributor's for whom we made them."""
        seen = (replace(a, on_behalf_of=contributor_id) if only in (None, a.id) else a for a in self.annotations)
        return replace(self, annotations=tuple(seen))


class Gatherer:
    """Completes what a webhook or a listing says of one project with what only a look-up can tell."""

    def __init__(self, store: Store, client: LabelStudio, project: Project) -> None:
        self._store, self._client, self._project = store, client, project
        self._config = parse_config(project.label_config)
        self._names: dict[int, str] | None = None

    def gather(self, tasks: Sequence[StoredTask], annotations: Sequence[StoredAnnotation]) -> Gathered:
        """These tasks and annotations; an annotation whose task is gone is left out, for it is gone too."""
        by_id = {task.id: task for task in tasks}
        for task_id in {a.task_id for a in annotations} - set(by_id):
            found = self._client.find_task(task_id)
            if found is not None:
                by_id[task_id] = found
        held = [annotation for annotation in annotations if annotation.task_id in by_id]
        parents = self._find_parents(by_id, held)
        return Gathered(
            tuple(read_task_text(task, self._config) for task in by_id.values()),
            tuple(self._see(a, by_id[a.task_id], parents) for a in held),
        )

    def _see(
        self, annotation: StoredAnnotation, task: StoredTask, parents: Mapping[int, SeenPrediction]
    ) -> SeenAnnotation:
        text = text_of(task.data, self._config.text_key)
        found = spans_of(annotation.result, self._config, text or "")
        return SeenAnnotation(
            id=annotation.id,
            task_id=annotation.task_id,
            spans=found.spans,
            problems=found.problems,
            was_cancelled=annotation.was_cancelled,
            ground_truth=annotation.ground_truth,
            lead_time=annotation.lead_time,
            person=None if annotation.completed_by is None else self._person(annotation.completed_by),
            parent_prediction=annotation.parent_prediction,
            parent=parents.get(annotation.parent_prediction or -1),
            created_at=annotation.created_at,
            updated_at=annotation.updated_at,
        )

    def _find_parents(
        self, tasks: Mapping[int, StoredTask], annotations: Iterable[StoredAnnotation]
    ) -> dict[int, SeenPrediction]:
        """What the annotators were shown: as kept at an earlier submit, else as the task holds it, else by asking."""
        wanted = {a.parent_prediction: tasks[a.task_id] for a in annotations if a.parent_prediction is not None}
        with self._store.read() as uow:
            kept = {i: row for i in wanted if (row := uow.feedback.find_result(self._project.id, i)) is not None}
        parents = {i: _read_kept(i, row) for i, row in kept.items()}
        for prediction_id, task in wanted.items():
            if prediction_id in parents:
                continue
            beside = next((p for p in task.predictions if p.id == prediction_id), None)
            shown = beside or self._client.find_prediction(prediction_id)
            if shown is not None:
                text = text_of(task.data, self._config.text_key)
                parents[prediction_id] = read_shown(shown, self._config, text or "")
        return parents

    def _person(self, user_id: int) -> Person:
        if self._names is None:
            self._names = {user.id: user.email for user in self._client.list_users()}
        return Person(str(user_id), self._names.get(user_id, f"user {user_id}"))


def read_task_text(task: StoredTask, config: LabellingConfig) -> SeenTask:
    """The task with the text that its annotators see, or with the reason why there is none."""
    text = text_of(task.data, config.text_key)
    problem = None
    if text is None:
        problem = f"its data has no text under {config.text_key!r}"
    marks = write_marks(read_words(task.data.get(FIELD)).values())
    return SeenTask(task.id, text, problem, task.is_labeled, task.updated_at, task.created_at, marks)


def read_shown(shown: StoredPrediction, config: LabellingConfig, text: str) -> SeenPrediction:
    """A prediction as the annotator saw it: its spans with their scores, where regions carry some."""
    spans = read_scored_spans(shown.result, shown.score, config, text)
    return SeenPrediction(shown.id, shown.model_version, spans, shown.score, shown.created_at)


def read_scored_spans(
    result: Iterable[Any], score: float | None, config: LabellingConfig, text: str
) -> tuple[ScoredSpan, ...]:
    """The spans of a prediction's regions in order, each with its own score, else with that of the whole."""
    return tuple(
        sorted(
            ScoredSpan(span.start, span.end, span.label, _score_of(region, score))
            for region in result
            for span in spans_of([region], config, text).spans
        )
    )


def _read_kept(prediction_id: int, row: MLClassificationResult) -> SeenPrediction:
    spans = tuple(ScoredSpan(**entity) for entity in row.entities)
    return SeenPrediction(prediction_id, row.model_version, spans, row.score, row.created_at)


def _score_of(region: Any, otherwise: float | None) -> float:
    score = region.get("score") if isinstance(region, Mapping) else None
    return float(score) if isinstance(score, int | float) else otherwise or 0.0


def record(uow: UnitOfWork, project: Project, gathered: Gathered, *, now: datetime) -> int:
    """Put gathered tasks and annotations into the store; how many annotations were news. Holds no network call."""
    for task in gathered.tasks:
        record_task(uow, project, task, now=now)
    return sum(record_annotation(uow, project, annotation, now=now) for annotation in gathered.annotations)


def record_project(uow: UnitOfWork, project: Project, stored: StoredProject) -> None:
    """Take over a project's title and its labelling config.

    After a changed config the next pull looks at everything anew. A config that spans can no longer come from is
    reported, and the last one that they could come from stays.
    """
    project.title = stored.title
    if stored.label_config == project.label_config:
        return
    try:
        set_config(project, stored.label_config, Taxonomy.from_json(project.taxonomy))
    except InvalidInput as error:
        log.warning("label_config_refused", project_id=project.id, reason=error.message)
        return
    project.reconcile_cursor = None
    uow.session.flush()


def set_config(project: Project, xml: str, known: Taxonomy) -> None:
    """Give the project this labelling config, with what is known of its labels.

    Raises LabelConfigRefused or TaxonomyInvalid; the project is then as it was.
    """
    config = parse_config(xml)
    taxonomy = taxonomy_of(config.labels, known).to_json()
    project.label_config, project.taxonomy = xml, taxonomy
    project.from_name, project.to_name, project.text_key = config.from_name, config.to_name, config.text_key
