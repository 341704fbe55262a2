"""`spanloop simulate` against the whole running system."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.texts import GoldText, badge_texts
from tests.live.project import LiveProject
from tests.live.system import RunningSystem
from training.feedback import count_edits
from training.spans import parse_spans
from training.store.tables.runs import RunStatus

POOL = [*badge_texts(seed=11), *badge_texts(seed=12)]
TEST = badge_texts(seed=13)[:30]
BUDGET, BATCH = 48, 24
STRATEGIES = ("uncertainty", "random")


def write_gold(file: Path, texts: Sequence[GoldText]) -> Path:
    rows = [{"text": one.text, "spans": [span.to_json() for span in one.spans(badge="BADGE")]} for one in texts]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def runs(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The runs of a small simulation's report, by strategy."""
    folder = tmp_path_factory.mktemp("simulate")
    pool = write_gold(folder / "pool.jsonl", POOL)
    test = write_gold(folder / "test.jsonl", TEST)
    size = ["--budget", BUDGET, "--batch", BATCH, "--seeds", 1, "--strategies", ",".join(STRATEGIES)]
    where = ["--project", "Simulated", "--base-model", "blank:en", "--report", folder / "out.json"]
    system.spanloop("simulate", "--pool", pool, "--test", test, *size, *where)
    report = json.loads((folder / "out.json").read_text())
    return {run["strategy"]: run for run in report["runs"]}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_versions_go_live_by_themselves(runs: dict[str, dict[str, Any]], strategy: str) -> None:
    """Each batch brings a run by the policy, and version 0 does not serve at the end."""
    run = runs[strategy]
    assert (run["state"], run["annotations"], run["notes"]) == ("finished", BUDGET, [])
    outcomes = [row["outcome"] for row in run["versions"]]
    assert outcomes[0] == "base"
    assert "live" in outcomes
    assert set(outcomes) <= {"base", "live", "refused"}
    first, last = run["versions"][0], run["versions"][-1]
    assert last["served"] != first["served"]
    assert last["f1"] > first["f1"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_report_says_what_the_store_holds(
    system: RunningSystem, runs: dict[str, dict[str, Any]], strategy: str
) -> None:
    """Counts, edits and the share of untouched pre-labels agree with the feedback that came by webhook."""
    run = runs[strategy]
    project = LiveProject(system, run["project"])
    assert [one.status for one in project.runs()] == [RunStatus.COMPLETED] * (len(run["versions"]) - 1)
    with system.store.read() as uow:
        feedback = uow.feedback.of_project(run["project"])
        shown = [uow.feedback.get_result(row.result_id) for row in feedback if row.result_id]
    edits = [
        count_edits(parse_spans(row.corrected_entities), parse_spans(result.entities))
        for row, result in zip(feedback, shown, strict=True)
    ]
    assert len(feedback) == run["effort"]["prelabelled"] == BUDGET
    assert sum(edits) == run["effort"]["edits"]
    assert sum(row.is_correct is True for row in feedback) == run["effort"]["accepted_unchanged"] * BUDGET
    assert {result.model_version for result in shown} == set(run["shown"])


def test_the_test_file_never_enters_label_studio(system: RunningSystem, runs: dict[str, dict[str, Any]]) -> None:
    """The projects hold the pool, each text once, and nothing else."""
    pool = {one.text for one in POOL}
    for run in runs.values():
        texts = [task.data["text"] for task in system.label_studio.iter_tasks(run["project"], in_full=False)]
        assert len(texts) == len(POOL)
        assert set(texts) == pool
