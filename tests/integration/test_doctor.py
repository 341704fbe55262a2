"""The doctor: what is well, what is not, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rq import Worker
from sqlalchemy import update

from config.settings import Settings
from ml_backend.bootstrap import Services
from ml_backend.cli.main import run
from ml_backend.doctor import examine
from ml_backend.jobs import CHALLENGE, CHALLENGE_EVERY
from ml_backend.queues import QueueName
from sync.checkup import Level
from tests.integration.healthy_system import System, run_healthy_system
from tests.integration.rows import new_event
from training.store.tables.inbox import EventStatus
from training.store.tables.projects import DueTime
from training.store.unit_of_work import Store

pytestmark = pytest.mark.usefixtures("quiet_logs")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def system(sqlite_store: Store, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """A healthy system."""
    with run_healthy_system(sqlite_store, redis_url, tmp_path) as system:
        yield system


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
