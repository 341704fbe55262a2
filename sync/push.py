"""Fresh predictions into Label Studio, the flip to their version, and the end of old ones (rule 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from config.errors import Conflict, LabelStudioError, LabelStudioUnavailable
from config.log import get_logger
from sync.client import LabelStudio
from sync.convert import to_regions
from sync.labelling import LabellingConfig, parse_config
from sync.records import StoredTask
from sync.setup import Connection, find_backends, name_backend
from training.examples.intake import record_task_deletions
from training.spans import Prediction
from training.store.tables.annotations import PredictionKind, PushedPrediction
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.unit_of_work import Store, UnitOfWork

log = get_logger(__name__)

Clock = Callable[[], datetime]


class TaskPrediction(Protocol):
    """A prediction for one waiting task; a proposal where somebody from outside said what is right.

    `queue_score` and `cluster` decide when Label Studio brings the task up; the prediction's score is the confidence.
    `begun` says that somebody began to push it and was broken off, so that Label Studio may have it already.
    """

    @property
    def task_id(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def prediction(self) -> Prediction: ...

    @property
    def kind(self) -> PredictionKind: ...

    @property
    def queue_score(self) -> float: ...

    @property
    def cluster(self) -> int | None: ...

    @property
    def begun(self) -> bool: ...


@dataclass(slots=True)
class Pushed:
    """How many predictions Label Studio took, how many it left out, and how many tasks were gone."""

    stored: int = 0
    left_out: int = 0
    gone: int = 0


def push_predictions(
    store: Store,
    client: LabelStudio,
    model: MLModel,
    predictions: Sequence[TaskPrediction],
    *,
    chunk: int,
    clock: Clock,
) -> Pushed:
    """Store a version's predictions in Label Studio, those with a cluster first and one by one, the others in bulk.

    Goes by their order. May be broken off after any chunk: what got through is noted, and tasks that have this version
    are left out. Label Studio keeps clusters only one by one, 13 a second; in bulk it takes 1,000.
    """
    with store.read() as uow:
        config = parse_config(uow.projects.get(model.project_id).label_config)
    push = _Push(store, client, model, config, clock)
    singly = [one for one in predictions if one.cluster is not None]
    for one_by_one, some in ((True, singly), (False, [one for one in predictions if one.cluster is None])):
        for at in range(0, len(some), chunk):
            push.push_chunk(some[at : at + chunk], one_by_one=one_by_one)
    pushed = push.pushed
    if pushed != Pushed():
        log.info(
            "predictions_pushed",
            project_id=model.project_id,
            version=model.version,
            stored=pushed.stored,
            left_out=pushed.left_out,
            gone=pushed.gone,
        )
    return pushed


@dataclass
class _Push:
    """One push on its way."""

    store: Store
    client: LabelStudio
    model: MLModel
    config: LabellingConfig
    clock: Clock
    pushed: Pushed = field(default_factory=Pushed)

    def push_chunk(self, chunk: Sequence[TaskPrediction], *, one_by_one: bool) -> None:
        """Push what does not have this version yet, and note it."""
        left = self._without_pushed(chunk)
        left = self._without_stored(left, asked=[one.task_id for one in left if one.begun])
        if one_by_one:
            self._send_singly(left)
            return
        try:
            self._send_in_bulk(left)
        except LabelStudioUnavailable:
            raise
        except LabelStudioError as refusal:
            # One task that is gone makes Label Studio refuse all of them.
            there = self._drop_gone(left)
            if len(there) == len(left):
                raise refusal
            # Memory-saving imports go by batches: those before the refused one may be stored.
            self._send_in_bulk(self._without_stored(there, asked=[one.task_id for one in there]))

    def _without_pushed(self, chunk: Sequence[TaskPrediction]) -> list[TaskPrediction]:
        with self.store.read() as uow:
            there = self._pushed_of(uow, chunk)
            proposed = uow.texts.proposals(self.model.project_id, [one.task_id for one in chunk])
        # A proposal that came since the version was asked stands above what it says.
        outdated = {one.task_id for one in chunk if one.kind == PredictionKind.MODEL and one.task_id in proposed}
        return [one for one in chunk if one.task_id not in there | outdated]

    def _without_stored(self, chunk: Sequence[TaskPrediction], *, asked: Sequence[int]) -> list[TaskPrediction]:
        """Those that Label Studio lacks: what of the tasks asked about it has got, and nobody noted, is noted now."""
        if not asked:
            return list(chunk)
        stored = {
            task.id
            for task in self.client.iter_tasks(self.model.project_id, only_ids=asked)
            if any(prediction.model_version == self.model.version for prediction in task.predictions)
        }
        self._note([one for one in chunk if one.task_id in stored])
        return [one for one in chunk if one.task_id not in stored]

    def _pushed_of(self, uow: UnitOfWork, chunk: Sequence[TaskPrediction]) -> set[int]:
        ids = [one.task_id for one in chunk]
        return uow.texts.pushed_task_ids(self.model.project_id, self.model.version, among=ids)

    def _send_in_bulk(self, chunk: Sequence[TaskPrediction]) -> None:
        rows = [
            {
                "task": one.task_id,
                "result": to_regions(one.prediction.spans, self.config, one.text),
                "score": one.queue_score,
                "model_version": self.model.version,
            }
            for one in chunk
        ]
        kept = self.client.import_predictions(self.model.project_id, rows)
        if kept < len(chunk):
            log.warning("predictions_left_out", project_id=self.model.project_id, left_out=len(chunk) - kept)
        self.pushed.stored += kept
        self.pushed.left_out += len(chunk) - kept
        self._note(chunk)

    def _send_singly(self, chunk: Sequence[TaskPrediction]) -> None:
        settled: list[TaskPrediction] = []
        try:
            for one in chunk:
                if self._send_one(one):
                    settled.append(one)  # noqa: PERF401 (what went in before a failure must be noted)
        finally:
            self._note(settled)

    def _send_one(self, one: TaskPrediction) -> bool:
        """Whether the task is there; what Label Studio refuses it leaves out, as it does in silence in bulk."""
        try:
            self.client.create_prediction(
                one.task_id,
                to_regions(one.prediction.spans, self.config, one.text),
                score=one.queue_score,
                model_version=self.model.version,
                cluster=one.cluster,
            )
        except LabelStudioUnavailable:
            raise
        except LabelStudioError as refusal:
            if not self._drop_gone([one]):
                return False
            log.warning("prediction_refused", task_id=one.task_id, reason=refusal.message)
            self.pushed.left_out += 1
            return True
        self.pushed.stored += 1
        return True

    def _note(self, chunk: Sequence[TaskPrediction]) -> None:
        with self.store.write() as uow:
            uow.projects.lock(self.model.project_id)
            there = self._pushed_of(uow, chunk)
            uow.texts.add_pushed(_note(one, self.model, self.clock()) for one in chunk if one.task_id not in there)
            uow.commit()

    def _drop_gone(self, chunk: Sequence[TaskPrediction]) -> list[TaskPrediction]:
        """Those whose tasks are there; the others are marked as deleted."""
        project_id, ids = self.model.project_id, [one.task_id for one in chunk]
        there = {task.id for task in self.client.iter_tasks(project_id, only_ids=ids, in_full=False)}
        gone = [task_id for task_id in ids if task_id not in there]
        if not gone:
            return list(chunk)
        with self.store.write() as uow:
            record_task_deletions(uow, uow.projects.lock(project_id), gone, now=self.clock())
            uow.commit()
        self.pushed.gone += len(gone)
        return [one for one in chunk if one.task_id in there]


def _note(one: TaskPrediction, model: MLModel, now: datetime) -> PushedPrediction:
    return PushedPrediction(
        project_id=model.project_id,
        task_id=one.task_id,
        model_id=model.id,
        version=model.version,
        kind=one.kind,
        spans=[span.to_json() for span in one.prediction.spans],
        score=one.prediction.score,
        pushed_at=now,
        cluster=one.cluster,
    )


def flip(store: Store, client: LabelStudio, connection: Connection, project_id: int) -> str:
    """Announce the live version: Label Studio's queue and pages turn to it, and so do /setup and /predict.

    Label Studio comes first: broken off in between, the store still differs from the live version, and the next
    flip mends it. Returns the version. Raises Conflict where the project has no live version.
    """
    with store.read() as uow:
        project, live = uow.projects.get(project_id), uow.models.live(project_id)
    if live is None:
        raise Conflict(f"project {project_id} has no live version; run `spanloop project adopt {project_id}`")
    _announce(client, connection, project, live.version)
    with store.write() as uow:
        uow.projects.lock(project_id).announced_model_id = live.id
        uow.commit()
    client.list_backends(project_id)  # makes Label Studio ask /setup, so that its pages turn at once
    log.info("version_announced", project_id=project_id, version=live.version)
    return live.version


def _announce(client: LabelStudio, connection: Connection, project: Project, version: str) -> None:
    backends = find_backends(client, connection, project)
    if backends:
        name_backend(client, connection, backends[0], version=version)
    try:
        client.update_project(project.id, model_version=version)
    except LabelStudioUnavailable:
        raise
    except LabelStudioError as error:
        if backends:
            raise
        # Without a backend of ours, Label Studio takes only versions that stored predictions have.
        remedy = f"run `spanloop project adopt {project.id}`"
        log.warning("no_backend", project_id=project.id, reason=error.message, remedy=remedy)


def drop_old_predictions(
    store: Store, client: LabelStudio, project_id: int, *, grace: timedelta, limit: int, now: datetime
) -> int:
    """Delete up to `limit` predictions of versions that are two versions old and past the grace period.

    One by one, since deleting by version would empty the project's own. Tasks with a draft keep theirs, and so do
    annotations: Label Studio refuses a submit whose prediction is gone, and forgets what an annotator was shown.
    """
    with store.read() as uow:
        versions = sorted(_droppable_versions(uow, uow.projects.get(project_id), before=now - grace))
        ids = {version: sorted(uow.texts.pushed_task_ids(project_id, version)) for version in versions}
    dropped = 0
    for version in versions:
        for at in range(0, len(ids[version]), 50):
            if dropped >= limit:
                return dropped
            wanted = ids[version][at : at + min(50, limit - dropped)]
            dropped += _drop_version(store, client, project_id, version, wanted)
    if dropped:
        log.info("old_predictions_dropped", project_id=project_id, dropped=dropped)
    return dropped


def _droppable_versions(uow: UnitOfWork, project: Project, *, before: datetime) -> set[str]:
    """Versions that neither show now nor showed just before, that were replaced and pushed before this moment."""
    activations = uow.models.activations(project.id)
    announced = next((a for a in activations if a.model_id == project.announced_model_id), None)
    shown_before = announced.previous_model_id if announced else None
    replaced_late = {a.previous_model_id for a in activations if a.activated_at >= before}
    kept = {project.announced_model_id, shown_before, *replaced_late}
    versions = {m.version for m in uow.models.of_project(project.id) if m.is_active or m.id in kept}
    return uow.texts.old_pushed(project.id, keep=versions, before=before)


def _drop_version(store: Store, client: LabelStudio, project_id: int, version: str, task_ids: list[int]) -> int:
    dropped = 0
    for task in client.iter_tasks(project_id, only_ids=task_ids):
        if task.has_draft:
            task_ids = [task_id for task_id in task_ids if task_id != task.id]
            continue
        for prediction_id in _unused(task, version):
            client.delete_prediction(prediction_id)
            dropped += 1
    with store.write() as uow:
        uow.projects.lock(project_id)
        for task_id in task_ids:
            uow.texts.forget_pushed(project_id, task_id, version)
        uow.commit()
    return dropped


def _unused(task: StoredTask, version: str) -> Iterator[int]:
    shown = {annotation.parent_prediction for annotation in task.annotations}
    return (p.id for p in task.predictions if p.model_version == version and p.id not in shown)
