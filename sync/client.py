"""Label Studio's API as the flows need it: plain records in and out. Checked against Label Studio 1.23."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from config.errors import LabelStudioError
from sync.records import (
    Backend,
    StoredAnnotation,
    StoredPrediction,
    StoredProject,
    StoredTask,
    User,
    View,
    Webhook,
    read_annotation,
    read_backend,
    read_prediction,
    read_project,
    read_task,
    read_user,
    read_view,
    read_webhook,
)
from sync.transport import Transport

Rows = Sequence[Mapping[str, Any]]
Record = TypeVar("Record")
PAGE = 500
BULK_SECONDS = 240.0
"""A bulk import counts the annotations of every task of the project anew: 10 s and more for 50,000. What was given up
waiting for would be stored all the same, and sent again."""


class LabelStudio:
    """A Label Studio with one user's API key.

    Every call raises LabelStudioUnavailable where Label Studio cannot be reached, and LabelStudioError (with
    `details["status"]`) where it refuses. What is looked up by id and is not there is None.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float = 30.0) -> None:
        self._transport = Transport(url, api_key, timeout=timeout)
        self._sdk = self._transport.sdk

    @property
    def url(self) -> str:
        """Its address, without a trailing slash."""
        return self._transport.url

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    # The installation

    def version(self) -> str:
        """Its release, which also shows that it answers."""
        answer = self._transport.request("GET", "api/version")
        if not isinstance(answer, dict) or "release" not in answer:
            raise LabelStudioError(f"what answers at {self.url} is not Label Studio; check LABEL_STUDIO_URL")
        return str(answer["release"])

    def clock(self) -> datetime | None:
        """The time by its own clock, to the second; None where its answers do not say."""
        return self._transport.clock("api/version")

    def whoami(self) -> User:
        """The user whose API key this is."""
        return read_user(self._transport.request("GET", "api/current-user/whoami"))

    def list_users(self) -> list[User]:
        """Everybody with a login in the organization."""
        return [read_user(row) for row in self._transport.request("GET", "api/users/")]

    # Projects

    def create_project(self, title: str, label_config: str, **settings: Any) -> StoredProject:
        """A new project; `settings` are fields of Label Studio's project. A title has 3 characters or more."""
        return self._write(
            "create the project",
            lambda: self._sdk.projects.create(title=title, label_config=label_config, **settings),
            read_project,
        )

    def find_project(self, project_id: int) -> StoredProject | None:
        """The project, or None."""
        row = self._find(f"api/projects/{project_id}/")
        return None if row is None else read_project(row)

    def list_projects(self) -> list[StoredProject]:
        """Every project that the user may see."""
        found: list[StoredProject] = []
        while True:
            page = len(found) // 100 + 1
            answer = self._transport.request("GET", "api/projects/", params={"page": page, "page_size": 100})
            found += [read_project(row) for row in answer["results"]]
            if not answer.get("next"):
                return found

    def update_project(self, project_id: int, **settings: Any) -> StoredProject:
        """Change fields of Label Studio's project.

        A `model_version` must be a backend's title or stand in a stored prediction, else Label Studio refuses.
        """
        return read_project(self._transport.request("PATCH", f"api/projects/{project_id}/", json=settings))

    def delete_project(self, project_id: int) -> None:
        """Delete the project with all that is in it."""
        self._delete(f"api/projects/{project_id}/")

    # Webhooks and backends

    def list_webhooks(self, project_id: int) -> list[Webhook]:
        """The project's webhooks."""
        return [read_webhook(row) for row in self._transport.request("GET", "api/webhooks/", params=_of(project_id))]

    def create_webhook(self, project_id: int, url: str, *, headers: Mapping[str, str]) -> Webhook:
        """A webhook for all actions, with payload, that carries these headers."""
        return self._write(
            "create the webhook",
            lambda: self._sdk.webhooks.create(project=project_id, url=url, **_webhook_settings(headers)),
            read_webhook,
        )

    def update_webhook(self, webhook_id: int, url: str, *, headers: Mapping[str, str]) -> Webhook:
        """Set a webhook to this address and these headers, active, for all actions, with payload."""
        settings = {"url": url, **_webhook_settings(headers)}
        return read_webhook(self._transport.request("PATCH", f"api/webhooks/{webhook_id}/", json=settings))

    def recheck_webhook(self, webhook: Webhook) -> None:
        """Write the address of a webhook for all actions again, which changes nothing.

        Raises LabelStudioError where Label Studio's guards would not let it call that address now.
        """
        self._transport.request("PATCH", f"api/webhooks/{webhook.id}/", json={"url": webhook.url})

    def delete_webhook(self, webhook_id: int) -> None:
        """Delete a webhook."""
        self._delete(f"api/webhooks/{webhook_id}/")

    def list_backends(self, project_id: int) -> list[Backend]:
        """The project's ML backends. Label Studio asks each one for its health first."""
        return [read_backend(row) for row in self._transport.request("GET", "api/ml", params=_of(project_id))]

    def create_backend(self, project_id: int, url: str, *, title: str, user: str, password: str) -> Backend:
        """Connect an ML backend by basic auth; Label Studio calls its /health and /setup before it answers."""
        settings = _backend_settings(project_id, url, title=title, user=user, password=password)
        return self._write("connect the ML backend", lambda: self._sdk.ml.create(**settings), read_backend)

    def update_backend(
        self, backend_id: int, project_id: int, url: str, *, title: str, user: str, password: str
    ) -> Backend:
        """Set all of a backend: Label Studio fails with 500 where a part is missing."""
        settings = _backend_settings(project_id, url, title=title, user=user, password=password)
        return read_backend(self._transport.request("PATCH", f"api/ml/{backend_id}", json=settings))

    def delete_backend(self, backend_id: int) -> None:
        """Disconnect an ML backend."""
        self._delete(f"api/ml/{backend_id}")

    def start_training(self, backend_id: int) -> None:
        """Press the button "Start Training"."""
        self._transport.request("POST", f"api/ml/{backend_id}/train", json={})

    # Tasks

    def import_tasks(self, project_id: int, tasks: Rows) -> list[int]:
        """Import tasks (`data`, and if wanted `predictions` and `annotations`); their ids, in the same order."""
        if not tasks:
            return []
        path = f"api/projects/{project_id}/import"
        answer = self._transport.request("POST", path, json=list(tasks), params={"return_task_ids": "true"})
        ids = list(answer["task_ids"])
        if len(ids) != len(tasks):
            raise LabelStudioError(
                f"Label Studio made {len(ids)} tasks of {len(tasks)}; `spanloop sync reconcile` helps"
            )
        return ids

    def iter_tasks(
        self,
        project_id: int,
        *,
        changed_since: datetime | None = None,
        only_ids: Sequence[int] | None = None,
        in_full: bool = True,
        page_size: int = PAGE,
    ) -> Iterator[StoredTask]:
        """The project's tasks in order of id, with annotations, predictions and drafts where `in_full`.

        Walks by id, not by page number, so that tasks that change meanwhile shift none of the others.
        """
        if only_ids is not None and len(only_ids) > PAGE:  # they go into the address, which has no room for thousands
            ids = sorted(only_ids)
            for at in range(0, len(ids), PAGE):
                yield from self.iter_tasks(
                    project_id, changed_since=changed_since, only_ids=ids[at : at + PAGE], in_full=in_full
                )
            return
        fixed: list[dict[str, Any]] = []
        if changed_since is not None:
            since = changed_since.astimezone(UTC).isoformat().replace("+00:00", "Z")
            fixed.append(_filter("updated_at", "greater_or_equal", "Datetime", since))
        if only_ids is not None:
            fixed.append(_filter("id", "in_list", "List", list(only_ids)))
        last = -1
        while True:
            items = [*fixed, _filter("id", "greater", "Number", last)]
            query = {"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:id"]}
            params = {
                "project": project_id,
                "page_size": page_size,
                "fields": "all" if in_full else "task_only",
                "query": json.dumps(query),
            }
            rows = self._transport.request("GET", "api/tasks", params=params)["tasks"]
            yield from (read_task(row) for row in rows)
            if len(rows) < page_size:
                return
            last = rows[-1]["id"]

    def find_task(self, task_id: int) -> StoredTask | None:
        """The task with its annotations and predictions, or None."""
        row = self._find(f"api/tasks/{task_id}/")
        return None if row is None else read_task(row)

    def update_task_data(self, task_id: int, data: Mapping[str, Any]) -> StoredTask:
        """Replace a task's data; this moves the task's `updated_at`. The answer holds no annotations."""
        return read_task(self._transport.request("PATCH", f"api/tasks/{task_id}/", json={"data": dict(data)}))

    def delete_task(self, task_id: int) -> None:
        """Delete a task with its annotations."""
        self._delete(f"api/tasks/{task_id}/")

    def next_task(self, project_id: int) -> StoredTask | None:
        """The task that the labelling page would show next, locked for this user; None where the queue is empty."""
        row = self._find(f"api/projects/{project_id}/next")
        return None if row is None else read_task(row)

    # Annotations and predictions

    def create_annotation(self, task_id: int, result: Rows, **fields: Any) -> StoredAnnotation:
        """Submit an annotation; `fields` are parent_prediction, lead_time, ground_truth, was_cancelled."""
        return self._write(
            "submit the annotation",
            lambda: self._sdk.annotations.create(task_id, result=list(result), **fields),
            read_annotation,
        )

    def update_annotation(self, annotation_id: int, **fields: Any) -> StoredAnnotation:
        """Change an annotation's result, ground_truth, was_cancelled or lead_time."""
        return read_annotation(self._transport.request("PATCH", f"api/annotations/{annotation_id}/", json=fields))

    def delete_annotation(self, annotation_id: int) -> None:
        """Delete an annotation."""
        self._delete(f"api/annotations/{annotation_id}/")

    def import_predictions(self, project_id: int, predictions: Rows) -> int:
        """Store predictions (`task`, `result`, `score`, `model_version`) in bulk; how many Label Studio kept.

        Refuses all where one names a task that is gone; leaves out in silence those whose labels the config lacks.
        """
        path = f"api/projects/{project_id}/import/predictions"
        if not predictions:
            return 0
        answer = self._transport.request("POST", path, json=list(predictions), patience=BULK_SECONDS)
        return int(answer["created"])

    def create_prediction(
        self, task_id: int, result: Rows, *, score: float, model_version: str, cluster: int | None = None
    ) -> StoredPrediction:
        """Store one prediction; only this way it can have a cluster, a number of 1 or more."""
        fields = {"score": score, "model_version": model_version, "cluster": cluster}
        return self._write(
            "store the prediction",
            lambda: self._sdk.predictions.create(task=task_id, result=list(result), **fields),
            read_prediction,
        )

    def update_prediction(
        self, prediction_id: int, result: Rows, *, score: float, cluster: int | None = None
    ) -> StoredPrediction:
        """Change what a stored prediction shows; whoever has its task open can still submit."""
        body = {"result": list(result), "score": score, "cluster": cluster}
        return read_prediction(self._transport.request("PATCH", f"api/predictions/{prediction_id}/", json=body))

    def find_prediction(self, prediction_id: int) -> StoredPrediction | None:
        """The prediction, or None."""
        row = self._find(f"api/predictions/{prediction_id}/")
        return None if row is None else read_prediction(row)

    def list_predictions(self, task_id: int) -> list[StoredPrediction]:
        """The predictions of a task, of all versions."""
        return [
            read_prediction(row) for row in self._transport.request("GET", "api/predictions/", params={"task": task_id})
        ]

    def delete_prediction(self, prediction_id: int) -> None:
        """Delete a prediction. An annotator whose page shows it can no longer submit."""
        self._delete(f"api/predictions/{prediction_id}/")

    # Data Manager

    def list_views(self, project_id: int) -> list[View]:
        """The tabs of the project's Data Manager, in their order."""
        return [read_view(row) for row in self._transport.request("GET", "api/dm/views/", params=_of(project_id))]

    def create_view(self, project_id: int, data: Mapping[str, Any]) -> View:
        """A new tab; `data` holds title, filters and ordering as Label Studio describes them."""
        body = {"project": project_id, "data": dict(data)}
        return read_view(self._transport.request("POST", "api/dm/views/", json=body))

    def order_views(self, project_id: int, view_ids: Sequence[int]) -> None:
        """Put the project's tabs into this order."""
        body = {"project": project_id, "ids": list(view_ids)}
        self._transport.request("POST", "api/dm/views/order/", json=body)

    def _write(self, act: str, send: Callable[[], Any], read: Callable[[Mapping[str, Any]], Record]) -> Record:
        return read(self._transport.call(act, send, repeatable=False).model_dump())

    def _find(self, path: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._transport.request("GET", path)
        except LabelStudioError as error:
            if error.details.get("status") == 404:
                return None
            raise
        return found

    def _delete(self, path: str) -> None:
        try:
            self._transport.request("DELETE", path)
        except LabelStudioError as error:
            if error.details.get("status") != 404:  # gone already, by somebody else or by a try before
                raise


def _of(project_id: int) -> dict[str, Any]:
    return {"project": project_id}


def _filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _webhook_settings(headers: Mapping[str, str]) -> dict[str, Any]:
    return {"headers": dict(headers), "is_active": True, "send_payload": True, "send_for_all_actions": True}


def _backend_settings(project_id: int, url: str, *, title: str, user: str, password: str) -> dict[str, Any]:
    auth = {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
    return {"project": project_id, "url": url, "title": title, **auth}
