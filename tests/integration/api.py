"""The REST API as its users meet it: a real server on a real port, a real store, a Label Studio in memory."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from config.settings import Settings
from ml_backend.app import create_app
from ml_backend.bootstrap import Services, utc_now
from ml_backend.model_slot import LoadedModel
from tests.fakes.label_studio import FakeLabelStudio
from tests.integration.loop import register
from tests.integration.rows import new_project
from training.access import Role
from training.admission import create_token
from training.spans import Prediction, ScoredSpan
from training.store.unit_of_work import Store

API = "/api/discovery/ml"
START_SECONDS = 30.0
TEXT = "John Smith's SSN is 123-45-6789"
JOHN = {"text": "John Smith", "start": 0, "end": 10, "label": "PII", "sublabel": "PERSON"}
SSN = {"text": "123-45-6789", "start": 20, "end": 31, "label": "PII", "sublabel": "SSN"}


class StubPipeline:
    """Finds two persons by name and every social security number, at once and without a model."""

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction a text."""
        return [self._predict(text) for text in texts]

    def _predict(self, text: str) -> Prediction:
        found = [ScoredSpan(*m.span(), "PERSON", 0.9) for m in re.finditer("John Smith|Ada Byron", text)]
        found += [ScoredSpan(*m.span(), "SSN", 0.8, "pattern") for m in re.finditer(r"\d{3}-\d{2}-\d{4}", text)]
        return Prediction(tuple(sorted(found)), 0.7)


class StubSlots:
    """Serves the stub as each project's live version."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self) -> None:
        """Nothing to watch."""

    def stop(self) -> None:
        """Nothing to stop."""

    def live(self, project_id: int) -> LoadedModel:
        """The stub under the live version's name."""
        with self._store.read() as uow:
            model = uow.models.live(project_id)
        assert model is not None
        return LoadedModel(model.id, model.version, StubPipeline())  # type: ignore[arg-type]


class Api:
    """A server over a store. Calls go out with an admin's token unless told otherwise."""

    def __init__(self, store: Store, folder: Path, **settings: Any) -> None:
        self.store, self.label_studio = store, FakeLabelStudio()
        self.services = Services(Settings(data_dir=folder, web_workers=1, **settings))
        self.services.__dict__.update(store=store, label_studio=self.label_studio)
        self.app = create_app(self.services)
        self.app.state.slots = StubSlots(store)
        self.client = httpx.Client(timeout=60)
        self.token = self.make_token("john.doe", Role.ADMIN)

    def make_token(self, name: str, role: Role, **limits: int) -> str:
        """A new token."""
        with self.store.write() as uow:
            token = create_token(uow, name, role, secret=secrets.token_urlsafe(32), now=utc_now(), **limits)
            uow.commit()
        return token

    def add_project(self, **changes: Any) -> int:
        """A project in the store and in Label Studio, with version 0 live; its id."""
        config = new_project().label_config
        project_id = self.label_studio.create_project("A project", config).id
        with self.store.write() as uow:
            project = new_project(project_id, **changes)
            uow.projects.add(project)
            register(uow, project)
            uow.commit()
        return project_id

    def call(self, method: str, path: str, *, token: str | None = None, **rest: Any) -> httpx.Response:
        """Send a request; `path` follows /api/discovery/ml/. An empty token sends none."""
        headers = dict(rest.pop("headers", {}))
        token = self.token if token is None else token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.client.request(method, f"{API}/{path}", headers=headers, **rest)

    def get(self, path: str, **rest: Any) -> httpx.Response:
        """GET below /api/discovery/ml/."""
        return self.call("GET", path, **rest)

    def post(self, path: str, body: Any = None, **rest: Any) -> httpx.Response:
        """POST a JSON body below /api/discovery/ml/."""
        return self.call("POST", path, json=body, **rest)

    def patch(self, path: str, body: Any, **rest: Any) -> httpx.Response:
        """PATCH with a JSON body below /api/discovery/ml/."""
        return self.call("PATCH", path, json=body, **rest)

    def delete(self, path: str, **rest: Any) -> httpx.Response:
        """DELETE below /api/discovery/ml/."""
        return self.call("DELETE", path, **rest)


@contextmanager
def serve(api: Api) -> Iterator[Api]:
    """Let the server answer until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(api.app, host="127.0.0.1", port=0, log_level="critical", access_log=False, ws="none")
    )
    thread = threading.Thread(target=server.run, name="api-under-test", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the server did not start within {START_SECONDS:.0f} s")
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    api.client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
    try:
        yield api
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        api.client.close()


def error_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error of an answer, which must have this status, this code and the one shape of errors."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert error["code"] == code, error
    assert error["request_id"] == response.headers["X-Request-ID"]
    assert all(set(detail) == {"path", "message"} for detail in error["details"])
    return error


def paths_of(error: dict[str, Any]) -> list[str]:
    """The paths of an error's details."""
    return [detail["path"] for detail in error["details"]]


def feedback(**changes: Any) -> dict[str, Any]:
    """The feedback of the contract's example, its wrong offsets included."""
    body: dict[str, Any] = {
        "text": TEXT,
        "entities": [JOHN],
        "is_correct": False,
        "corrected_entities": [JOHN, {**SSN, "start": 22, "end": 33}],
        "notes": "Missed the SSN",
    }
    return {name: value for name, value in (body | changes).items() if value is not ...}
