"""What a training run stores, whatever happens to it; the training itself is a pretence here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.errors import Conflict, ModelUnavailable
from tests.integration.rows import later, span_of
from tests.integration.shop import NAMES, Shop
from training.examples.proposals import record_proposal
from training.learning.trainer import OnProgress, Progress
from training.runs.run import cancel_run, fail_run, request_run, wake_waiting_run
from training.spans import Span
from training.store.tables.examples import Source
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store

PATIENCE_SECONDS = 30.0


@pytest.fixture
def shop(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A workshop on an empty store."""
    monkeypatch.setattr("training.runs.heartbeat.BEAT_SECONDS", 0.02)
    return Shop.open(store, tmp_path, monkeypatch)


def annotate_all_parts(shop: Shop) -> list[int]:
    """Six train, two dev and three test texts."""
    return [*shop.annotate("train", 6), *shop.annotate("dev", 2), *shop.annotate("test", 3)]


def go_on_until_stopped(on_progress: OnProgress) -> None:
    """Train on and on; the run is to be stopped from outside."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        on_progress(Progress(1, 1, 0.5, None, 1.0, None))
        time.sleep(0.005)
    raise AssertionError("nothing stopped the training")


def test_run_registers_one_version_with_its_figures(shop: Shop) -> None:
    """A run that goes through leaves one version with figures, counts and verdict, and its files whole."""
    annotate_all_parts(shop)
    outcome = shop.execute(run_id := shop.ask())
    run, (model, base) = shop.run(run_id), shop.models()
    assert (outcome.status, outcome.model_id, outcome.activated) == (RunStatus.COMPLETED, model.id, False)
    assert (run.train_texts, run.dev_texts, run.test_texts, run.verified_texts) == (6, 2, 3, 11)
    assert run.metrics is not None
    assert (run.metrics["f1_score"], run.metrics["training_samples"], run.metrics["test_samples"]) == (1.0, 6, 3)
    assert (model.version, model.f1_score, model.parent_id) == ("spanloop-v1", 1.0, base.id)
    assert run.verdict is not None
    assert run.verdict["kind"] == "passed"
    assert shop.workshop.artefacts.fetch(model.path or "", model.checksum or "").is_dir()
    assert list(shop.workshop.work_dir.iterdir()) == []


def test_run_trains_on_train_steers_by_dev_and_never_sees_test(shop: Shop) -> None:
    """The trainer gets exactly the train and the dev texts; a test text never trains."""
    annotate_all_parts(shop)
    shop.execute(shop.ask())
    ((train, dev, plan),) = shop.trained
    parts = {example.text: shop.desk.text(example.text).part for example in [*train, *dev]}
    assert [parts[example.text] for example in train] == ["train"] * 6
    assert [parts[example.text] for example in dev] == ["dev"] * 2
    assert plan.labels == ("PERSON", "SSN", "CITY")


@pytest.mark.parametrize("source", [Source.USER_FEEDBACK, Source.MANUAL, Source.IMPORTED])
def test_run_takes_nothing_unverified(shop: Shop, source: Source) -> None:
    """What comes from outside neither trains, nor steers, nor judges, nor counts, until an annotator submits it."""
    annotate_all_parts(shop)
    proposed = [f"{name} walked past house number {number}" for number, name in enumerate(NAMES * 3)]
    with shop.store.write() as uow:
        project = uow.projects.lock(1)
        for text in proposed:
            record_proposal(uow, project, text, [span_of(text, text.split()[0], "PERSON")], source=source, now=later(5))
        uow.commit()
        assert uow.examples.count(1).unverified == len(proposed)
    run_id = shop.ask()
    shop.execute(run_id)
    ((train, dev, _),) = shop.trained
    assert not {example.text for example in [*train, *dev]} & set(proposed)
    run = shop.run(run_id)
    assert (run.train_texts, run.dev_texts, run.test_texts, run.verified_texts) == (6, 2, 3, 11)
    with shop.store.read() as uow:
        assert uow.examples.count(1).unverified == len(proposed)


def test_run_counts_every_part_as_used(shop: Shop) -> None:
    """After a run nothing is pending, test and dev texts included; only train texts count as trained on."""
    numbers = annotate_all_parts(shop)
    assert shop.desk.counts().newly_verified == 11
    shop.execute(shop.ask())
    assert shop.desk.counts().newly_verified == 0
    used = {}
    for number in numbers:
        example, feedback = shop.desk.example(shop.texts[number]), shop.desk.feedback(number)
        assert example is not None
        assert feedback is not None
        assert feedback.incorporated_in_training
        used.setdefault(shop.desk.text(shop.texts[number]).part, set()).add(example.usage_count)
    assert used == {"train": {1}, "dev": {0}, "test": {0}}


def test_run_leaves_pending_what_changes_while_it_trains(shop: Shop) -> None:
    """An annotation that changes during a run is taken as it was, and is pending again."""
    first, *_ = annotate_all_parts(shop)
    shop.during = lambda _: shop.submit(first, label="CITY", at=50)
    shop.execute(shop.ask())
    assert shop.desk.counts().newly_verified == 1
    example = shop.desk.example(shop.texts[first])
    assert example is not None
    assert example.counted_run_id is None


def test_run_goes_live_only_when_it_was_asked_to(shop: Shop) -> None:
    """A model that passes its gate goes live where the run was asked to promote it, else not."""
    annotate_all_parts(shop)
    assert not shop.execute(shop.ask()).activated
    assert shop.live() == "spanloop-v0"
    assert shop.execute(shop.ask(promote=True)).activated
    assert shop.live() == "spanloop-v2"


def test_run_that_its_gate_refuses_is_kept_and_counts(shop: Shop) -> None:
    """A refused model is registered with the reasons, stays off line, and its texts count as used."""
    annotate_all_parts(shop)
    shop.candidate_is_right, shop.live_is_right = False, True
    outcome = shop.execute(run_id := shop.ask(promote=True))
    verdict = shop.run(run_id).verdict
    assert (outcome.status, outcome.activated) == (RunStatus.COMPLETED, False)
    assert verdict is not None
    assert (verdict["kind"], verdict["passed"]) == ("refused", False)
    assert verdict["reasons"]
    assert shop.live() == "spanloop-v0"
    assert shop.desk.counts().newly_verified == 0


def test_run_is_provisional_on_few_test_texts(shop: Shop) -> None:
    """Below the project's minimum of test texts the verdict says that it is provisional."""
    shop.annotate("train", 4)
    shop.annotate("test", 1)
    shop.execute(run_id := shop.ask())
    verdict = shop.run(run_id).verdict
    assert verdict is not None
    assert (verdict["kind"], verdict["passed"]) == ("provisional", True)


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
    annotate_all_parts(shop)

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
    annotate_all_parts(shop)

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
    annotate_all_parts(shop)
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
    annotate_all_parts(shop)
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


def test_run_is_carried_through_by_one_worker(shop: Shop) -> None:
    """A run that was rung for twice is trained once."""
    annotate_all_parts(shop)
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
    annotate_all_parts(shop)
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
    annotate_all_parts(shop)
    run_id = shop.ask()

    def be_given_up(on_progress: OnProgress) -> None:
        assert shop.reap(after=1000) == [run_id]
        if beats < 1:
            go_on_until_stopped(on_progress)

    shop.during = be_given_up
    assert shop.execute(run_id).status == RunStatus.FAILED
    assert "no sign of life" in (shop.run(run_id).error or "")
    assert (len(shop.models()), shop.artefacts(), shop.desk.counts().newly_verified) == (1, [], 11)


def test_run_lists_each_span_that_its_tokens_cannot_hold(shop: Shop) -> None:
    """A gold span inside of a token is counted, and listed with its task and the stretch that was trained instead."""
    first, *_ = annotate_all_parts(shop)
    name = shop.texts[first].split()[0]
    shop.desk.annotate(first, first, Span(0, len(name) - 1, "PERSON"), at=50)
    shop.execute(run_id := shop.ask())
    tokens = (shop.run(run_id).metrics or {})["tokens"]
    assert (tokens["spans"], tokens["misaligned"]) == (11, 1)
    [listed] = tokens["listed"]
    assert (listed["task_ids"], listed["start"], listed["end"]) == ([first], 0, len(name) - 1)
    assert listed["trained_as"] == [0, len(name)]


def test_run_rehearses_on_train_texts_that_nobody_verified(shop: Shop) -> None:
    """Texts that wait for an annotator may be rehearsed on, those of the test and dev part never."""
    annotate_all_parts(shop)
    waiting = [text for number, text in shop.texts.items() if shop.desk.example(text) is None]
    assert {shop.desk.text(text).part for text in waiting} > {"train"}
    shop.execute(shop.ask())
    ((_, _, plan),) = shop.trained
    assert set(plan.unlabelled) == {text for text in waiting if shop.desk.text(text).part == "train"}


def test_run_of_another_settings_takes_those_it_was_asked_with(shop: Shop) -> None:
    """A run can be asked for with settings and a base model of its own."""
    annotate_all_parts(shop)
    with shop.store.write() as uow:
        configuration = {"settings": {"max_epochs": 2, "seed": 9}, "base_model": "blank:de"}
        run = request_run(uow, 1, trigger="test", promote=False, configuration=configuration, now=shop.now)
        uow.commit()
    shop.execute(run.id)
    ((_, _, plan),) = shop.trained
    assert (plan.max_epochs, plan.seed, plan.base) == (2, 9, "blank:de")


def test_run_names_the_exact_state_it_was_trained_on(shop: Shop) -> None:
    """Two runs on the same content carry the same hash; any changed span gives another."""
    first, *_ = annotate_all_parts(shop)
    runs = [shop.ask()]
    shop.execute(runs[0])
    shop.execute(again := shop.ask())
    shop.submit(first, label="CITY", at=50)
    shop.execute(changed := shop.ask())
    hashes = [shop.run(run_id).snapshot_hash for run_id in (*runs, again, changed)]
    assert hashes[0] == hashes[1] != hashes[2]


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
    annotate_all_parts(shop)
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
