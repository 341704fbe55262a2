"""The doctor: what is well, what is not, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rq import Queue, Worker
from rq.serializers import JSONSerializer
from sqlalchemy import update

from config.settings import Settings
from ml_backend import projects
from ml_backend.bootstrap import Services
from ml_backend.cli.main import run
from ml_backend.doctor import examine
from ml_backend.jobs import CHALLENGE, CHALLENGE_EVERY
from ml_backend.queues import QueueName
from sync.checkup import Finding, Level
from sync.reconcile import reconcile
from tests.fakes.label_studio import FakeLabelStudio
from tests.integration.rows import new_event
from tests.live.receiver import run_receiver
from training.store.tables.annotations import PushedPrediction
from training.store.tables.inbox import EventStatus
from training.store.tables.projects import DueTime
from training.store.unit_of_work import Store
from training.taxonomy import load_taxonomy, taxonomy_of

pytestmark = pytest.mark.usefixtures("quiet_logs")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class LabelStudioWithClock(FakeLabelStudio):
    """A Label Studio whose clock goes wrong by `skew`."""

    skew = timedelta()

    def clock(self) -> datetime | None:
        self._answer()
        return datetime.now(UTC) + self.skew


@dataclass
class System:
    """A system in which everything is well: store, Redis, workers, web process, Label Studio, one project."""

    services: Services
    fake: LabelStudioWithClock
    store: Store
    project_id: int

    def problems(self, **options: Any) -> list[Finding]:
        """What must be mended."""
        return [finding for finding in examine(self.services, **options) if finding.level is Level.PROBLEM]

    def only_problem(self) -> Finding:
        """The one thing that must be mended, which comes with a remedy."""
        (found,) = self.problems()
        assert found.remedy
        return found

    def change_webhook(self, **changes: Any) -> None:
        """Change the project's webhook as somebody might by hand."""
        ((hook_id, hook),) = self.fake.webhooks.items()
        self.fake.webhooks[hook_id] = replace(hook, **changes)

    def change_backend(self, **changes: Any) -> None:
        """Change the project's backend as somebody might by hand."""
        ((backend_id, backend),) = self.fake.backends.items()
        self.fake.backends[backend_id] = replace(backend, **changes)

    def change_project(self, **changes: Any) -> None:
        """Change the project in Label Studio as somebody might by hand."""
        self.fake.projects[self.project_id] = replace(self.fake.projects[self.project_id], **changes)


@pytest.fixture
def system(sqlite_store: Store, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """A healthy system."""
    fake = LabelStudioWithClock()
    with run_receiver() as web:
        settings = Settings(
            data_dir=tmp_path,
            redis_url=redis_url,
            backend_url=web.url,
            backend_password="secret",  # type: ignore[arg-type]
            label_studio_url=fake.url,
            label_studio_api_key="key",  # type: ignore[arg-type]
        )
        services = Services(settings)
        services.__dict__.update(store=sqlite_store, label_studio=fake)
        workers = [_announce_worker(services, queue) for queue in QueueName]
        plan = projects.plan_project(taxonomy_of(["PERSON"], load_taxonomy(None)), base_model="blank:en")
        project = projects.create(services, "Letters", plan)
        yield System(services, fake, sqlite_store, project.id)
        for worker in workers:
            worker.register_death()


def _announce_worker(services: Services, queue: QueueName) -> Worker:
    redis = services.doorbell.redis
    worker = Worker([Queue(queue, connection=redis, serializer=JSONSerializer)], connection=redis)
    worker.register_birth()
    return worker


def test_doctor_finds_nothing_to_do_where_all_is_well(system: System) -> None:
    """A healthy system is all ticks, each part named."""
    findings = list(examine(system.services))
    assert {finding.level for finding in findings} == {Level.OK}
    subjects = {finding.subject for finding in findings}
    assert {"database", "Redis", "workers", "web process", "Label Studio", "disk", "inbox"} < subjects
    assert f"project {system.project_id}" in subjects


def test_doctor_ends_with_a_code_that_says_whether_there_is_something_to_do(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0 where all is well; 1 with findings and remedies where not; the same as JSON."""
    assert run(["doctor"], system.services) == 0
    assert "✓ database" in capsys.readouterr().out
    system.change_webhook(headers={})
    assert run(["doctor", "--project", str(system.project_id)], system.services) == 1
    said = capsys.readouterr().out
    assert "✗" in said
    assert f"→ run `spanloop project adopt {system.project_id}`" in said
    assert "1 thing needs to be done." in said
    assert run(["doctor", "--json"], system.services) == 1
    levels = [finding["level"] for finding in json.loads(capsys.readouterr().out)]
    assert levels.count("problem") == 1
    assert run(["doctor", "--project", "99"], system.services) == 3


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


def test_a_project_that_cannot_follow_holds_up_no_other(system: System) -> None:
    """One whose labelling config was spoilt meanwhile stays behind; the others are called where we are now."""
    plan = projects.plan_project(taxonomy_of(["PERSON"], load_taxonomy(None)), base_model="blank:en")
    other = projects.create(system.services, "Bills", plan)
    system.change_project(label_config='<View><Text name="text" value="$text"/></View>')
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


def test_doctor_sees_that_nothing_rings(system: System) -> None:
    """A scheduler that is gone is found by the time of the last tick."""
    with system.store.write() as uow:
        assert uow.schedule.claim(CHALLENGE, system.project_id, every=CHALLENGE_EVERY, now=datetime.now(UTC))
        uow.commit()
    assert system.problems() == []
    with system.store.write() as uow:
        uow.session.execute(update(DueTime).values(due_at=datetime.now(UTC) - timedelta(hours=1)))
        uow.commit()
    finding = system.only_problem()
    assert finding.subject == "scheduler"
    assert "what is due was last looked for at" in finding.found
    assert "ml_backend.scheduler" in finding.remedy


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


def test_doctor_sees_files_that_do_not_match_their_checksums(system: System, tmp_path: Path) -> None:
    """A live version whose stored files were damaged is found before anybody restarts a web process."""
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "model").write_text("weights")
    artefact = system.services.artefacts.save(folder, "project-1")
    with system.store.write() as uow:
        live = uow.models.live(system.project_id)
        assert live is not None
        live.path, live.checksum = artefact.path, artefact.checksum
        uow.commit()
    assert system.problems() == []
    (tmp_path / "models" / artefact.path / "model").write_text("other weights")
    assert "does not match its checksum" in system.problems()[0].found


def test_doctor_sees_a_project_that_is_gone(system: System) -> None:
    """A project that Label Studio does not have any more is found, and reconciling takes note of it."""
    system.fake.delete_project(system.project_id)
    assert "spanloop sync reconcile" in system.only_problem().remedy


def test_doctor_sees_parked_and_late_events(system: System) -> None:
    """Events that were given up, and events that nobody works off, are found."""
    with system.store.write() as uow:
        uow.inbox.add(new_event("a", status=EventStatus.PARKED))
        uow.inbox.add(new_event("b", available_at=LONG_AGO))
        uow.commit()
    parked, late = system.problems()
    assert "spanloop sync replay --all" in parked.remedy
    assert "spanloop sync drain" in late.remedy


def test_doctor_sees_clocks_that_differ(system: System) -> None:
    """A Label Studio whose clock is wrong is found, with the direction."""
    system.fake.skew = timedelta(seconds=-95)
    finding = system.only_problem()
    assert "behind ours" in finding.found
    assert "9" in finding.found


def test_doctor_sees_a_queue_that_nobody_works_on(system: System) -> None:
    """A worker that was killed does not count, although Redis still knows it."""
    redis = system.services.doorbell.redis
    for worker in Worker.all(connection=redis):
        if QueueName.TRAINING.value in worker.queue_names():
            redis.hset(worker.key, "pid", "999999999")
    finding = system.only_problem()
    assert finding.found == "none on the queue training"
    assert "python -m ml_backend.worker training" in finding.remedy


def break_redis(system: System) -> None:
    """Redis is somewhere else."""
    broken = Services(system.services.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"}))
    system.services.__dict__["doorbell"] = broken.doorbell


def break_label_studio(system: System) -> None:
    """Label Studio is down."""
    system.fake.down = True


@pytest.mark.parametrize(("break_it", "subject"), [(break_redis, "Redis"), (break_label_studio, "Label Studio")])
def test_doctor_goes_on_when_a_part_is_down(system: System, break_it: Callable[[System], None], subject: str) -> None:
    """What cannot be reached is one finding, and everything else is looked at all the same."""
    break_it(system)
    findings = list(examine(system.services))
    assert [finding.subject for finding in findings if finding.level is Level.PROBLEM] == [subject]
    assert {"database", "disk", "inbox"} <= {finding.subject for finding in findings}


def test_doctor_says_what_is_missing_where_nothing_is_set(tmp_path: Path) -> None:
    """On a machine where nothing was started yet each part says what to do first."""
    settings = Settings(data_dir=tmp_path, port=1)
    found = {finding.subject: finding for finding in examine(Services(settings))}
    for subject in ("database", "Redis", "web process", "Label Studio"):
        assert found[subject].level is Level.PROBLEM
        assert "make up" in found[subject].found + found[subject].remedy


def test_doctor_hides_the_databases_password(tmp_path: Path) -> None:
    """A database that cannot be reached is one finding, without its password."""
    settings = Settings(data_dir=tmp_path, database_url="postgresql://me:hushhush@127.0.0.1:1/none", port=1)
    (finding,) = [finding for finding in examine(Services(settings)) if finding.subject == "database"]
    assert finding.level is Level.PROBLEM
    assert "hushhush" not in finding.found
    assert "SPANLOOP_DATABASE_URL" in finding.remedy
