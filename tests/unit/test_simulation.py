"""A simulation annotates batch by batch, lets the loop answer, and reports what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.errors import InvalidInput, LabelStudioUnavailable, ModelUnavailable, WaitedTooLong
from ml_backend.simulation.gold import GoldSet, GoldText
from ml_backend.simulation.plan import SimulationPlan, Strategy, read_strategies
from ml_backend.simulation.report import Report, RunState
from ml_backend.simulation.served import ServedScores
from ml_backend.simulation.simulate import simulate
from ml_backend.simulation.watch import Patience
from tests.fakes.simulation import FakeClock, FakeDisplay, FakeStage
from training.metrics.evaluate import Scores
from training.prediction.ranking import RANKINGS
from training.spans import Span
from training.taxonomy import load_taxonomy, taxonomy_of


class KeptReport(Report):
    """A report that keeps what would be written."""

    def __init__(self) -> None:
        super().__init__(Path("out.json"), {})
        self.written: list[dict[str, Any]] = []

    def write(self) -> None:
        self.written.append(self.to_json())


def plan_of(
    *, texts: int = 12, budget: int = 8, batch: int = 4, seeds: Sequence[int] = (1,), **more: Any
) -> SimulationPlan:
    """A pool in which every second text holds a span."""
    gold = [GoldText(n, f"text {n}", (Span(0, 4, "PERSON"),) if n % 2 else ()) for n in range(1, texts + 1)]
    plan = SimulationPlan(
        name="play",
        pool=GoldSet(Path("pool.jsonl"), tuple(gold)),
        test=GoldSet(Path("test.jsonl"), (GoldText(1, "unseen", ()),)),
        taxonomy=taxonomy_of(["PERSON"], load_taxonomy(None)),
        budget=budget,
        batch=batch,
        language="en",
        base_model="",
        strategies=(Strategy.RANDOM,),
        seeds=tuple(seeds),
    )
    return replace(plan, **more)


def play(stage: FakeStage, plan: SimulationPlan) -> tuple[list[dict[str, Any]], FakeDisplay]:
    """The runs of the report after the simulation, and what was shown."""
    report, display, clock = KeptReport(), FakeDisplay(), FakeClock()
    patience = Patience(idle_seconds=60, total_seconds=600, clock=clock, sleep=clock.sleep)
    try:
        simulate(plan, stage, report, display=display, patience=patience)
    finally:
        stage.report = report
    return report.written[-1]["runs"], display


def rows(runs: list[dict[str, Any]], *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in fields) for row in runs[0]["versions"]]


def test_each_batch_brings_a_version() -> None:
    """Version 0 is scored first, and after each batch the version that the loop put live."""
    runs, _ = play(FakeStage(), plan_of())
    assert rows(runs, "version", "live", "annotations", "f1", "outcome") == [
        ("v0", True, 0, 0.0, "base"),
        ("v1", True, 4, 0.1, "live"),
        ("v2", True, 8, 0.2, "live"),
    ]
    assert (runs[0]["state"], runs[0]["annotations"]) == ("finished", 8)


def test_effort_is_that_since_the_row_before() -> None:
    """A row counts the texts annotated since the last one: how many stayed as shown, spans and edits."""
    runs, _ = play(FakeStage(), plan_of(texts=4, budget=4))
    # The pre-labels are empty: the two texts without a span are right, the other two need one edit each.
    assert rows(runs, "accepted_unchanged", "edits_per_text", "spans", "texts") == [
        (None, None, 0, 0),
        (0.5, 0.5, 2, 4),
    ]
    assert runs[0]["shown"]["v0"]["accepted_unchanged"] == 0.5


def test_a_refused_version_is_reported_with_the_scores_of_what_serves() -> None:
    """A refusal is a row of its own with the gate's reasons, and the next batch goes on."""
    runs, _ = play(FakeStage(["refused", "live"]), plan_of())
    assert rows(runs, "version", "live", "served", "f1", "outcome", "reasons") == [
        ("v0", True, "v0", 0.0, "base", []),
        ("v1", False, "v0", 0.0, "refused", ["F1 falls"]),
        ("v2", True, "v2", 0.2, "live", []),
    ]


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
def test_a_run_without_a_model_does_not_stop_the_annotator(ending: str) -> None:
    """A failed or cancelled run is reported without a version, and annotating goes on without waiting for a retry."""
    runs, _ = play(FakeStage([ending, "live"]), plan_of())
    assert rows(runs, "version", "live", "outcome")[1] == (None, False, ending)
    assert runs[0]["versions"][-1]["outcome"] == "live"
    assert runs[0]["annotations"] == 8


def test_a_run_that_waits_for_test_texts_is_not_waited_for() -> None:
    """The annotator goes on while a run waits for test texts, and the run's version is reported when it comes."""
    runs, _ = play(FakeStage(["waits"], test_texts_from=5), plan_of())
    assert rows(runs, "version", "annotations") == [("v0", 0), ("v1", 8)]
    assert runs[0]["state"] == "finished"


def test_a_last_batch_too_small_for_a_run_ends_the_simulation() -> None:
    """With fewer texts left than a run needs, the simulation ends without waiting for one."""
    runs, _ = play(FakeStage(), plan_of(budget=6))
    assert rows(runs, "version", "annotations") == [("v0", 0), ("v1", 4)]
    assert runs[0]["annotations"] == 6
    assert runs[0]["effort"]["texts"] == 6


def test_a_run_that_never_starts_is_said_with_where_to_look() -> None:
    """Without a run within the patience the simulation ends, naming what it waited for and the logs."""
    stage = FakeStage(["live", *["never"] * 1000])
    with pytest.raises(WaitedTooLong, match=r"a training run to start.*scheduler\.log.*spanloop doctor"):
        play(stage, plan_of())
    last = stage.report.written[-1]["runs"][0]
    assert (last["state"], len(last["versions"])) == (RunState.STUCK, 2)
    assert "scheduler.log" in last["notes"][0]


def test_a_run_without_progress_is_said() -> None:
    """A run that shows no sign of life within the patience ends the simulation."""
    with pytest.raises(WaitedTooLong, match=r"the training run to start.*worker-training\.log"):
        play(FakeStage(["stays"]), plan_of())


@pytest.mark.parametrize("call", ["next_task", "create_annotation", "iter_tasks"])
def test_a_label_studio_that_is_away_is_waited_for(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the annotator is about when Label Studio goes away, it goes on once that is back."""
    stage, answers = FakeStage(), iter([True, True, False, False])
    working = getattr(stage.studio, call)

    def answer(*given: Any, **named: Any) -> Any:
        if not next(answers, True):
            raise LabelStudioUnavailable("Label Studio does not answer")
        return working(*given, **named)

    monkeypatch.setattr(stage.studio, call, answer)
    runs, display = play(stage, plan_of())
    assert rows(runs, "version", "annotations") == [("v0", 0), ("v1", 4), ("v2", 8)]
    assert display.waits_for.count("Label Studio to answer") == 2


def test_a_label_studio_that_stays_away_ends_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that a simulation waits for anything, it says that Label Studio does not answer."""
    stage = FakeStage()

    def away(*_: Any) -> None:
        raise LabelStudioUnavailable("Label Studio does not answer")

    monkeypatch.setattr(stage.studio, "next_task", away)
    with pytest.raises(LabelStudioUnavailable):
        play(stage, plan_of())


def test_an_interruption_keeps_what_was_measured() -> None:
    """Ctrl-C goes on to the caller, and the report holds every version up to then."""

    def interrupt(looks: int) -> None:
        if looks == 8:
            raise KeyboardInterrupt

    stage = FakeStage(on_look=interrupt)
    with pytest.raises(KeyboardInterrupt):
        play(stage, plan_of())
    last = stage.report.written[-1]["runs"][0]
    assert last["state"] == RunState.INTERRUPTED
    assert [row["version"] for row in last["versions"]][:2] == ["v0", "v1"]


def test_the_report_grows_version_by_version() -> None:
    """After each version the report is written, so that nothing measured can be lost."""
    stage = FakeStage()
    play(stage, plan_of())
    counts = [len(written["runs"][0]["versions"]) for written in stage.report.written if written["runs"]]
    assert counts == [1, 2, 3, 3]


def test_every_strategy_and_seed_has_a_project_of_its_own() -> None:
    """Runs never share a project, and seeds give orders of their own that repeat."""
    plan = plan_of(seeds=(1, 2), strategies=(Strategy.UNCERTAINTY, Strategy.RANDOM))
    runs, _ = play(FakeStage(), plan)
    assert len({run["project"] for run in runs}) == 4
    assert [(run["strategy"], run["seed"]) for run in runs][:2] == [("uncertainty", 1), ("random", 1)]
    orders = [tuple(gold.text for gold in plan.ordered_pool(seed)) for seed in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_an_empty_queue_ends_the_run() -> None:
    """Where the queue has no task left before the budget is spent, the run ends and says so."""
    runs, _ = play(FakeStage(), plan_of(texts=5, budget=8))
    assert runs[0]["annotations"] == 5
    assert "queue was empty after 5" in runs[0]["notes"][0]


def test_a_version_that_is_not_served_ends_the_simulation() -> None:
    """Scores of another version than the announced one are never reported under its name."""

    class Behind(FakeStage):
        def score(self, project: Any, gold: Any) -> ServedScores:
            return ServedScores("v0", Scores(0, 0, 0, 0, 0))

    with pytest.raises(ModelUnavailable, match="serves v0 where v1 is announced"):
        play(Behind(), plan_of())


def test_projects_are_set_to_train_after_each_batch() -> None:
    """The policy follows the batch: that many texts, no minimum above it, no pause, live by itself."""
    settings = plan_of(batch=10).project_settings(7)
    assert (settings.retrain_after, settings.min_samples, settings.min_interval_seconds) == (10, 10, 0)
    assert (settings.auto_promote, settings.seed) == (True, 7)


def test_unknown_strategies_are_refused() -> None:
    """A strategy that there is not, or one named twice, is refused by name."""
    for names in (["random", "best"], ["random", "random"], []):
        with pytest.raises(InvalidInput, match="must name some of uncertainty, random"):
            read_strategies(names)


def test_every_ranking_function_can_be_played() -> None:
    """Each ranking function is a strategy of its name; random order and the whole pool have none."""
    ranked = {strategy.value: strategy.ranking for strategy in Strategy if strategy.ranking is not None}
    assert ranked == RANKINGS
    assert set(Strategy) - set(ranked) == {Strategy.RANDOM, Strategy.FULL}


def test_batches_grow_up_to_the_budget() -> None:
    """Runs start after equal or growing batches, the last where the budget ends; the whole pool trains once."""
    assert plan_of(budget=10, batch=4).checkpoints(Strategy.RANDOM) == [4, 8, 10]
    assert plan_of(budget=12, batch=3, growth=2.0).checkpoints(Strategy.RANDOM) == [3, 6, 12]
    assert plan_of(texts=12, budget=3).checkpoints(Strategy.FULL) == [12]
    assert plan_of(budget=3, batch=4).checkpoints(Strategy.RANDOM) == [3]
