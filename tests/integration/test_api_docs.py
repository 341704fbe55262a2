"""docs/api.md and the page /api/docs/: what they show is what happens."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ml_backend.api.docs_page import ASSETS, PAGE, POLICY, SCHEMA, START
from ml_backend.api.fields import EXAMPLE_TEXT
from tests.integration.api import Api

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
SSN_EXAMPLE = {"text": "536-22-8726", "start": 20, "end": 31, "label": "PII", "sublabel": "SSN"}
BLOCKS = re.findall(r"^```(\w+)(?: (\d+))?\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
KINDS: dict[str, type | tuple[type, ...]] = {
    "<id>": str,
    "<time>": str,
    "<day>": str,
    "<part>": str,
    "<number>": (int, float),
    "<boolean>": bool,
}


def read_request(block: str) -> tuple[str, str, dict[str, str], Any]:
    """Method, address, headers and body of an http block."""
    head, _, body = block.partition("\n\n")
    first, *rest = head.strip().splitlines()
    method, address = first.split(" ", 1)
    headers = dict(line.split(": ", 1) for line in rest)
    return method, address, headers, json.loads(body) if body.strip() else None


def check(shown: Any, answered: Any, place: str = "") -> None:
    """The answer has the shown shape, and its values, place holders aside."""
    if isinstance(shown, str) and shown in KINDS:
        assert isinstance(answered, KINDS[shown]), f"{place}: {answered!r} is no {shown}"
    elif isinstance(shown, dict):
        assert isinstance(answered, dict), place
        assert list(shown) == list(answered), place
        for name, value in shown.items():
            check(value, answered[name], f"{place}.{name}")
    elif isinstance(shown, list):
        assert len(shown) == len(answered), f"{place}: {answered}"
        for index, value in enumerate(shown):
            check(value, answered[index], f"{place}.{index}")
    else:
        assert shown == answered, place


def test_api_docs_show_what_happens(sqlite_api: Api) -> None:
    """Each request of the page, sent in the page's order, is answered as the page shows."""
    known: dict[str, str] = {}
    answer: Any = None
    for kind, status, block in BLOCKS:
        if kind == "http":
            for name, value in known.items():
                block = block.replace(name, value)
            method, address, headers, body = read_request(block)
            headers["Authorization"] = f"Bearer {sqlite_api.token}"
            answer = sqlite_api.client.request(method, address, headers=headers, json=body)
            assert answer.status_code < 400, f"{address}: {answer.text}"
        elif kind == "json":
            assert answer.status_code == int(status), answer.text
            check(json.loads(block), answer.json(), answer.url.path)
            if answer.url.path.endswith("/classify/"):
                known["<the result_id of classify>"] = answer.json()["result_id"]
            if answer.url.path.endswith("/training-data/") and status == "201":
                known["<the id of the training example>"] = answer.json()["id"]
    assert len(known) == 2


def test_api_docs_workflow_runs(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the page runs as it stands."""
    (program,) = [block for kind, _, block in BLOCKS if kind == "python"]
    monkeypatch.setenv("SPANLOOP_API", str(sqlite_api.client.base_url).rstrip("/"))
    monkeypatch.setenv("SPANLOOP_TOKEN", sqlite_api.token)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "1 results were wrong" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_api_docs_shell_runs(sqlite_api: Api) -> None:
    """The commands of the page run as they stand."""
    (script,) = [block for kind, _, block in BLOCKS if kind == "sh"]
    address = str(sqlite_api.client.base_url).rstrip("/")
    environment = {**os.environ, "SPANLOOP_API": address, "SPANLOOP_TOKEN": sqlite_api.token}
    done = subprocess.run(
        ["sh", "-e", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert '"total_feedback":1' in done.stdout


def test_api_docs_page_comes_from_here_alone(sqlite_api: Api) -> None:
    """The page and its assets are served by us without a token, under a policy that lets nothing else in."""
    for name in ("", START, *ASSETS, "openapi.json"):
        answer = sqlite_api.client.get(f"{PAGE}{name}")
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"] == POLICY
    page = sqlite_api.client.get(PAGE).text
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page)) == {
        "data:,",
        *(f"{PAGE}{name}" for name in (*ASSETS, START)),
    }
    assert "unsafe-inline" not in POLICY.partition("style-src")[0]
    assert "http" not in POLICY
    assert sqlite_api.client.get(f"{PAGE}../secrets").status_code == 404
    assert sqlite_api.client.get(f"{PAGE}%2e%2e%2fsecrets").status_code == 404


def find_fields(node: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of an object and every parameter anywhere in the document, with its place."""
    if isinstance(node, list):
        for index, one in enumerate(node):
            yield from find_fields(one, f"{place}.{index}")
    if isinstance(node, dict):
        for name, field in node.get("properties", {}).items():
            yield f"{place}.{name}", field
        for parameter in node.get("parameters", []):
            yield f"{place}: {parameter['name']}", {**parameter["schema"], **parameter}
        for name, one in node.items():
            yield from find_fields(one, f"{place}.{name}" if place else name)


def test_api_docs_describe_every_field(sqlite_api: Api) -> None:
    """Each field, parameter and route says what it is, and each field and parameter has an example that fits it."""
    document = sqlite_api.client.get(SCHEMA).json()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
    fields = dict(find_fields({name: document[name] for name in ("paths", "components")}, ""))
    assert len(fields) > 400
    for place, field in fields.items():
        assert field.get("description"), f"{place} has no description"
        assert field.get("examples"), f"{place} has no example"
        for example in field["examples"]:
            Draft202012Validator({**field, "components": document["components"]}).validate(example)


def test_api_docs_examples_are_those_of_a_person(sqlite_api: Api) -> None:
    """What is most asked for is shown whole: feedback with what was missed, and rows with their spans."""
    schemas = sqlite_api.client.get(SCHEMA).json()["components"]["schemas"]

    def example(schema: str, field: str) -> Any:
        return schemas[schema]["properties"][field]["examples"][0]

    shown, right = example("FeedbackRequest", "entities"), example("FeedbackRequest", "corrected_entities")
    assert [one for one in right if one not in shown] == [SSN_EXAMPLE]
    assert example("ExampleRequest", "entities") == right
    assert example("RowIn", "spans") == shown
    assert example("ImportRequest", "rows") == [{"text": EXAMPLE_TEXT, "spans": shown}]


def test_api_docs_say_which_texts_train(sqlite_api: Api) -> None:
    """No text promises that dev texts never train: they join the last passes of a run."""
    schemas = sqlite_api.client.get(SCHEMA).json()["components"]["schemas"]
    for name in ("FeedbackTaken", "TrainingExample"):
        said = schemas[name]["properties"]["will_be_used_for_training"]["description"]
        assert "dev texts steer training and join its last passes, test texts never train" in said, name
    assert "dev texts steer training and join its last passes; test texts never train" in " ".join(DOCS.split())


def test_api_docs_lists_come_in_pages(sqlite_api: Api) -> None:
    """Every list takes limit and offset, and answers which page it is and where those beside it are."""
    document = sqlite_api.client.get(SCHEMA).json()
    lists = 0
    for path, operations in document["paths"].items():
        answer = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        name = answer.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        fields = document["components"]["schemas"].get(name, {}).get("properties", {})
        if "results" in fields:
            lists += 1
            assert {"count", "limit", "offset", "next", "previous"} <= set(fields), path
            assert {"limit", "offset"} <= {parameter["name"] for parameter in operations["get"]["parameters"]}, path
    assert lists >= 8


def test_api_docs_need_a_token_everywhere(sqlite_api: Api) -> None:
    """The document says that each operation needs a bearer token."""
    document = sqlite_api.client.get(SCHEMA).json()
    schemes = document["components"]["securitySchemes"]
    assert [scheme["scheme"] for scheme in schemes.values()] == ["bearer"]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["security"] == [{name: [] for name in schemes}]
            assert {"401", "403", "422", "429"} <= set(operation["responses"])
