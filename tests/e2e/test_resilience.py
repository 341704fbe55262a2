"""What happens when a part of the system dies: nothing is lost, nothing is half done, and it goes on by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from config.errors import RunLost
from sync.annotator import Submission
from tests.e2e.texts import badge_texts
from tests.live.project import LiveProject
from tests.live.system import RunningSystem
from training.spans import Span
from training.store.tables.runs import RunStatus

LABELS = ("PERSON", "BADGE")
BATCH = 24
RIGHT = {gold.text: gold.spans(badge="BADGE") for gold in badge_texts(seed=3)}


def right_spans(text: str) -> list[Span]:
    """The right spans of a text."""
    return RIGHT[text]


@pytest.fixture(scope="module")
def project(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> LiveProject:
    """A project with pre-labelled texts."""
    folder = tmp_path_factory.mktemp("resilience")
    made = LiveProject.create(system, "Resilience", LABELS, folder=folder, base="blank:en")
    made.import_texts(list(RIGHT), folder=folder)
    return made


@contextmanager
def held(system: RunningSystem, name: str) -> Iterator[None]:
    """Let a process do nothing meanwhile."""
    process = system.process(name)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def post_event(system: RunningSystem, project: LiveProject, number: int) -> httpx.Response:
    """Send what Label Studio sends when a task was made; nobody knows a task of this number."""
    body = {"action": "TASKS_DELETED", "project": {"id": project.id}, "tasks": [{"id": 900_000 + number}]}
    return httpx.post(f"{system.url}/p/{project.id}/webhook", json=body, auth=system.credential, timeout=10)


def wait_for_empty_inbox(system: RunningSystem) -> None:
    """Return once no event waits."""

    def is_empty() -> bool:
        with system.store.read() as uow:
            counts = uow.inbox.count_by_status()
        return not counts.get("pending") and not counts.get("leased")

    system.wait_for("the inbox to be empty", is_empty)


def test_events_are_taken_while_redis_is_down(system: RunningSystem, project: LiveProject) -> None:
    """Without Redis every event is answered with 2xx and kept; once it is back they are worked off."""
    system.kill("redis")
    answers = [post_event(system, project, number).status_code for number in range(20)]
    assert answers == [201] * 20
    (submission,) = project.annotate(1, right_spans)
    system.wait_until_ready("redis")
    project.wait_for_annotations([submission.annotation_id])
    wait_for_empty_inbox(system)
    assert project.parked() == []
    assert project.actions_done().count("TASKS_DELETED") == 20


def test_events_are_taken_while_redis_hangs(system: RunningSystem, project: LiveProject) -> None:
    """A Redis that accepts and never answers costs the annotator nothing, however many events come."""
    with held(system, "redis"):
        started = time.monotonic()
        answers = [post_event(system, project, number).status_code for number in range(100, 200)]
        seconds = time.monotonic() - started
    assert answers == [201] * 100
    assert seconds < 100, "each of them waited for Redis, which takes 2 s"
    wait_for_empty_inbox(system)


def test_events_wait_for_a_label_studio_that_is_down(system: RunningSystem, project: LiveProject) -> None:
    """Events that need Label Studio wait for it without being parked, and are worked off once it is back."""
    with held(system, "worker-sync"):
        submissions = project.annotate(3, right_spans)
        system.kill("label-studio")
    system.wait_for("the drain to meet the missing Label Studio", lambda: drain_waited(system))
    assert project.parked() == []
    system.wait_until_ready("label-studio")
    project.wait_for_annotations([one.annotation_id for one in submissions])
    feedback = [project.feedback(one.annotation_id) for one in submissions]
    assert all(one is not None and one.result_id for one in feedback)
    assert project.parked() == []


def drain_waited(system: RunningSystem) -> bool:
    """Whether a drain gave events back for want of Label Studio."""
    return "label_studio_unavailable" in system.log("worker-sync")


def test_a_killed_training_worker_leaves_nothing_half_done(system: RunningSystem, project: LiveProject) -> None:
    """The run of a killed worker fails as lost, registers nothing, and the policy trains again by itself."""
    models = Path(system.settings.resolved_artefacts_url)
    before = sorted(models.rglob("*")) if models.exists() else []
    submissions = submit_batch(project)
    system.spanloop("project", "set", project.id, f"retrain_after={BATCH}")
    run = project.wait_for_run(lambda run: run.status == RunStatus.RUNNING and run.step is not None, "a run to train")
    system.kill("worker-training")
    lost = project.wait_for_run(lambda seen: seen.id == run.id and seen.finished_at is not None, "the run to be lost")
    assert (lost.status, lost.error_code, lost.model_id) == (RunStatus.FAILED, RunLost.code, None)
    assert project.versions() == ["spanloop-v0"]
    assert sorted(models.rglob("*")) == before if models.exists() else not before
    system.wait_for("the next run to go live", lambda: project.live().version == "spanloop-v1", seconds=240)
    assert (project.runs()[0].verified_texts or 0) >= BATCH
    feedback = [project.feedback(one.annotation_id) for one in submissions]
    assert all(one is not None and one.incorporated_in_training for one in feedback)
    work = Path(system.settings.data_dir) / "work"
    system.wait_for("the remains of the lost run to be cleared away", lambda: not list(work.glob(f"*{run.id}*")))


def submit_batch(project: LiveProject) -> list[Submission]:
    """Annotate until so many texts are verified."""
    with project.system.store.read() as uow:
        verified = uow.examples.count(project.id).verified
    submissions = project.annotate(BATCH - verified, right_spans)
    project.wait_for_annotations([one.annotation_id for one in submissions])
    return submissions
