"""Label Studio's ML backend protocol, with what no Label Studio should send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_backend.model_slot import ModelSlots
from tests.integration.api import Api, error_of, serve
from training.prediction.pipeline import base_spec, known_names
from training.store.unit_of_work import Store

TEXT = "Her SSN is 536-22-8726."


@pytest.fixture
def api(sqlite_store: Store, tmp_path: Path) -> Iterator[Api]:
    """A server with project 1, which serves the English base model."""
    made = Api(sqlite_store, tmp_path, backend_password="hush")
    project_id = made.add_project()
    with sqlite_store.write() as uow:
        live = uow.models.live(project_id)
        assert live is not None
        live.spec = base_spec("en_core_web_sm", "en", known_names(uow.projects.get(project_id).labels)).to_json()
        uow.commit()
    made.app.state.slots = ModelSlots(sqlite_store, made.services.artefacts, poll_seconds=1000)
    with serve(made):
        yield made


def post(api: Api, path: str, body: Any) -> httpx.Response:
    """Call as Label Studio does; a body of ASCII alone can hold half a surrogate pair."""
    return api.client.post(path, content=json.dumps(body), auth=("spanloop", "hush"))


@pytest.mark.parametrize(
    "task",
    [
        {"id": 2, "data": {"text": "half a pair: \ud83d"}},
        {"id": 2, "data": {"text": "a null: \0"}},
        {"id": 2, "data": {"text": ""}},
        {"id": 2, "data": {"text": [TEXT]}},
        {"id": 2, "data": {"note": "no text"}},
        {"id": 2, "data": None},
        {"id": 10**30, "data": {"text": ""}},
        {},
    ],
)
def test_protocol_every_task_gets_a_result(api: Api, task: dict[str, Any]) -> None:
    """A task that nothing can be said of gets an empty result, and those beside it are pre-labelled all the same."""
    answer = post(api, "/p/1/predict", {"tasks": [task, {"id": 1, "data": {"text": TEXT}}]})
    assert answer.status_code == 200
    assert [len(one["result"]) for one in answer.json()["results"]] == [0, 1]


@pytest.mark.parametrize("path", ["setup", "predict", "webhook"])
def test_protocol_refuses_an_id_that_no_project_has(api: Api, path: str) -> None:
    """A number that no database holds is the caller's fault, in the address as in the body."""
    error_of(post(api, f"/p/{10**20}/{path}", {"tasks": []}), 422, "invalid_input")
    body = {"project": f"{10**20}.1", "tasks": [], "action": "TASKS_CREATED", "task": {"project": 10**20}}
    assert post(api, f"/{path}", body).status_code in (201, 422)
