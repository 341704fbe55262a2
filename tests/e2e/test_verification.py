"""What applications propose, verified by a person: in by the REST API, mended on the page, out by the REST API."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.live.browser import BrowserAnnotator
from tests.live.project import LiveProject
from tests.live.system import RunningSystem

TEXT = "Maria Teixeira 🙂 lost KX-4711 somewhere near the east gate."
PROPOSED, BADGE, PERSON = "KX-47", "KX-4711", "Maria Teixeira"
OTHERS = ["Nobody has seen the blue umbrella since Tuesday.", "The lift stops at every floor on Sundays."]


def entity(words: str, label: str) -> dict[str, Any]:
    """An entity as applications write it."""
    return {"text": words, "start": TEXT.index(words), "end": TEXT.index(words) + len(words), "sublabel": label}


@pytest.fixture(scope="module")
def project(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> LiveProject:
    """A project with some texts in its queue."""
    folder = tmp_path_factory.mktemp("verification")
    made = LiveProject.create(system, "Verification", ("PERSON", "BADGE"), folder=folder, base="blank:en")
    made.import_texts(OTHERS, folder=folder)
    return made


@pytest.fixture(scope="module")
def api(system: RunningSystem) -> Iterator[httpx.Client]:
    """An application with a token."""
    said = system.spanloop("tokens", "create", "--name", "verification", "--role", "reviewer")
    token = re.search(r"spanloop_\S+", said)
    assert token is not None
    headers = {"Authorization": f"Bearer {token.group()}"}
    with httpx.Client(base_url=f"{system.url}/api/discovery/ml/", headers=headers, timeout=30) as client:
        yield client


def test_feedback_is_mended_by_mouse_and_comes_out_verified(
    system: RunningSystem, project: LiveProject, person: BrowserAnnotator, api: httpx.Client
) -> None:
    """The proposal is the next pre-label; what is submitted is the verified example, and judges no model."""
    answer = api.post(
        "feedback/",
        json={
            "project": project.id,
            "text": TEXT,
            "entities": [],
            "is_correct": False,
            "corrected_entities": [entity(PROPOSED, "BADGE")],
        },
    )
    assert answer.status_code == 201, answer.text
    task = system.wait_for(
        "the proposal's task", lambda: next((t for t in project.tasks() if t.data["text"] == TEXT), None)
    )
    assert "to_verify" in task.data["spanloop"].split()
    first, *others = [view.title for view in project.label_studio.list_views(project.id)]
    assert first == "All tasks"
    assert "To verify" in others

    person.open_labelling(project.id)
    assert person.task_id == task.id
    (shown,) = person.wait_for_regions(1)
    assert (shown.text, shown.label) == (PROPOSED, "BADGE")
    person.take_picture("proposal")
    person.delete(shown)
    person.draw("BADGE", BADGE)
    person.draw("PERSON", PERSON)
    person.wait_for_regions(2)
    person.take_picture("mended")
    person.submit()

    def verified() -> list[dict[str, Any]]:
        query = {"project": project.id, "verified": True, "source": "user_feedback"}
        found: list[dict[str, Any]] = api.get("training-data/", params=query).raise_for_status().json()["results"]
        return found

    (example,) = system.wait_for("the verified example", verified)
    assert example["id"] == answer.json()["training_data_id"]
    assert [(e["text"], e["sublabel"]) for e in example["entities"]] == [(PERSON, "PERSON"), (BADGE, "BADGE")]
    stats = api.get("feedback/stats/", params={"project": project.id}).raise_for_status().json()
    assert (stats["total_feedback"], stats["incorrect_classifications"], stats["on_proposals"]) == (2, 1, 1)
    system.wait_for("the mark to go", lambda: "to_verify" not in _data(project, task.id)["spanloop"].split())


def _data(project: LiveProject, task_id: int) -> dict[str, Any]:
    found = project.label_studio.find_task(task_id)
    assert found is not None
    return found.data


def test_rows_go_in_and_verified_texts_come_out_by_the_worker(
    system: RunningSystem, project: LiveProject, api: httpx.Client
) -> None:
    """What a reviewer imports as verified is exported to a ZIP, both by the worker, with nobody at Label Studio."""
    text = "Reception gave ZQ-2040 to Nora Lindgren."
    rows = [{"text": text, "spans": [{"start": text.index("ZQ"), "end": text.index(" to"), "label": "BADGE"}]}]
    done = _wait_for(system, api, "imports/", {"project": project.id, "rows": rows, "verified": True})
    assert (done["status"], done["counts"]["verified"]) == ("completed", 1)
    exported = _wait_for(system, api, "exports/", {"project": project.id, "format": "jsonl", "part": "all"})
    assert exported["status"] == "completed", exported["error"]
    packed = api.get(f"exports/{exported['id']}/download/").raise_for_status().content
    with zipfile.ZipFile(io.BytesIO(packed)) as files:
        lines = files.read(exported["counts"]["files"][0]).decode().splitlines()
    assert text in {json.loads(line)["text"] for line in lines}


def _wait_for(system: RunningSystem, api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for an import or export, and wait for its end."""
    asked = api.post(path, json=body)
    assert asked.status_code == 202, asked.text

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(f"{path}{asked.json()['id']}/").raise_for_status().json()
        return found if found["status"] in ("completed", "failed") else None

    return system.wait_for(f"{path} to end", ended)
