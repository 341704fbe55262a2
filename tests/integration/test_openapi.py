"""The OpenAPI document against the server: whatever fits it, or just does not, gets an answer that it describes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis import Case, checks

from config.settings import Settings
from ml_backend.api.fields import UUID_PATTERN
from ml_backend.api.routes import include_api
from ml_backend.bootstrap import Services
from ml_backend.transfers import carry_out
from tests.integration.api import Api, feedback, serve
from training.store.database import open_engine
from training.store.unit_of_work import Store

EXAMPLES = 25
# Not among them: positive_data_acceptance, since entities must fit their text, which a schema cannot say.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
    checks.ignored_auth,
]


def read_document() -> dict[str, object]:
    """The OpenAPI document, from the routes themselves."""
    app = FastAPI()
    include_api(app, Services(Settings()))
    return app.openapi()


config = schemathesis.Config.from_dict(
    # A list that is too long may also be too large.
    {"checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 409, 413, 415, 422]}}}
)
schema = schemathesis.openapi.from_dict(read_document(), config=config)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Api]:
    """One server for all operations, with something in its store, and a limit that nobody reaches."""
    folder = tmp_path_factory.mktemp("openapi")
    shutil.copy(sqlite_template, folder / "store.db")
    engine = open_engine(f"sqlite:///{folder / 'store.db'}")
    made = Api(Store(engine), folder, api_requests_per_minute=10_000_000)
    made.add_project()
    with serve(made) as api:
        for number in range(20):
            api.post("feedback/", feedback(text=f"{number}: John Smith's SSN is 123-45-6789"))
        yield api
    engine.dispose()


@pytest.fixture(scope="module")
def known_ids(served: Api) -> dict[str, Iterator[str]]:
    """Ids of what is there, by path parameter: random ones would only ever meet a 404."""
    examples = [row["id"] for row in served.get("training-data/").json()["results"]]
    runs = [served.post("models/train/", {}).json()["id"]]
    asked = {"imports": {"rows": [{"text": "One text", "spans": []}, {"text": " "}]}, "exports": {"format": "jsonl"}}
    transfers = [served.post(f"{kind}/", body).json()["id"] for kind, body in asked.items()]
    for transfer_id in transfers:
        carry_out(served.services, transfer_id)
    return {
        "transfer_id": cycle(transfers),
        "example_id": cycle(examples),
        "run_id": cycle(runs),
        "name": cycle(["0", "spanloop-v0"]),
    }


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_openapi_describes_every_answer(case: Case, served: Api, known_ids: dict[str, Iterator[str]]) -> None:
    """No server error, no status, header or body that the document does not describe, nothing wrong taken in."""
    for parameter, value in case.path_parameters.items():
        if parameter in known_ids and (parameter == "name" or re.match(UUID_PATTERN, str(value))):
            case.path_parameters[parameter] = next(known_ids[parameter])
    case.call_and_validate(
        base_url=str(served.client.base_url),
        headers={"Authorization": f"Bearer {served.token}"},
        checks=CHECKS,
    )
