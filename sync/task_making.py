"""Texts, made into tasks of Label Studio with what is proposed for them, and mirrored in the same breath."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from config.errors import Conflict
from sync.client import LabelStudio
from sync.convert import to_regions
from sync.labelling import data_of, parse_config
from sync.mirror import Gatherer, record
from training.examples.marks import FIELD, Mark
from training.examples.proposals import PROPOSAL_SCORE, propose
from training.feedback import example_revision
from training.formats.rows import Row
from training.spans import ScoredSpan, Span, hash_text
from training.store.tables.annotations import PredictionKind, PushedPrediction
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.unit_of_work import Store, UnitOfWork

Clock = Callable[[], datetime]


def find_announced(uow: UnitOfWork, project: Project) -> MLModel:
    """The version whose string Label Studio shows at this moment. Raises Conflict where there is none."""
    if project.announced_model_id is None:
        raise Conflict(f"project {project.id} has no version yet; run `spanloop project adopt {project.id}`")
    return uow.models.get(project.announced_model_id)


class TaskMaker:
    """Makes tasks of one project."""

    def __init__(self, store: Store, client: LabelStudio, project: Project, *, clock: Clock) -> None:
        self._store, self._client, self._project, self._clock = store, client, project, clock
        self._config = parse_config(project.label_config)

    def make_tasks(
        self, rows: Sequence[Row], version: MLModel, *, verified: bool = False, contributor_id: int | None = None
    ) -> list[int]:
        """Import rows as tasks: spans as a proposal under this version's string, or with `verified` as annotation.

        An annotation counts as `contributor_id`'s, or with None as that of the user whose key we use.
        What was proposed is in the store already; it waits no more once its task is mirrored. Returns their ids.
        """
        ids = self._client.import_tasks(self._project.id, [self._task(row, version.version, verified) for row in rows])
        self._mirror(dict(zip(ids, rows, strict=True)), version, verified=verified, contributor_id=contributor_id)
        return ids

    def bring_forward(self, task_ids: Iterable[int], version: MLModel) -> None:
        """Give each task's proposal a cluster of its own, which comes up first where the queue goes by clusters.

        One by one, 13 a second: Label Studio's imports take no clusters.
        """
        for task_id in task_ids:
            for shown in self._client.list_predictions(task_id):
                if shown.model_version == version.version:
                    self._client.update_prediction(shown.id, shown.result, score=PROPOSAL_SCORE, cluster=-task_id)

    def show_proposal(self, task_id: int, text: str, spans: Sequence[Span], version: MLModel) -> bool:
        """Put a proposal in the place of what a task shows; False where the task is gone.

        The stored prediction is changed, not replaced: whoever has the task open could not submit otherwise.
        """
        task = self._client.find_task(task_id)
        if task is None:
            return False
        regions = to_regions(_proposed(spans), self._config, text)
        shown = [prediction.id for prediction in task.predictions if prediction.model_version == version.version]
        for prediction_id in shown:
            self._client.update_prediction(prediction_id, regions, score=PROPOSAL_SCORE, cluster=-task_id)
        if not shown:
            self._client.create_prediction(
                task_id, regions, score=PROPOSAL_SCORE, model_version=version.version, cluster=-task_id
            )
        with self._store.write() as uow:
            uow.projects.lock(self._project.id)
            uow.texts.forget_pushed(self._project.id, task_id, version.version)
            uow.texts.add_pushed([self._note(task_id, spans, version)])
            for prediction_id in shown:
                uow.feedback.forget_shown(self._project.id, prediction_id)
            uow.commit()
        return True

    def _task(self, row: Row, version: str, verified: bool) -> dict[str, Any]:
        task: dict[str, Any] = {"data": _data(row, self._config.text_key)}
        if row.spans is None:
            return task
        regions = to_regions(_proposed(row.spans), self._config, row.text)
        if verified:
            for region in regions:
                region.pop("score")
            # The star verifies under every verification rule; Label Studio would set it anyway, unasked.
            task["annotations"] = [{"result": regions, "ground_truth": True}]
        else:
            task["data"][FIELD] = Mark.TO_VERIFY.value
            task["predictions"] = [{"result": regions, "score": PROPOSAL_SCORE, "model_version": version}]
        return task

    def _mirror(self, rows: Mapping[int, Row], version: MLModel, *, verified: bool, contributor_id: int | None) -> None:
        # Times come from Label Studio's own clock: by ours, an update of its might look older than the import.
        tasks = list(self._client.iter_tasks(self._project.id, only_ids=list(rows), in_full=verified))
        gathered = Gatherer(self._store, self._client, self._project).gather(
            tasks, [annotation for task in tasks for annotation in task.annotations]
        )
        if contributor_id is not None:
            gathered = gathered.on_behalf_of(contributor_id)
        with self._store.write() as uow:
            project = uow.projects.lock(self._project.id)
            record(uow, project, gathered, now=self._clock())
            proposed = {task_id: row for task_id, row in rows.items() if row.spans is not None}
            self._settle(uow, proposed.values())
            if not verified:
                there = uow.texts.pushed_task_ids(project.id, version.version)
                uow.texts.add_pushed(
                    self._note(task_id, row.spans or (), version)
                    for task_id, row in proposed.items()
                    if task_id not in there
                )
            uow.commit()

    def _settle(self, uow: UnitOfWork, rows: Iterable[Row]) -> None:
        for row in rows:
            text = uow.texts.find_text(self._project.id, hash_text(row.text))
            if text is not None:
                revision = example_revision(row.spans or (), verified=False)
                uow.proposals.settle(text.id, revision=revision, now=self._clock())

    def _note(self, task_id: int, spans: Sequence[Span], version: MLModel) -> PushedPrediction:
        return PushedPrediction(
            project_id=self._project.id,
            task_id=task_id,
            model_id=version.id,
            version=version.version,
            kind=PredictionKind.PROPOSAL,
            spans=[span.to_json() for span in _proposed(spans)],
            score=PROPOSAL_SCORE,
            pushed_at=self._clock(),
        )


def _proposed(spans: Sequence[Span]) -> tuple[ScoredSpan, ...]:
    return propose([span.to_json() for span in spans]).spans


def _data(row: Row, text_key: str) -> dict[str, Any]:
    """The task's data: the text where the labelling config looks for it, and what else the row says beside it."""
    shown = data_of(row.text, text_key)
    return {**{name: value for name, value in row.meta.items() if name not in (*shown, FIELD)}, **shown}
