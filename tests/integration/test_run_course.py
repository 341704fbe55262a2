"""A run on its way: what it shows meanwhile, and what stays when it waits, fails, is cancelled, lost or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from config.errors import Conflict, ModelUnavailable
from tests.integration.rows import later
from tests.integration.shop import Shop
from training.learning.trainer import OnProgress, Progress
from training.runs.run import cancel_run, fail_run, wake_waiting_run
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store

PATIENCE_SECONDS = 30.0


@pytest.fixture
def shop(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A workshop on an empty store."""
    monkeypatch.setattr("training.runs.heartbeat.BEAT_SECONDS", 0.02)
    return Shop.open(store, tmp_path, monkeypatch)


def go_on_until_stopped(on_progress: OnProgress) -> None:
    """Train on and on; the run is to be stopped from outside."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        on_progress(Progress(1, 1, 0.5, None, 1.0, None))
        time.sleep(0.005)
    raise AssertionError("nothing stopped the training")


def test_run_waits_for_a_test_text_and_then_goes_on(shop: Shop) -> None:
    """Without a test text nothing is trained; the run waits, says so, and goes on once there is one."""
    shop.annotate("train", 5)
    outcome = shop.execute(run_id := shop.ask())
    assert outcome.status == RunStatus.WAITING
    assert shop.trained == []
    assert "test part" in (shop.run(run_id).error or "")

    def wake() -> bool:
        with shop.store.write() as uow:
            woken = wake_waiting_run(uow, uow.runs.get(run_id))
            uow.commit()
        return woken

    assert not wake()
    shop.annotate("test", 1)
    assert wake()
    assert not wake()
    assert shop.execute(run_id).status == RunStatus.COMPLETED
    assert shop.run(run_id).error is None


def test_run_that_waits_holds_its_place(shop: Shop) -> None:
    """A waiting run is the project's one run: no other can be asked for until it is cancelled."""
    shop.annotate("train", 5)
    shop.execute(run_id := shop.ask())
    with pytest.raises(Conflict, match=f"{run_id} is waiting"):
        shop.ask()
    with shop.store.write() as uow:
        assert cancel_run(uow, run_id, now=later(0)).status == RunStatus.CANCELLED
        uow.commit()
    shop.ask()


@pytest.mark.parametrize(("part", "count"), [("train", 2), ("test", 5)])
def test_run_on_too_few_texts_fails_and_marks_nothing(shop: Shop, part: str, count: int) -> None:
    """A run that makes no sense says why with figures, and its texts stay pending."""
    shop.annotate(part, count)
    outcome = shop.execute(run_id := shop.ask())
    run = shop.run(run_id)
    assert (outcome.status, run.error_code) == (RunStatus.FAILED, "not_enough_data")
    assert str(count) in (run.error or "")
    assert shop.desk.counts().newly_verified == count
    assert len(shop.models()) == 1


def test_run_without_any_span_fails(shop: Shop) -> None:
    """Texts that are all verified to hold nothing teach nothing, and the run says so."""
    for number in [*shop.annotate("train", 4), *shop.annotate("test", 1)]:
        shop.desk.annotate(number, number, at=50)
    shop.execute(run_id := shop.ask())
    assert "holds a span" in (shop.run(run_id).error or "")


def test_run_that_fails_marks_nothing_and_leaves_nothing(shop: Shop) -> None:
    """When training fails the reason is stored, no version, file or mark is left, and a new run can be asked for."""
    shop.annotate_all_parts()

    def fail(_: OnProgress) -> None:
        raise ModelUnavailable("the base model is gone")

    shop.during = fail
    outcome = shop.execute(run_id := shop.ask())
    run = shop.run(run_id)
    assert (outcome.status, run.error_code, run.error) == (
        RunStatus.FAILED,
        "model_unavailable",
        "the base model is gone",
    )
    assert run.finished_at is not None
    assert shop.desk.counts().newly_verified == 11
    assert (len(shop.models()), shop.artefacts(), list(shop.workshop.work_dir.iterdir())) == (1, [], [])
    shop.during = lambda _: None
    assert shop.execute(shop.ask()).status == RunStatus.COMPLETED


def test_run_that_crashes_is_marked_by_who_called_it(shop: Shop) -> None:
    """An error that nobody foresaw leaves the run to the job's wrapper, which marks it as failed once."""
    shop.annotate_all_parts()

    def crash(_: OnProgress) -> None:
        raise ZeroDivisionError

    shop.during = crash
    run_id = shop.ask()
    with pytest.raises(ZeroDivisionError):
        shop.execute(run_id)
    with shop.store.write() as uow:
        fail_run(uow, run_id, code="internal", message="see the log", now=later(0))
        fail_run(uow, run_id, code="other", message="again", now=later(0))
        uow.commit()
    run = shop.run(run_id)
    assert (run.status, run.error_code, run.error) == (RunStatus.FAILED, "internal", "see the log")
    assert list(shop.workshop.work_dir.iterdir()) == []


def test_run_shows_its_progress_while_it_trains(shop: Shop) -> None:
    """Epoch, loss, score and the time left can be seen while a run is on, and its signs of life."""
    shop.annotate_all_parts()
    run_id = shop.ask()
    shop.now = later(2000)

    def look(_: OnProgress) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while shop.run(run_id).epoch is None:
            assert time.monotonic() < deadline, "no progress was stored"

    shop.during = look
    shop.execute(run_id)
    run = shop.run(run_id)
    assert (run.epoch, run.step, run.loss, run.dev_f1, run.seconds_left) == (3, 30, 0.5, 0.75, 2.0)
    assert (run.worker, run.heartbeat_at, run.started_at) == ("worker", later(2000), later(2000))


def test_run_stops_within_moments_when_it_is_cancelled(shop: Shop) -> None:
    """A cancel reaches a run that trains: it ends as cancelled, and nothing is registered or marked."""
    shop.annotate_all_parts()
    run_id = shop.ask()

    def cancel_and_go_on(on_progress: OnProgress) -> None:
        with shop.store.write() as uow:
            assert cancel_run(uow, run_id, now=later(0)).status == RunStatus.RUNNING
            uow.commit()
        go_on_until_stopped(on_progress)

    shop.during = cancel_and_go_on
    assert shop.execute(run_id).status == RunStatus.CANCELLED
    run = shop.run(run_id)
    assert (run.status, run.error_code) == (RunStatus.CANCELLED, "run_cancelled")
    assert (len(shop.models()), shop.desk.counts().newly_verified) == (1, 11)
    with shop.store.write() as uow, pytest.raises(Conflict):
        cancel_run(uow, run_id, now=later(0))


def test_run_that_is_being_registered_is_not_said_to_be_cancelled(shop: Shop) -> None:
    """A cancel that comes while the model is being registered waits for that, and says that the run is over."""
    shop.annotate_all_parts()
    run_id, asked = shop.ask(), threading.Event()
    with shop.store.write() as uow:
        uow.runs.move(run_id, RunStatus.RUNNING).worker = "worker"
        uow.commit()

    def cancel() -> str:
        asked.set()
        with shop.store.write() as uow:
            status = cancel_run(uow, run_id, now=later(0)).status
            uow.commit()
        return status

    with ThreadPoolExecutor(1) as pool:
        with shop.store.write() as uow:
            uow.projects.lock(1)
            uow.runs.move(run_id, RunStatus.COMPLETED, worker="worker")
            said = pool.submit(cancel)
            asked.wait(PATIENCE_SECONDS)
            # Time to read the run as it was before this unit of work, which a cancel must not do.
            wait([said], timeout=0.5)
            uow.commit()
        with pytest.raises(Conflict):
            said.result(PATIENCE_SECONDS)


def test_run_is_carried_through_by_one_worker(shop: Shop) -> None:
    """A run that was rung for twice is trained once."""
    shop.annotate_all_parts()
    run_id = shop.ask()
    refused: list[str] = []

    def second_worker(_: OnProgress) -> None:
        with pytest.raises(Conflict, match="is running"):
            shop.execute(run_id, worker="second")
        refused.append("second")

    shop.during = second_worker
    shop.execute(run_id)
    with pytest.raises(Conflict, match="is completed"):
        shop.execute(run_id)
    assert (refused, len(shop.trained), len(shop.models())) == (["second"], 1, 2)


def test_run_is_reaped_only_when_it_gives_no_sign_of_life(shop: Shop) -> None:
    """A run whose worker went silent fails with the worker's name, and its project is free again."""
    shop.annotate_all_parts()
    run_id = shop.ask()
    with shop.store.write() as uow:
        run = uow.runs.move(run_id, RunStatus.RUNNING)
        run.worker, run.heartbeat_at = "worker-7", shop.now
        uow.commit()
    assert shop.reap(after=59) == []
    assert shop.reap(after=61) == [run_id]
    assert shop.reap(after=61) == []
    run = shop.run(run_id)
    assert (run.status, run.error_code) == (RunStatus.FAILED, "run_lost")
    assert "worker-7" in (run.error or "")
    assert shop.execute(shop.ask()).status == RunStatus.COMPLETED


@pytest.mark.parametrize("beats", [0.02, 1000.0])
def test_run_that_was_taken_away_registers_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch, beats: float) -> None:
    """A worker that was given up and comes back notices, at a beat or at the end; its model is thrown away."""
    monkeypatch.setattr("training.runs.heartbeat.BEAT_SECONDS", beats)
    shop.annotate_all_parts()
    run_id = shop.ask()

    def be_given_up(on_progress: OnProgress) -> None:
        assert shop.reap(after=1000) == [run_id]
        if beats < 1:
            go_on_until_stopped(on_progress)

    shop.during = be_given_up
    assert shop.execute(run_id).status == RunStatus.FAILED
    assert "no sign of life" in (shop.run(run_id).error or "")
    assert (len(shop.models()), shop.artefacts(), shop.desk.counts().newly_verified) == (1, [], 11)


KILLED = """
import sys, time
from pathlib import Path
import training.runs.run
from tests.integration.shop import SPEC
from training.versions.artefacts import ArtefactStore
from training.runs.run import Workshop, execute_run
from training.store.database import open_engine
from training.store.unit_of_work import Store
from ml_backend.bootstrap import utc_now

def train_for_ever(train, dev, *, plan, output, on_progress):
    output.mkdir(parents=True)
    (output / "model").write_text("half a mod")
    print("training", flush=True)
    while True:
        time.sleep(0.1)

training.runs.run.train_pipeline, training.runs.planning.base_spec = train_for_ever, lambda *_: SPEC
url, folder, run_id = sys.argv[1:]
store = Store(open_engine(url))
execute_run(run_id, Workshop(store, ArtefactStore(f"{folder}/models"), Path(folder) / "work", utc_now), worker="killed")
"""


def test_run_of_a_killed_worker_leaves_no_model_and_loses_no_feedback(
    shop: Shop, database_url: str, tmp_path: Path
) -> None:
    """After kill -9 in mid-training the run is reaped, nothing is registered, and the next run gets it all."""
    shop.annotate_all_parts()
    run_id = shop.ask()
    command = [sys.executable, "-c", KILLED, database_url, str(tmp_path), run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as worker:
        try:
            assert worker.stdout is not None
            assert b"training\n" in iter(worker.stdout.readline, b"")
        finally:
            os.kill(worker.pid, signal.SIGKILL)
    assert shop.run(run_id).status == RunStatus.RUNNING
    # The killed worker told the real time, which is before the shop's.
    assert shop.reap(after=61) == [run_id]
    assert (len(shop.models()), shop.artefacts(), shop.desk.counts().newly_verified) == (1, [], 11)
    assert shop.execute(shop.ask(promote=True)).activated
    assert shop.live() == "spanloop-v1"
    assert list(shop.workshop.work_dir.iterdir()) == []
