"""A Label Studio in memory, with the client's methods; tests/contract holds it to the real one."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from config.errors import LabelStudioError, LabelStudioUnavailable
from sync.records import (
    Backend,
    StoredAnnotation,
    StoredPrediction,
    StoredProject,
    StoredTask,
    User,
    View,
    Webhook,
)

Rows = Sequence[Mapping[str, Any]]


class FakeLabelStudio:
    """`down` makes it unreachable, `guarded` keeps it from calling our address; `sent` holds the webhook bodies it
    would have delivered."""

    url = "http://label-studio.test"

    def __init__(self) -> None:
        self.down = False
        self.guarded = False
        self.sent: list[dict[str, Any]] = []
        self.projects: dict[int, StoredProject] = {}
        self.tasks: dict[int, StoredTask] = {}
        self.predictions: dict[int, StoredPrediction] = {}
        self.webhooks: dict[int, Webhook] = {}
        self.backends: dict[int, Backend] = {}
        self.views: dict[int, tuple[int, View]] = {}
        self.passwords: dict[int, str] = {}
        self._ids = 0
        self._now = datetime(2030, 1, 1, tzinfo=UTC)

    def close(self) -> None:
        """Nothing to let go of."""

    def version(self) -> str:
        self._answer()
        return "1.23.2"

    def clock(self) -> datetime | None:
        self._answer()
        return self._now

    def whoami(self) -> User:
        self._answer()
        return User(1, "annotator@spanloop.test")

    def list_users(self) -> list[User]:
        return [self.whoami()]

    def create_project(self, title: str, label_config: str, **settings: Any) -> StoredProject:
        self._answer()
        if len(title) < 3:
            raise LabelStudioError("title: Ensure this field has at least 3 characters.", status=400)
        project = StoredProject(self._id(), title, label_config, "", "Sequential sampling", False, True, 1)
        self.projects[project.id] = _set(project, settings)
        return self.projects[project.id]

    def find_project(self, project_id: int) -> StoredProject | None:
        self._answer()
        return self.projects.get(project_id)

    def list_projects(self) -> list[StoredProject]:
        self._answer()
        return list(self.projects.values())

    def update_project(self, project_id: int, **settings: Any) -> StoredProject:
        project = self._get(self.projects, project_id)
        version = settings.get("model_version", "")
        titles = {b.title for b in self.backends.values() if b.project_id == project_id}
        stored = {p.model_version for p in self.predictions.values() if self._project_of(p.task_id) == project_id}
        if version and version not in titles | stored:
            raise LabelStudioError("model_version: Model version doesn't exist", status=400)
        self.projects[project_id] = _set(project, settings)
        self._send("PROJECT_UPDATED", project_id)
        return self.projects[project_id]

    def delete_project(self, project_id: int) -> None:
        self._answer()
        self.projects.pop(project_id, None)
        for task in [t for t in self.tasks.values() if t.project_id == project_id]:
            del self.tasks[task.id]

    def list_webhooks(self, project_id: int) -> list[Webhook]:
        self._answer()
        return [hook for hook in self.webhooks.values() if hook.project_id == project_id]

    def create_webhook(self, project_id: int, url: str, *, headers: Mapping[str, str]) -> Webhook:
        self._answer()
        hook = Webhook(self._id(), project_id, url, True, True, True, dict(headers))
        self.webhooks[hook.id] = hook
        return hook

    def update_webhook(self, webhook_id: int, url: str, *, headers: Mapping[str, str]) -> Webhook:
        hook = self._get(self.webhooks, webhook_id)
        self.webhooks[webhook_id] = Webhook(webhook_id, hook.project_id, url, True, True, True, dict(headers))
        return self.webhooks[webhook_id]

    def recheck_webhook(self, webhook: Webhook) -> None:
        self._get(self.webhooks, webhook.id)
        if self.guarded:
            raise LabelStudioError("Label Studio refused to PATCH the webhook (400): is blocked", status=400)

    def delete_webhook(self, webhook_id: int) -> None:
        self._answer()
        self.webhooks.pop(webhook_id, None)

    def list_backends(self, project_id: int) -> list[Backend]:
        self._answer()
        return [backend for backend in self.backends.values() if backend.project_id == project_id]

    def create_backend(self, project_id: int, url: str, *, title: str, user: str, password: str) -> Backend:
        project = self._get(self.projects, project_id)
        backend = Backend(self._id(), project_id, url, title, "BASIC_AUTH", "CO", None)
        self.backends[backend.id] = backend
        self.passwords[backend.id] = password
        if f"{url}/webhook" not in {hook.url for hook in self.list_webhooks(project_id)}:
            self.create_webhook(project_id, f"{url}/webhook", headers={})
        if not project.model_version and project.show_collab_predictions:
            self.projects[project_id] = replace(project, model_version=title)
        return backend

    def update_backend(
        self, backend_id: int, project_id: int, url: str, *, title: str, user: str, password: str
    ) -> Backend:
        old = self._get(self.backends, backend_id)
        project = self.projects[project_id]
        if project.model_version == old.title:
            self.projects[project_id] = replace(project, model_version=title)
        self.backends[backend_id] = replace(old, url=url, title=title, auth_method="BASIC_AUTH")
        self.passwords[backend_id] = password
        return self.backends[backend_id]

    def delete_backend(self, backend_id: int) -> None:
        self._answer()
        self.backends.pop(backend_id, None)

    def start_training(self, backend_id: int) -> None:
        self._send("START_TRAINING", self._get(self.backends, backend_id).project_id)

    def import_tasks(self, project_id: int, tasks: Rows) -> list[int]:
        self._get(self.projects, project_id)
        ids = [self._import_task(project_id, row) for row in tasks]
        if ids:
            self._send("TASKS_CREATED", project_id, tasks=[_task_row(self.tasks[i]) for i in ids])
        return ids

    def iter_tasks(
        self,
        project_id: int,
        *,
        changed_since: datetime | None = None,
        only_ids: Sequence[int] | None = None,
        in_full: bool = True,
        page_size: int = 500,
    ) -> Iterator[StoredTask]:
        self._get(self.projects, project_id)
        for task in sorted(self.tasks.values(), key=lambda t: t.id):
            wanted = only_ids is None or task.id in only_ids
            if task.project_id == project_id and wanted and (not changed_since or task.updated_at >= changed_since):
                yield self._shown(task) if in_full else replace(task, annotations=(), predictions=())

    def find_task(self, task_id: int) -> StoredTask | None:
        self._answer()
        task = self.tasks.get(task_id)
        return None if task is None else self._shown(task)

    def update_task_data(self, task_id: int, data: Mapping[str, Any]) -> StoredTask:
        self._touch(self._get(self.tasks, task_id), data=dict(data))
        return replace(self.tasks[task_id], annotations=(), predictions=())

    def delete_task(self, task_id: int) -> None:
        self._answer()
        if task := self.tasks.pop(task_id, None):
            self.predictions = {k: p for k, p in self.predictions.items() if p.task_id != task_id}
            self._send("TASKS_DELETED", task.project_id, tasks=[{"id": task_id}])

    def next_task(self, project_id: int) -> StoredTask | None:
        """The unfinished task of the least solved cluster with the lowest score of the project's version.

        Without a prediction of that version, the first.
        """
        project = self._get(self.projects, project_id)
        waiting = [self._shown(t) for t in self.tasks.values() if t.project_id == project_id and not t.is_labeled]

        mine = [t for t in self.tasks.values() if t.project_id == project_id and t.annotations]
        solved = Counter(max((p.cluster or 0 for p in self.list_predictions(t.id)), default=0) for t in mine)

        def rank(task: StoredTask) -> tuple[float, float]:
            shown = [p for p in task.predictions if p.model_version == project.model_version]
            return min(((solved[p.cluster or 0], p.score or 0.0) for p in shown), default=(math.inf, math.inf))

        return min(waiting, key=lambda t: (*rank(t), t.id), default=None)

    def create_annotation(self, task_id: int, result: Rows, **fields: Any) -> StoredAnnotation:
        task = self._get(self.tasks, task_id)
        parent = fields.get("parent_prediction")
        if parent is not None and parent not in self.predictions:
            raise LabelStudioError("parent_prediction: Invalid pk - object does not exist.", status=400)
        annotation = self._annotation(task_id, result, fields)
        self._save(task, annotation, "ANNOTATION_CREATED")
        return annotation

    def update_annotation(self, annotation_id: int, **fields: Any) -> StoredAnnotation:
        task, annotation = self._find_annotation(annotation_id)
        changed = replace(annotation, **copy.deepcopy(fields), updated_at=self._tick())
        self._save(task, changed, "ANNOTATION_UPDATED")
        return changed

    def delete_annotation(self, annotation_id: int) -> None:
        self._answer()
        task, _ = self._find_annotation(annotation_id)
        left = tuple(a for a in task.annotations if a.id != annotation_id)
        self._touch(task, annotations=left, is_labeled=bool(left))
        self._send("ANNOTATIONS_DELETED", task.project_id, annotations=[{"id": annotation_id}])

    def import_predictions(self, project_id: int, predictions: Rows) -> int:
        self._get(self.projects, project_id)
        gone = [row["task"] for row in predictions if self._project_of(row["task"]) != project_id]
        if gone:
            raise LabelStudioError('{…} contains invalid "task" field', status=400)
        for row in predictions:
            self._predict(row["task"], row)
        return len(predictions)

    def create_prediction(
        self, task_id: int, result: Rows, *, score: float, model_version: str, cluster: int | None = None
    ) -> StoredPrediction:
        self._touch(self._get(self.tasks, task_id))
        row = {"result": result, "score": score, "model_version": model_version, "cluster": cluster}
        return self._predict(task_id, row)

    def update_prediction(
        self, prediction_id: int, result: Rows, *, score: float, cluster: int | None = None
    ) -> StoredPrediction:
        changed = replace(self._get(self.predictions, prediction_id), result=list(result), score=score, cluster=cluster)
        self.predictions[prediction_id] = changed
        return changed

    def find_prediction(self, prediction_id: int) -> StoredPrediction | None:
        self._answer()
        return self.predictions.get(prediction_id)

    def list_predictions(self, task_id: int) -> list[StoredPrediction]:
        self._answer()
        return [p for p in self.predictions.values() if p.task_id == task_id]

    def delete_prediction(self, prediction_id: int) -> None:
        self._answer()
        self.predictions.pop(prediction_id, None)

    def list_views(self, project_id: int) -> list[View]:
        self._answer()
        return [view for owner, view in self.views.values() if owner == project_id]

    def create_view(self, project_id: int, data: Mapping[str, Any]) -> View:
        self._answer()
        view = View(self._id(), str(data.get("title", "")), dict(data))
        self.views[view.id] = (project_id, view)
        return view

    def order_views(self, project_id: int, view_ids: Sequence[int]) -> None:
        self._get(self.projects, project_id)
        order = {view_id: at for at, view_id in enumerate(view_ids)}
        self.views = dict(sorted(self.views.items(), key=lambda one: order.get(one[0], -1)))

    def hold_draft(self, task_id: int) -> None:
        """Let an annotator have begun on a task."""
        self.tasks[task_id] = replace(self.tasks[task_id], has_draft=True)

    def _answer(self) -> None:
        if self.down:
            raise LabelStudioUnavailable("Label Studio does not answer")

    def _get(self, rows: Mapping[int, Any], row_id: int) -> Any:
        self._answer()
        if row_id not in rows:
            raise LabelStudioError("No such object matches the given query.", status=404)
        return rows[row_id]

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def _tick(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def _project_of(self, task_id: int) -> int | None:
        task = self.tasks.get(task_id)
        return None if task is None else task.project_id

    def _import_task(self, project_id: int, row: Mapping[str, Any]) -> int:
        task = StoredTask(self._id(), project_id, dict(row["data"]), False, self._tick())
        annotations = tuple(self._annotation(task.id, a["result"], a) for a in row.get("annotations", ()))
        self.tasks[task.id] = replace(task, annotations=annotations, is_labeled=bool(annotations))
        for prediction in row.get("predictions", ()):
            self._predict(task.id, prediction)
        return task.id

    def _annotation(self, task_id: int, result: Rows, fields: Mapping[str, Any]) -> StoredAnnotation:
        now = self._tick()
        return StoredAnnotation(
            id=self._id(),
            task_id=task_id,
            result=copy.deepcopy(list(result)),
            was_cancelled=bool(fields.get("was_cancelled")),
            ground_truth=bool(fields.get("ground_truth")),
            lead_time=fields.get("lead_time"),
            completed_by=1,
            parent_prediction=fields.get("parent_prediction"),
            created_at=now,
            updated_at=now,
        )

    def _predict(self, task_id: int, row: Mapping[str, Any]) -> StoredPrediction:
        result = copy.deepcopy(list(row["result"]))
        prediction = StoredPrediction(
            self._id(),
            task_id,
            result,
            row.get("score"),
            row.get("model_version", ""),
            self._tick(),
            row.get("cluster"),
        )
        self.predictions[prediction.id] = prediction
        return prediction

    def _find_annotation(self, annotation_id: int) -> tuple[StoredTask, StoredAnnotation]:
        self._answer()
        for task in self.tasks.values():
            for annotation in task.annotations:
                if annotation.id == annotation_id:
                    return task, annotation
        raise LabelStudioError("No Annotation matches the given query.", status=404)

    def _save(self, task: StoredTask, annotation: StoredAnnotation, action: str) -> None:
        others = tuple(a for a in task.annotations if a.id != annotation.id)
        self._touch(task, annotations=(*others, annotation), is_labeled=True)
        rows = {"annotation": _annotation_row(annotation), "task": _task_row(self.tasks[task.id])}
        self._send(action, task.project_id, **rows)

    def _touch(self, task: StoredTask, **changes: Any) -> None:
        self.tasks[task.id] = replace(task, **changes, updated_at=self._tick())

    def _shown(self, task: StoredTask) -> StoredTask:
        return replace(task, predictions=tuple(self.list_predictions(task.id)))

    def _send(self, action: str, project_id: int, **rows: Any) -> None:
        self.sent.append({"action": action, **rows, "project": asdict(self.projects[project_id])})


def _set(project: StoredProject, settings: Mapping[str, Any]) -> StoredProject:
    return replace(project, **{name: value for name, value in settings.items() if hasattr(project, name)})


def _task_row(task: StoredTask) -> dict[str, Any]:
    data = copy.deepcopy(task.data)
    return {
        "id": task.id,
        "project": task.project_id,
        "data": data,
        "is_labeled": task.is_labeled,
        "updated_at": task.updated_at.isoformat(),
    }


def _annotation_row(annotation: StoredAnnotation) -> dict[str, Any]:
    row = asdict(annotation)
    row["task"] = row.pop("task_id")
    return row | {"created_at": annotation.created_at.isoformat(), "updated_at": annotation.updated_at.isoformat()}
