"""The doctor on a project: is it connected, does its queue bring up what teaches most, and what to do where not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ml_backend import projects
from ml_backend.bootstrap import Services
from ml_backend.cli.main import run
from ml_backend.doctor import examine
from sync.checkup import Level
from sync.reconcile import reconcile
from tests.integration.healthy_system import System, run_healthy_system
from tests.live.receiver import run_receiver
from training.store.tables.annotations import PushedPrediction
from training.store.unit_of_work import Store
from training.taxonomy import load_taxonomy, taxonomy_of

pytestmark = pytest.mark.usefixtures("quiet_logs")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def system(sqlite_store: Store, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """A healthy system."""
    with run_healthy_system(sqlite_store, redis_url, tmp_path) as system:
        yield system


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"headers": {}}, "has no credential"),
        ({"headers": {"authorization": "Basic b3RoZXI="}}, "another credential"),
        ({"is_active": False}, "switched off"),
        ({"url": "{url}/webhook"}, "goes to"),
        ({"send_for_all_actions": False}, "leaves out some actions"),
        ({"url": "http://before.test/p/1/webhook"}, "goes to http://before.test/p/1/webhook, not to"),
    ],
)
def test_doctor_sees_what_is_wrong_with_a_webhook(system: System, change: dict[str, Any], found: str) -> None:
    """A webhook without our credential, switched off or elsewhere is found, and `adopt` mends it."""
    url = system.services.settings.resolved_backend_url
    system.change_webhook(**{key: value.format(url=url) if key == "url" else value for key, value in change.items()})
    finding = system.only_problem()
    assert found in finding.found
    assert finding.remedy == f"run `spanloop project adopt {system.project_id}`"
    assert run(["project", "adopt", str(system.project_id), "--base-model", "blank:en"], system.services) == 0
    assert system.problems() == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"url": "{url}"}, "goes to"),
        ({"auth_method": "NONE"}, "carries no credential"),
        ({"state": "DI", "error": "\nNo answer\nTraceback"}, "not connected: No answer"),
        ({"title": "spanloop-v7"}, "title is 'spanloop-v7', announced is 'spanloop-v0'"),
        ({"url": "http://before.test/p/1"}, "goes to http://before.test/p/1, not to"),
    ],
)
def test_doctor_sees_what_is_wrong_with_a_backend(system: System, change: dict[str, Any], found: str) -> None:
    """A backend that is elsewhere, open, unreachable or misnamed is found."""
    url = system.services.settings.resolved_backend_url
    system.change_backend(**{key: value.format(url=url) if key == "url" else value for key, value in change.items()})
    finding = system.only_problem()
    assert found in finding.found
    assert f"spanloop project adopt {system.project_id}" in finding.remedy


def test_doctor_says_why_a_labelling_config_cannot_be_used(system: System) -> None:
    """Label Studio shows "400 Bad Request" where /setup refuses a config; the reason stands here, and how to go on."""
    system.change_project(label_config='<View><Text name="text" value="$text"/></View>')
    system.change_backend(state="ER", error="400 Client Error: Bad Request")
    finding = system.only_problem()
    assert "the labelling config has no <Labels>; put <Labels" in finding.found
    assert finding.remedy == f"change it in Label Studio, then run `spanloop project adopt {system.project_id}`"


def started_at(url: str, system: System) -> System:
    """The same system, started again at another address."""
    services = Services(system.services.settings.model_copy(update={"backend_url": url}))
    services.__dict__.update(store=system.store, label_studio=system.fake)
    return replace(system, services=services)


def test_projects_follow_to_another_address(system: System) -> None:
    """Where `make up` starts on another port, the projects that it made are called there, with nothing left to do."""
    with run_receiver() as web:
        moved = started_at(web.url, system)
        assert all("not to" in finding.found for finding in moved.problems())
        assert projects.follow_address(moved.services) == [system.project_id]
        assert moved.problems() == []
        assert projects.follow_address(moved.services) == []


def test_a_project_follows_whose_settings_name_a_label_that_is_gone(system: System) -> None:
    """A recall floor of a label that somebody took out of the labelling config keeps no project where it was."""
    projects.change_settings(
        system.store, system.project_id, {"gate_recall_floors": {"PERSON": 0.9}}, label_studio=lambda: system.fake
    )
    config = system.fake.projects[system.project_id].label_config.replace("PERSON", "CITY")
    system.change_project(label_config=config)
    with run_receiver() as web:
        assert projects.follow_address(started_at(web.url, system).services) == [system.project_id]


def test_a_project_that_cannot_follow_holds_up_no_other(system: System) -> None:
    """One whose labelling config was spoilt meanwhile stays behind; the others are called where we are now."""
    plan = projects.plan_project(taxonomy_of(["PERSON"], load_taxonomy(None)), base_model="blank:en")
    other = projects.create(system.services, "Bills", plan)
    system.change_project(label_config='<View><Text name="text" value="$text"/></View>')
    with run_receiver() as web:
        assert projects.follow_address(started_at(web.url, system).services) == [other.id]


def test_a_project_that_is_deleted_meanwhile_holds_up_no_other(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes while the others follow is no reason to end."""
    plan = projects.plan_project(taxonomy_of(["PERSON"], load_taxonomy(None)), base_model="blank:en")
    other = projects.create(system.services, "Bills", plan)
    find = system.fake.find_project
    monkeypatch.setattr(system.fake, "find_project", lambda one: None if one == system.project_id else find(one))
    with run_receiver() as web:
        assert projects.follow_address(started_at(web.url, system).services) == [other.id]


def test_doctor_sees_that_webhook_and_backend_are_gone(system: System) -> None:
    """What somebody took away in Label Studio is found, and `adopt` makes it anew."""
    system.fake.webhooks.clear()
    assert "no webhook leads to us" in system.only_problem().found
    system.fake.backends.clear()
    assert [finding.found.partition(",")[0] for finding in system.problems()] == [
        "no webhook leads to us",
        "no ML backend leads to us",
    ]
    assert run(["project", "adopt", str(system.project_id), "--base-model", "blank:en"], system.services) == 0
    assert system.problems() == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"model_version": "spanloop-v7"}, "model version is 'spanloop-v7'"),
        ({"show_collab_predictions": False}, "not shown to its annotators"),
    ],
)
def test_doctor_sees_what_is_wrong_with_a_projects_settings(system: System, change: dict[str, Any], found: str) -> None:
    """Settings that somebody changed in Label Studio, and that keep the loop from working, are found."""
    system.change_project(**change)
    assert found in system.only_problem().found


def add_waiting_tasks(system: System, *, pushed: bool, stored: bool) -> list[int]:
    """Two tasks that wait, noted as pushed or not, with or without a prediction in Label Studio."""
    texts = [f"Ada Byron wrote letter {number}" for number in range(2)]
    ids = system.fake.import_tasks(system.project_id, [{"data": {"text": text}} for text in texts])
    reconcile(system.store, system.fake, system.project_id, full=True, clock=lambda: datetime.now(UTC))  # type: ignore[arg-type]
    with system.store.write() as uow:
        live = uow.models.live(system.project_id)
        assert live is not None
        row = {"project_id": system.project_id, "model_id": live.id, "version": live.version, "kind": "model"}
        for task_id in ids if pushed else []:
            uow.texts.add_pushed([PushedPrediction(task_id=task_id, spans=[], score=0.5, pushed_at=LONG_AGO, **row)])
        uow.commit()
    for task_id in ids if stored else []:
        system.fake.create_prediction(task_id, [], score=0.5, model_version=live.version)
    return ids


def test_doctor_sees_that_the_queue_goes_by_scores(system: System) -> None:
    """With predictions of the version shown, there is nothing to do; without a waiting task neither."""
    assert system.problems() == []
    add_waiting_tasks(system, pushed=True, stored=True)
    assert system.problems() == []


def test_doctor_sees_a_queue_without_predictions(system: System) -> None:
    """Tasks wait, and none has a prediction yet: Label Studio serves them at random."""
    add_waiting_tasks(system, pushed=False, stored=False)
    found = system.only_problem()
    assert "its queue is random: none of 2 waiting tasks has a prediction of 'spanloop-v0'" in found.found


def test_doctor_sees_predictions_that_are_lost(system: System) -> None:
    """What somebody deleted in Label Studio is found, and the remedy puts it in again."""
    ids = add_waiting_tasks(system, pushed=True, stored=False)
    found = system.only_problem()
    assert "its queue is random: 2 of 2 tasks at its head lost their prediction" in found.found
    assert f"spanloop sync requeue --project {system.project_id}" in found.remedy
    system.fake.create_prediction(ids[0], [], score=0.5, model_version="spanloop-v0")
    assert system.only_problem().found.startswith("1 of 2 tasks")
    assert run(["sync", "requeue", "--project", str(system.project_id)], system.services) == 0
    with system.store.read() as uow:
        assert uow.texts.count_unpushed(system.project_id, "spanloop-v0") == 2


def test_doctor_names_the_guards_of_label_studio(system: System) -> None:
    """Where a connection is broken and our address is a private one, the settings that let it through are named."""
    assert not any("SSRF" in finding.remedy for finding in examine(system.services))
    system.change_webhook(url="http://elsewhere.test/webhook")
    (note,) = [finding for finding in examine(system.services) if finding.level is Level.NOTE]
    assert "127.0.0.1 is a private one" in note.found
    assert "SSRF_PROTECTION_ENABLED=false and ML_BLOCK_LOCAL_IP=false" in note.remedy


@pytest.mark.parametrize("sampling", ["Sequential sampling", "Uniform sampling"])
def test_doctor_sees_a_queue_that_does_not_go_by_scores(system: System, sampling: str) -> None:
    """A project that somebody gave another order is found, and `adopt` brings the queue back."""
    system.change_project(sampling=sampling)
    assert f"its queue is not active: tasks come up by {sampling!r}" in system.only_problem().found
    assert run(["project", "adopt", str(system.project_id), "--base-model", "blank:en"], system.services) == 0
    assert system.problems() == []


@pytest.mark.parametrize(
    "change",
    [
        {
            "filters": {
                "conjunction": "and",
                "items": [{"filter": "filter:tasks:id", "operator": "greater", "value": 5}],
            }
        },
        {"ordering": ["tasks:id"]},
    ],
)
def test_doctor_sees_a_first_tab_that_leaves_the_queue_out(system: System, change: dict[str, Any]) -> None:
    """Who labels from a tab with a filter or an order leaves the queue: it must not be the first one."""
    view = system.fake.list_views(system.project_id)[0]
    system.fake.views[view.id] = (system.project_id, replace(view, data={**view.data, **change}))
    finding = system.only_problem()
    assert "its first tab, 'All tasks', filters or orders" in finding.found
    assert run(["project", "adopt", str(system.project_id), "--base-model", "blank:en"], system.services) == 0
    assert system.problems() == []
    assert view.id in {one.id for one in system.fake.list_views(system.project_id)}


def test_doctor_sees_that_label_studios_guards_swallow_feedback(system: System) -> None:
    """Started again without the settings that let it call us, Label Studio drops events in silence: it is found."""
    system.fake.guarded = True
    finding = system.only_problem()
    assert "its guards refuse private addresses, so feedback is lost" in finding.found
    assert "SSRF_PROTECTION_ENABLED=false" in finding.remedy


def test_doctor_sees_that_too_few_annotators_are_asked(system: System) -> None:
    """Under agreement:2 Label Studio must give each task to two people."""
    with system.store.write() as uow:
        uow.projects.lock(system.project_id).settings = {"verification_rule": "agreement:2"}
        uow.commit()
    assert "its rule needs 2" in system.only_problem().found


def test_doctor_sees_a_version_that_label_studio_was_not_told_of(system: System) -> None:
    """A live version that is not announced yet is found, and what turns it is named."""
    with system.store.write() as uow:
        live = uow.models.live(system.project_id)
        assert live is not None
        uow.projects.lock(system.project_id).announced_model_id = None
        uow.commit()
    finding = system.only_problem()
    assert "spanloop-v0 is live" in finding.found
    assert "refresh" in finding.remedy


def test_doctor_sees_a_project_that_is_gone(system: System) -> None:
    """A project that Label Studio does not have any more is found, and reconciling takes note of it."""
    system.fake.delete_project(system.project_id)
    assert "spanloop sync reconcile" in system.only_problem().remedy
