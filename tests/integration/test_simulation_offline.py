"""`spanloop simulate --offline`: the loop's own runs, in one process, without a system."""

from __future__ import annotations

import json
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from config.errors import RunLost
from ml_backend.cli.main import run
from ml_backend.simulation import queue
from ml_backend.simulation.display import PlainDisplay
from ml_backend.simulation.offline import open_stage
from ml_backend.simulation.plan import SimulationPlan, Strategy, make_plan
from ml_backend.simulation.play import OpenProject
from ml_backend.simulation.queue import Candidate
from ml_backend.simulation.report import Report, SimulatedRun
from ml_backend.simulation.workers import simulate_offline
from training.demo.texts import generate
from training.prediction.ranking import RANKINGS
from training.queue.clusters import find_centres
from training.spans import Span
from training.splits import Part


def write(path: Path, rows: list[tuple[str, tuple[Span, ...]]]) -> Path:
    lines = [json.dumps({"text": text, "spans": [span.to_json() for span in spans]}) for text, spans in rows]
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pool of forty and a test file of ten made-up texts."""
    folder = tmp_path_factory.mktemp("texts")
    rows = [(made.text, made.spans) for made in generate(50, seed=3)]
    return write(folder / "pool.jsonl", rows[:40]), write(folder / "test.jsonl", rows[40:])


def simulate(files: tuple[Path, Path], report: Path, *options: str) -> int:
    """Call the command with tiny trainings."""
    pool, test = files
    return run(
        [
            *("simulate", "--offline", "--pool", str(pool), "--test", str(test), "--report", str(report)),
            *("--base-model", "blank:en", "--set", "max_epochs=1", "--batch", "12", *options),
        ]
    )


def read(report: Path) -> Any:
    return json.loads(report.read_text("utf-8"))


def test_offline_compares_strategies_in_one_call(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Each strategy gets its rows, the full data its F1, and the curves lie beside the report."""
    report = tmp_path / "report.json"
    options = ("--strategies", "random,committee,full", "--budget", "24", "--no-gate")
    assert simulate(files, report, *options) == 0
    found = read(report)
    assert {run["strategy"]: run["state"] for run in found["runs"]} == dict.fromkeys(
        ("random", "committee", "full"), "finished"
    )
    assert [row["annotations"] for row in found["runs"][0]["versions"]] == [0, 12, 24]
    assert [row["annotations"] for row in found["runs"][2]["versions"]] == [0, 40]
    assert found["runs"][0]["versions"][1]["calibration"]["tasks"]["cases"] == 10
    assert found["summary"]["full_data_f1"]["seeds"] == 1
    assert set(found["summary"]["strategies"]) == {"random", "committee"}
    assert "plotly" in report.with_suffix(".html").read_text("utf-8")
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_offline_goes_on_where_a_report_ends(files: tuple[Path, Path], tmp_path: Path) -> None:
    """What is finished is not done again, more seeds are added, and another simulation's report is left alone."""
    report = tmp_path / "report.json"
    assert simulate(files, report, "--strategies", "random", "--budget", "12") == 0
    first = read(report)["runs"]
    assert simulate(files, report, "--strategies", "random", "--budget", "12", "--seeds", "1,2") == 0
    assert read(report)["runs"][0] == first[0]
    assert [run["seed"] for run in read(report)["runs"]] == [1, 2]
    assert simulate(files, report, "--strategies", "random", "--budget", "24") == 2


def test_offline_plays_in_several_processes(files: tuple[Path, Path], tmp_path: Path) -> None:
    """With two workers both runs are in the report, whichever ends first, each with all that it did."""
    report = tmp_path / "report.json"
    assert simulate(files, report, "--strategies", "random,span", "--budget", "12", "--no-gate", "--workers", "2") == 0
    runs = {run["strategy"]: run for run in read(report)["runs"]}
    assert {name: run["state"] for name, run in runs.items()} == {"random": "finished", "span": "finished"}
    assert {run["effort"]["texts"] for run in runs.values()} == {12}
    assert {len(run["versions"]) for run in runs.values()} == {2}


class Meddler(PlainDisplay):
    """Does something when texts are imported."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__(Console(quiet=True))
        self._meddle = meddle

    def imported(self, run: SimulatedRun, count: int, total: int) -> None:
        self._meddle()


def kill_processes() -> None:
    for one in active_children():
        if "Manager" not in one.name:
            one.kill()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("meddle", "raised", "state"),
    [(kill_processes, RunLost, "stuck"), (interrupt, KeyboardInterrupt, "interrupted")],
)
def test_offline_says_how_runs_in_other_processes_ended(
    files: tuple[Path, Path], tmp_path: Path, meddle: Callable[[], None], raised: type[BaseException], state: str
) -> None:
    """A process that is killed, as for want of memory, and Ctrl-C leave a report that says so and can be continued."""
    plan = plan_of(*files, strategies=["random", "span"], batch=12, budget=12)
    report = Report(tmp_path / "report.json", plan.describe())
    with pytest.raises(raised):
        simulate_offline(plan, report, display=Meddler(meddle), workers=2)
    assert {run["state"] for run in read(report.path)["runs"]} == {state}
    assert Report(report.path, plan.describe()).resume() == set()


def test_offline_without_anything_to_learn_says_so(tmp_path: Path) -> None:
    """A pool without a span fails its runs with the reason, and a pool of one repeated text ends early; both report."""
    labels = tmp_path / "labels.yaml"
    labels.write_text("labels:\n  - {name: PERSON, group: PII, color: '#e02938', hotkey: '1'}\n", "utf-8")
    test = write(tmp_path / "test.jsonl", [("Ada Byron came", (Span(0, 9, "PERSON"),))])
    empty = write(tmp_path / "empty.jsonl", [(f"nothing to see at number {'x' * n}", ()) for n in range(1, 21)])
    report = tmp_path / "empty-report.json"
    assert simulate((empty, test), report, "--labels", str(labels), "--strategies", "uncertainty,full") == 0
    assert {row["outcome"] for run in read(report)["runs"] for row in run["versions"]} == {"base", "failed"}
    same = write(tmp_path / "same.jsonl", [("Ada Lovelace left", (Span(0, 12, "PERSON"),))] * 20)
    report = tmp_path / "same-report.json"
    assert simulate((same, test), report, "--strategies", "uncertainty") == 0
    assert read(report)["runs"][0]["annotations"] == 1
    assert read(report)["summary"]["strategies"].keys() <= {"uncertainty"}


def plan_of(
    pool: Path, test: Path, *, strategies: list[str], batch: int, budget: int, **settings: str
) -> SimulationPlan:
    """A plan with tiny trainings."""
    return make_plan(
        name="offline",
        pool=pool,
        test=test,
        labels=None,
        budget=budget,
        batch=batch,
        strategies=strategies,
        seeds=[1],
        language="en",
        base_model="blank:en",
        max_text_chars=10_000,
        gate=False,
        clusters=False,
        settings={"max_epochs": "1", **settings},
        offline=True,
    )


def test_offline_ranks_by_cost_where_the_project_does(tmp_path: Path) -> None:
    """With `rank_by_cost`, once times are known, short texts come up before long ones, which are less sure."""
    made = enumerate(generate(44, seed=3))
    rows = [(one.text + " and so on" * (number % 2 * 60), one.spans) for number, one in made]
    files = write(tmp_path / "pool.jsonl", rows[:40]), write(tmp_path / "test.jsonl", rows[40:])
    dear, cheap = (served_after_a_run(*files, rank_by_cost=cost) for cost in ("false", "true"))
    assert max(map(len, cheap)) < 500 < max(map(len, dear))


def served_after_a_run(pool: Path, test: Path, **settings: str) -> list[str]:
    """The first five texts that come up once twenty were annotated and trained on."""
    plan = plan_of(pool, test, strategies=["uncertainty"], batch=20, budget=25, honest_share="0", **settings)
    gold = {one.text: one.spans for one in plan.pool.texts}
    with open_stage(tell=lambda _: None) as stage:
        project = stage.open_project(plan, Strategy.UNCERTAINTY, 1)
        stage.import_texts(project, list(gold), lambda _: None)
        for _ in range(20):
            annotate(project, gold)
        stage.look(project)
        return [annotate(project, gold) for _ in range(5)]


def annotate(project: OpenProject, gold: dict[str, tuple[Span, ...]]) -> str:
    page = project.annotator.open_next()
    assert page is not None
    project.annotator.submit(page, gold[page.text])
    return page.text


def test_offline_finds_clusters_by_the_texts_that_the_loop_would_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of any size is clustered in bounded memory, by the same sample whatever the order of its texts."""
    asked: list[list[str]] = []

    def find(texts: list[str], count: int, *, seed: int) -> Any:
        asked.append(texts)
        return find_centres(texts, count, seed=seed)

    monkeypatch.setattr(queue, "SAMPLE", 120)
    monkeypatch.setattr(queue, "find_centres", find)
    pool = [Candidate(number, one.text, Part.TRAIN, None) for number, one in enumerate(generate(150, seed=3))]
    for texts in (pool, pool[::-1]):
        queue.OfflineQueue(RANKINGS["uncertainty"], 0.0, 1).fill(texts)
    assert asked[0] == asked[1]
    assert len(asked[0]) == 120


def test_offline_options_need_offline(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A ranking function or several processes without --offline are refused, since a running system serves its own."""
    pool, test = map(str, files)
    call = ["simulate", "--pool", pool, "--test", test, "--report", str(tmp_path / "r.json")]
    assert run(call) == 2
    assert run([*call, "--project", "Trial", "--strategies", "span"]) == 2
    assert run([*call, "--project", "Trial", "--workers", "2"]) == 2
