"""What a training run takes in, stores and brings about; the training itself is a pretence here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.rows import later, span_of
from tests.integration.shop import NAMES, Shop
from training.examples.proposals import record_proposal
from training.runs.run import request_run
from training.spans import Span
from training.store.tables.examples import Source
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store


@pytest.fixture
def shop(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A workshop on an empty store."""
    monkeypatch.setattr("training.runs.heartbeat.BEAT_SECONDS", 0.02)
    return Shop.open(store, tmp_path, monkeypatch)


def test_run_registers_one_version_with_its_figures(shop: Shop) -> None:
    """A run that goes through leaves one version with figures, counts and verdict, and its files whole."""
    shop.annotate_all_parts()
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
    shop.annotate_all_parts()
    shop.execute(shop.ask())
    ((train, dev, plan),) = shop.trained
    parts = {example.text: shop.desk.text(example.text).part for example in [*train, *dev]}
    assert [parts[example.text] for example in train] == ["train"] * 6
    assert [parts[example.text] for example in dev] == ["dev"] * 2
    assert plan.labels == ("PERSON", "SSN", "CITY")


@pytest.mark.parametrize("source", [Source.USER_FEEDBACK, Source.MANUAL, Source.IMPORTED])
def test_run_takes_nothing_unverified(shop: Shop, source: Source) -> None:
    """What comes from outside neither trains, nor steers, nor judges, nor counts, until an annotator submits it."""
    shop.annotate_all_parts()
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
    numbers = shop.annotate_all_parts()
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
    first, *_ = shop.annotate_all_parts()
    shop.during = lambda _: shop.submit(first, label="CITY", at=50)
    shop.execute(shop.ask())
    assert shop.desk.counts().newly_verified == 1
    example = shop.desk.example(shop.texts[first])
    assert example is not None
    assert example.counted_run_id is None


def test_run_goes_live_only_when_it_was_asked_to(shop: Shop) -> None:
    """A model that passes its gate goes live where the run was asked to promote it, else not."""
    shop.annotate_all_parts()
    assert not shop.execute(shop.ask()).activated
    assert shop.live() == "spanloop-v0"
    assert shop.execute(shop.ask(promote=True)).activated
    assert shop.live() == "spanloop-v2"


def test_run_that_its_gate_refuses_is_kept_and_counts(shop: Shop) -> None:
    """A refused model is registered with the reasons, stays off line, and its texts count as used."""
    shop.annotate_all_parts()
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


def test_run_lists_each_span_that_its_tokens_cannot_hold(shop: Shop) -> None:
    """A gold span inside of a token is counted, and listed with its task and the stretch that was trained instead."""
    first, *_ = shop.annotate_all_parts()
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
    shop.annotate_all_parts()
    waiting = [text for number, text in shop.texts.items() if shop.desk.example(text) is None]
    assert {shop.desk.text(text).part for text in waiting} > {"train"}
    shop.execute(shop.ask())
    ((_, _, plan),) = shop.trained
    assert set(plan.unlabelled) == {text for text in waiting if shop.desk.text(text).part == "train"}


def test_run_of_another_settings_takes_those_it_was_asked_with(shop: Shop) -> None:
    """A run can be asked for with settings and a base model of its own."""
    shop.annotate_all_parts()
    with shop.store.write() as uow:
        configuration = {"settings": {"max_epochs": 2, "seed": 9}, "base_model": "blank:de"}
        run = request_run(uow, 1, trigger="test", promote=False, configuration=configuration, now=shop.now)
        uow.commit()
    shop.execute(run.id)
    ((_, _, plan),) = shop.trained
    assert (plan.max_epochs, plan.seed, plan.base) == (2, 9, "blank:de")


def test_run_names_the_exact_state_it_was_trained_on(shop: Shop) -> None:
    """Two runs on the same content carry the same hash; any changed span gives another."""
    first, *_ = shop.annotate_all_parts()
    runs = [shop.ask()]
    shop.execute(runs[0])
    shop.execute(again := shop.ask())
    shop.submit(first, label="CITY", at=50)
    shop.execute(changed := shop.ask())
    hashes = [shop.run(run_id).snapshot_hash for run_id in (*runs, again, changed)]
    assert hashes[0] == hashes[1] != hashes[2]
