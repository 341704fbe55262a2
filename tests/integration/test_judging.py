"""Two versions on the same test texts, and what a run stores of its judgement; the training is a pretence here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from config.errors import NotEnoughData, RunCancelled
from tests.integration.shop import Shop
from training.metrics.evaluation import GoldText
from training.runs.judging import compare_versions, evaluate_pipeline
from training.spans import Prediction
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop with version 0, which finds nothing."""
    return Shop.open(sqlite_store, tmp_path, monkeypatch)


def test_judging_compares_versions_on_the_present_test_part(shop: Shop) -> None:
    """Texts that came after a run count too, and a version that finds all is better than one that finds nothing."""
    base = shop.models()[0]
    with pytest.raises(NotEnoughData, match="no verified text in its test part"):
        compare_versions(shop.store, shop.workshop.artefacts, base, base)
    for part, count in (("train", 6), ("dev", 2), ("test", 3)):
        shop.annotate(part, count)
    shop.execute(shop.ask())
    later = shop.annotate("test", 2)
    trained = shop.models()[0]
    found = compare_versions(shop.store, shop.workshop.artefacts, base, trained)
    assert (found.a.scores.f1, found.b.scores.f1, found.b.scores.texts) == (0.0, 1.0, 5)
    assert found.differences["f1"][""].better == 1.0
    assert found.differences["recall"]["PERSON"].interval.low == 1.0
    assert later[-1] in {task for text in found.a.worst for task in text.task_ids}
    assert found.b.worst == ()


@pytest.mark.parametrize(("texts", "chars", "most_read"), [(5_000, 20, 100), (50, 50_000, 1)])
def test_judging_ends_within_some_texts_of_a_cancel(texts: int, chars: int, most_read: int) -> None:
    """However many test texts there are, and long, a run that is cancelled while it measures reads only a few more."""
    read: list[str] = []

    class Reader:
        def predict(self, texts: Sequence[str]) -> list[Prediction]:
            read.extend(texts)
            return [Prediction((), 0.5)] * len(texts)

    def check() -> None:
        if read:
            raise RunCancelled("somebody wants it to stop")

    test = [GoldText(number, "text " * (chars // 5), ()) for number in range(texts)]
    with pytest.raises(RunCancelled):
        evaluate_pipeline(Reader(), test, ("PERSON",), seed=0, on_step=check)  # type: ignore[arg-type]
    assert 0 < len(read) <= most_read


def test_judging_stores_everything_with_the_run_and_over_time(shop: Shop) -> None:
    """A run keeps both versions' whole figures on the same texts, dated, and the labels that no text shows."""
    for part, count in (("train", 6), ("dev", 2), ("test", 3)):
        shop.annotate(part, count)
    run_id = shop.ask()
    shop.execute(run_id)
    metrics = shop.run(run_id).metrics or {}
    assert len(metrics["live"]["worst"]) == 3
    assert metrics["live"]["confusion"] == {"PERSON": {"missed": 3}}
    assert metrics["candidate"]["intervals"]["f1"][""] == [1.0, 1.0]
    assert metrics["labels_without_training_texts"] == metrics["labels_without_test_texts"] == ["SSN", "CITY"]
    verdict = shop.run(run_id).verdict or {}
    assert verdict["figures"]["gain"] == 1.0
    assert verdict["figures"]["rules"]["margin"] == 0.05
    with shop.store.read() as uow:
        rows = {(row.name, row.label): row for row in uow.models.metrics_of(shop.models()[0].id)}
    assert rows["partial_f1", "PERSON"].value == 1.0
    assert rows["f1_low", ""].recorded_at == shop.now
    assert metrics["candidate"]["calibration"]["spans"]["cases"] == rows["span_calibration_error", ""].support == 3
    assert 0 <= rows["task_calibration_error", ""].value <= 1


def test_judging_follows_the_projects_own_gate_settings(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wanted gain and a recall floor that a candidate misses keep it off line, and the run says why."""
    settings = {"gate_recall_floors": {"PERSON": 0.5}, "gate_min_label_support": 3, "gate_min_gain": 0.1}
    shop = Shop.open(sqlite_store, tmp_path, monkeypatch, **settings)
    for part, count in (("train", 6), ("dev", 2), ("test", 3)):
        shop.annotate(part, count)
    shop.candidate_is_right = False
    outcome = shop.execute(run_id := shop.ask(promote=True))
    assert not outcome.activated
    reasons = " ".join((shop.run(run_id).verdict or {})["reasons"])
    assert "under the floor of 0.500" in reasons
    assert "under the 0.100 that the project wants" in reasons
    assert shop.live() == "spanloop-v0"


def test_judging_hands_a_passed_candidate_over_to_a_test_where_the_project_wants_one(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gate_needs_ab a passed candidate does not go live, but begins a test that puts it live once passed."""
    shop = Shop.open(sqlite_store, tmp_path, monkeypatch, gate_needs_ab=True, ab_fraction=0.4)
    for part, count in (("train", 6), ("dev", 2), ("test", 3)):
        shop.annotate(part, count)
    assert not shop.execute(shop.ask(promote=True)).activated
    with shop.store.read() as uow:
        test = uow.ab_tests.running(1)
        assert test is not None
        challenger = uow.models.get(test.challenger_id)
    assert (challenger.version, challenger.is_active, challenger.is_production) == ("spanloop-v1", True, False)
    assert (test.fraction, test.promote, test.started_by) == (0.4, True, "test")
    assert shop.live() == "spanloop-v0"
    assert shop.execute(shop.ask(promote=True)).status == RunStatus.COMPLETED
    with shop.store.read() as uow:
        assert [one.challenger_id for one in uow.ab_tests.of_project(1)] == [challenger.id]
