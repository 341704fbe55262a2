"""docs/api.md and the page /api/docs/: what they show is what happens."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_backend.api.docs_page import ASSETS, PAGE, POLICY, SCHEMA, START
from tests.integration.api import Api

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
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


def leaves(document: Any, schema: Any, place: str) -> list[tuple[str, Any]]:
    """Every field of an object schema, with its place."""
    return [(f"{place}.{name}", field) for name, field in schema.get("properties", {}).items()]


def test_api_docs_describe_every_field(sqlite_api: Api) -> None:
    """Each field, parameter and route says what it is; each value has an example or a default."""
    document = sqlite_api.client.get(SCHEMA).json()
    fields = [
        leaf for name, schema in document["components"]["schemas"].items() for leaf in leaves(document, schema, name)
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"]
            assert operation["description"]
            fields += [(f"{method} {path}: {p['name']}", {**p["schema"], **p}) for p in operation.get("parameters", [])]
    for place, field in fields:
        assert field.get("description"), f"{place} has no description"
        shown = json.dumps(field)
        composed = "$ref" in shown
        assert composed or any(f'"{key}"' in shown for key in ("examples", "example", "default")), (
            f"{place} has no example"
        )


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
