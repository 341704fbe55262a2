"""Models, runs and projects over the REST API."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ml_backend.api.model_figures import _comparing
from tests.integration.api import Api, error_of, paths_of
from tests.integration.loop import SPEC
from tests.integration.rows import NOW, later, new_run
from training.examples.intake import SeenAnnotation, SeenTask, record_annotation, record_task
from training.metrics.evaluation import GoldText, evaluate
from training.spans import Span
from training.store.tables.runs import RunStatus
from training.versions.artefacts import StoredArtefact
from training.versions.gate import Verdict, VerdictKind
from training.versions.registry import Candidate, register_candidate

GOLD = [
    GoldText(1, "Ada", (Span(0, 3, "PERSON"),), (7,)),
    GoldText(2, "123: Ada", (Span(0, 3, "SSN"), Span(5, 8, "PERSON")), (8, 9)),
]

SAID = (
    "Ada paid the baker for twelve warm rolls",
    "Ben had his boat painted before summer came",
    "Cleo wrote a song about rain on tin roofs",
    "Dora keeps bees behind an old mill near town",
    "Emil lost three keys while skating last winter",
)


def register(api: Api, *, right: int, passed: bool = True) -> str:
    """Register a trained version that finds the spans of so many test texts; its name."""
    found = [one.spans if at < right else () for at, one in enumerate(GOLD)]
    evaluation = evaluate(GOLD, found, ("PERSON", "SSN", "CITY"), seed=0)
    kind = VerdictKind.PASSED if passed else VerdictKind.REFUSED
    verdict = Verdict(passed=passed, kind=kind, reasons=(f"it was {kind}",), figures={})
    candidate = Candidate(SPEC, save_files(api), evaluation, verdict, None)
    with api.store.write() as uow:
        model = register_candidate(uow, uow.projects.lock(1), candidate, now=NOW)
        uow.commit()
    return model.version


def save_files(api: Api) -> StoredArtefact:
    """The files of a version."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").write_text("a model")
        return api.services.artefacts.save(Path(folder), "project-1")


def versions(api: Api) -> dict[str, bool]:
    """Each version, and whether it is live."""
    return {row["version"]: row["is_production"] for row in api.get("models/").json()["results"]}


def test_api_models_go_live_and_back(api: Api) -> None:
    """A version is put live by name, number or id, and rolled back to the one before."""
    register(api, right=1)
    register(api, right=2)
    assert versions(api) == {"spanloop-v2": False, "spanloop-v1": False, "spanloop-v0": True}
    assert api.post("models/spanloop-v1/activate/", {"reason": "try"}).json()["is_production"] is True
    shown = api.post("models/2/activate/", {}).json()
    assert (shown["version"], shown["activations"][0]["by"]) == ("spanloop-v2", "api:john.doe")
    assert versions(api) == {"spanloop-v2": True, "spanloop-v1": False, "spanloop-v0": False}
    assert api.post("models/rollback/", {}).json()["version"] == "spanloop-v1"
    assert api.post(f"models/{shown['id']}/activate/", {}).json()["version"] == "spanloop-v2"


def test_api_models_come_in_pages(sqlite_api: Api) -> None:
    """Versions, their history and projects are listed page by page, each page with the address of the next."""
    register(sqlite_api, right=1)
    register(sqlite_api, right=2)
    first = sqlite_api.get("models/?limit=2").json()
    assert (first["count"], [row["number"] for row in first["results"]]) == (3, [2, 1])
    rest = sqlite_api.client.get(first["next"], headers={"Authorization": f"Bearer {sqlite_api.token}"}).json()
    assert ([row["number"] for row in rest["results"]], rest["next"]) == ([0], None)
    told = sqlite_api.get("models/history/?limit=1&offset=1").json()
    assert (told["count"], [row["version"] for row in told["results"]]) == (2, ["spanloop-v2"])
    second = sqlite_api.add_project()
    listed = sqlite_api.get("projects/?limit=1&offset=1").json()
    assert (listed["count"], [row["id"] for row in listed["results"]]) == (2, [second])


def test_api_models_are_put_live_in_the_project_that_is_named(sqlite_api: Api) -> None:
    """The project stands in the body, as in every request; in the query it is taken too, but not another one."""
    second = sqlite_api.add_project()
    error_of(sqlite_api.post("models/0/activate/", {}), 422, "invalid_input")
    named = sqlite_api.post("models/0/activate/", {"project": second})
    assert (named.status_code, named.json()["project"]) == (200, second)
    assert sqlite_api.post(f"models/0/activate/?project={second}", {}).json()["project"] == second
    error = error_of(sqlite_api.post(f"models/0/activate/?project={second}", {"project": 1}), 422, "invalid_input")
    assert paths_of(error) == ["project"]


def test_api_models_without_whole_files_do_not_go_live(sqlite_api: Api) -> None:
    """A version whose files were changed is refused by name; what is live stays, whether one goes forward or back."""
    for number in (1, 2, 3):
        register(sqlite_api, right=1)
        if number < 3:
            assert sqlite_api.post(f"models/{number}/activate/", {"reason": "try"}).status_code == 200
    for folder in Path(sqlite_api.services.settings.resolved_artefacts_url).glob("project-1-*"):
        (folder / "model").write_text("another model")
    error = error_of(sqlite_api.post("models/3/activate/", {"reason": "try"}), 503, "artefact_corrupt")
    assert "spanloop-v3 cannot go live" in error["message"]
    error_of(sqlite_api.post("models/rollback/", {}), 503, "artefact_corrupt")
    assert versions(sqlite_api)["spanloop-v2"] is True
    assert sqlite_api.post("models/0/activate/", {}).json()["is_production"] is True


def test_api_models_that_were_refused_need_a_reason(sqlite_api: Api) -> None:
    """A version that its gate refused goes live only with a reason, which is kept."""
    version = register(sqlite_api, right=1, passed=False)
    error = error_of(sqlite_api.post(f"models/{version}/activate/", {}), 409, "gate_refused")
    assert "it was refused" in error["message"]
    shown = sqlite_api.post(f"models/{version}/activate/", {"reason": "we know better"}).json()
    assert shown["activations"][0]["reason"] == "we know better"
    assert (shown["verdict"]["kind"], shown["verdict"]["reasons"]) == ("refused", ["it was refused"])


def test_api_models_show_all_that_was_measured(sqlite_api: Api) -> None:
    """A version is shown with intervals, near misses, what was taken for what, and the worst texts with their tasks."""
    register(sqlite_api, right=1)
    figures = sqlite_api.get("models/1/").json()["figures"]
    assert figures["f1_low"] <= figures["f1_score"] <= figures["f1_high"]
    assert (figures["texts"], figures["support"], figures["partial_f1"]) == (2, 3, figures["f1_score"])
    assert figures["mistakes"] == [
        {"gold": "PERSON", "predicted": "missed", "spans": 1},
        {"gold": "SSN", "predicted": "missed", "spans": 1},
    ]
    (worst,) = figures["worst"]
    assert [task["id"] for task in worst["tasks"]] == [8, 9]
    assert worst["tasks"][0]["url"].endswith("/projects/1/data?task=8")
    assert worst["missed"][0] == {"start": 0, "end": 3, "sublabel": "SSN"}
    assert sqlite_api.get("models/0/").json()["figures"] is None


def test_api_models_compare_on_the_present_test_texts(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two versions are measured side by side, with the interval of their difference; without test texts it says so.

    However many test texts there are, the answer takes no longer than a sample of them, and comparisons do not pile up.
    """
    error = error_of(sqlite_api.get("models/compare/?a=0&b=0"), 409, "not_enough_data")
    assert "no verified text in its test part" in error["message"]
    with sqlite_api.store.write() as uow:
        project = uow.projects.lock(1)
        project.settings = {"test_fraction": 0.89, "dev_fraction": 0.0}
        for number, text in enumerate(SAID):
            name = text.split()[0]
            record_task(uow, project, SeenTask(number, text, None, False, NOW), now=NOW)
            spans = (Span(0, len(name), "PERSON"),)
            seen = SeenAnnotation(number, number, spans, (), False, False, None, None, None, None, NOW, NOW)
            record_annotation(uow, project, seen, now=NOW)
        uow.commit()
    found = sqlite_api.get("models/compare/?a=0&b=0").json()
    assert (found["a"]["version"], found["b"]["version"]) == ("spanloop-v0", "spanloop-v0")
    assert found["f1"] == {"difference": 0.0, "low": 0.0, "high": 0.0, "probability_better": 0.5}
    assert found["figures_a"] == found["figures_b"]
    assert found["figures_a"]["support"] == found["labels"][0]["support"] >= 1
    assert found["figures_b"]["worst"][0]["tasks"]
    assert found["texts"] == found["test_texts"] >= 2
    error_of(sqlite_api.get("models/compare/?a=0&b=9"), 404, "not_found")
    monkeypatch.setattr("ml_backend.api.model_figures.COMPARED_CHARS", 1)
    sampled = sqlite_api.get("models/compare/?a=0&b=0").json()
    assert (sampled["texts"], sampled["figures_a"]["texts"], sampled["test_texts"]) == (1, 1, found["test_texts"])
    with _comparing:
        error = error_of(sqlite_api.get("models/compare/?a=0&b=0"), 429, "too_many_requests")
    assert "another comparison" in error["message"]


def test_api_models_have_a_history(sqlite_api: Api) -> None:
    """Each figure of each version is kept with its day, overall and by label."""
    register(sqlite_api, right=1)
    register(sqlite_api, right=2)
    told = sqlite_api.get("models/history/?figure=missed&label=PERSON").json()["results"]
    assert [(row["version"], row["value"], row["support"]) for row in told] == [
        ("spanloop-v1", 1.0, 2),
        ("spanloop-v2", 0.0, 2),
    ]
    assert sqlite_api.get("models/history/").json()["results"][1]["value"] == 1.0
    error_of(sqlite_api.get("models/history/?figure=beauty"), 422, "invalid_input")


def test_api_models_have_nothing_to_roll_back_to(sqlite_api: Api) -> None:
    """Without an earlier version a rollback is a 404."""
    error_of(sqlite_api.post("models/rollback/", {}), 404, "not_found")


def test_api_models_train_one_at_a_time(api: Api) -> None:
    """A run is asked for, shown, listed and cancelled; a second one is refused meanwhile."""
    run = api.post("models/train/", {"promote": True})
    assert run.status_code == 202
    assert (run.json()["status"], run.json()["promote"]) == ("pending", True)
    error = error_of(api.post("models/train/", {}), 409, "conflict")
    assert run.json()["id"] in error["message"]
    path = f"runs/{run.json()['id']}/"
    assert api.get(path).json() == {**run.json(), "figures": None, "live_figures": None}
    assert api.post(f"{path}cancel/").json()["status"] == "cancelled"
    error_of(api.post(f"{path}cancel/"), 409, "conflict")
    assert api.post("models/train/", {}).status_code == 202


def test_api_models_show_a_runs_progress(sqlite_api: Api) -> None:
    """A running run shows how far it is, and stops at its next step when it is cancelled."""
    with sqlite_api.store.write() as uow:
        run = new_run(status=RunStatus.RUNNING, epoch=3, step=40, loss=1.5, dev_f1=0.8, seconds_left=12.0, worker="w")
        uow.runs.add(run)
        uow.commit()
    shown = sqlite_api.get(f"runs/{run.id}/").json()
    assert shown["progress"] == {"epoch": 3, "step": 40, "loss": 1.5, "dev_f1": 0.8, "seconds_left": 12.0}
    cancelled = sqlite_api.post(f"runs/{run.id}/cancel/").json()
    assert (cancelled["status"], cancelled["cancel_requested"]) == ("running", True)
    with sqlite_api.store.write() as uow:
        uow.projects.lock(1).deleted_at = NOW
        uow.commit()
    error_of(sqlite_api.post(f"runs/{run.id}/cancel/"), 404, "not_found")


def test_api_models_list_runs_by_status(sqlite_api: Api) -> None:
    """Runs are listed newest first, by status where one is named, page by page."""
    with sqlite_api.store.write() as uow:
        for number in range(5):
            status = RunStatus.FAILED if number % 2 else RunStatus.COMPLETED
            uow.runs.add(new_run(status=status, created_at=later(number), error=f"number {number}"))
        uow.commit()

    def listed(query: str) -> list[str]:
        return [row["error"] for row in sqlite_api.get(f"runs/?{query}").json()["results"]]

    assert listed("") == [f"number {number}" for number in (4, 3, 2, 1, 0)]
    assert listed("status=failed") == ["number 3", "number 1"]
    assert listed("limit=2&offset=2") == ["number 2", "number 1"]
    assert sqlite_api.get("runs/?status=failed&limit=1").json()["count"] == 2


def test_api_projects_are_shown_with_their_figures(api: Api) -> None:
    """A project is listed, and shown with labels, settings and counts."""
    (listed,) = api.get("projects/").json()["results"]
    assert (listed["id"], listed["live_version"]) == (1, "spanloop-v0")
    shown = api.get("projects/1/").json()
    assert [label["sublabel"] for label in shown["labels"]] == ["PERSON", "SSN", "CITY"]
    assert shown["settings"]["retrain_after"] == 50
    assert shown["counts"]["verified"] == 0


WRONG_SETTINGS: list[dict[str, Any]] = [
    {"retrain_after": 0},
    {"retrain_after": True},
    {"retrain_after": "100"},
    {"retrain_after": None},
    {"colour": "red"},
    {"verification_rule": "never"},
    {"test_fraction": 0.5, "dev_fraction": 0.5},
    {"auto_promote": 1},
    {"transformer": "a\0b"},
    {"transformer": "x" * 501},
    {"gate_recall_floors": {"\ud800": 0.5}},
]


@pytest.mark.parametrize("settings", WRONG_SETTINGS)
def test_api_projects_refuse_wrong_settings(sqlite_api: Api, settings: dict[str, Any]) -> None:
    """A setting of the wrong kind, out of range or unknown is refused, and nothing changes."""
    before = sqlite_api.get("projects/1/").json()
    body = json.dumps({"settings": settings})
    answer = sqlite_api.call("PATCH", "projects/1/", content=body, headers={"Content-Type": "application/json"})
    error_of(answer, 422, "invalid_input")
    assert sqlite_api.get("projects/1/").json() == before


def test_api_projects_change_settings(sqlite_api: Api) -> None:
    """A change takes over what it names and leaves the rest."""
    shown = sqlite_api.patch("projects/1/", {"settings": {"test_fraction": 0.7, "retrain_after": 7}}).json()
    assert (shown["settings"]["test_fraction"], shown["settings"]["retrain_after"]) == (0.7, 7)
    assert shown["settings"]["dev_fraction"] == 0.15


def test_api_projects_agreement_gives_tasks_to_as_many_annotators(sqlite_api: Api) -> None:
    """Label Studio has to know how many annotators agree, or no text would ever come to be verified."""
    project_id = sqlite_api.add_project()
    sqlite_api.patch(f"projects/{project_id}/", {"settings": {"verification_rule": "agreement:2"}})
    assert sqlite_api.label_studio.projects[project_id].maximum_annotations == 2
