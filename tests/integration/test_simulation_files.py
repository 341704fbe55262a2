"""What a simulation reads and writes: gold files, and the report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigurationError, InvalidInput, NotFound
from config.settings import Settings
from ml_backend.bootstrap import Services
from ml_backend.cli.demo import write_demo_files
from ml_backend.cli.main import run
from ml_backend.simulation.curves import draw
from ml_backend.simulation.plan import SimulationPlan, make_plan
from ml_backend.simulation.report import Outcome, Report, SimulatedRun, VersionRow, count_effort
from ml_backend.simulation.summary import summarize
from tests.unit.test_simulation_summary import run_of
from training.metrics.evaluate import score_spans
from training.spans import Span

PERSON = {"start": 0, "end": 3, "label": "PERSON"}


def write_lines(file: Path, *rows: Any) -> Path:
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def plan_for(pool: Path, test: Path, **more: Any) -> SimulationPlan:
    asked: dict[str, Any] = {
        "name": "files",
        "labels": None,
        "budget": 10,
        "batch": 5,
        "strategies": ["random"],
        "seeds": [1],
        "language": "en",
        "base_model": "",
        "max_text_chars": 1000,
    }
    return make_plan(pool=pool, test=test, **{**asked, **more})


@pytest.fixture
def test_file(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "test.jsonl", {"text": "Bob is here", "spans": [PERSON]})


def test_a_text_in_pool_and_test_is_refused_with_both_lines(tmp_path: Path, test_file: Path) -> None:
    """A shared text is named by its line in each file, also where only white space differs."""
    pool = write_lines(
        tmp_path / "pool.jsonl", {"text": "Ada", "spans": [PERSON]}, {"text": "Bob  is here", "spans": []}
    )
    with pytest.raises(InvalidInput, match=r"line 2 of .*pool\.jsonl is line 1 of .*test\.jsonl"):
        plan_for(pool, test_file)


def test_a_repeated_text_is_taken_once(tmp_path: Path, test_file: Path) -> None:
    """The first of equal texts counts, and the plan says which lines repeat it."""
    pool = write_lines(
        tmp_path / "pool.jsonl",
        {"text": "Ada", "spans": [PERSON]},
        {"text": "Eve", "spans": []},
        {"text": "Ada", "spans": []},
    )
    plan = plan_for(pool, test_file)
    assert [(gold.line, gold.text) for gold in plan.pool.texts] == [(1, "Ada"), (2, "Eve")]
    assert "line 3 repeats line 1, with other spans" in plan.notes[0]
    assert "the pool holds 2 texts" in plan.notes[1]
    assert plan.budget == 2


def test_rows_that_cannot_be_used_are_left_out_with_their_lines(tmp_path: Path, test_file: Path) -> None:
    """A broken row, one without spans and one with a span outside its text cost nothing but themselves."""
    pool = write_lines(
        tmp_path / "pool.jsonl",
        "{",
        {"text": "no word of spans"},
        {"text": "A", "spans": [PERSON]},
        {"text": "Ada", "spans": [PERSON]},
        {"text": "x" * 1001, "spans": []},
    )
    plan = plan_for(pool, test_file)
    assert [gold.text for gold in plan.pool.texts] == ["Ada"]
    assert "4 rows cannot be used" in plan.notes[0]
    for line in ("line 1:", "line 2: says nothing of spans", "line 3:", "line 5:"):
        assert line in plan.notes[0]


def test_labels_come_from_the_pool(tmp_path: Path, test_file: Path) -> None:
    """Without --labels the project has the pool's labels; a label that only the test file has counts as missed."""
    city = {"start": 4, "end": 6, "label": "CITY"}
    pool = write_lines(tmp_path / "pool.jsonl", {"text": "Ada", "spans": [PERSON]})
    test = write_lines(tmp_path / "other.jsonl", {"text": "Bob is here", "spans": [PERSON, city]})
    plan = plan_for(pool, test)
    assert plan.taxonomy.names == ("PERSON",)
    assert len(plan.test.texts[0].spans) == 2
    assert "1 of 'CITY'" in plan.notes[0]
    assert "are kept" in plan.notes[0]


def test_given_labels_gather_their_aliases(tmp_path: Path, test_file: Path) -> None:
    """With --labels each span goes by its leaf; what the file leaves out is left out in pool and test."""
    labels = tmp_path / "labels.yaml"
    labels.write_text("labels:\n- {name: HUMAN, group: PII, aliases: [PERSON]}\n")
    city = {"start": 4, "end": 6, "label": "CITY"}
    pool = write_lines(tmp_path / "pool.jsonl", {"text": "Ada in Rome", "spans": [PERSON, city]})
    plan = plan_for(pool, test_file, labels=labels)
    assert plan.pool.texts[0].spans == (Span(0, 3, "HUMAN"),)
    assert plan.test.texts[0].spans == (Span(0, 3, "HUMAN"),)
    assert "1 of 'CITY'" in plan.notes[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"budget": 0}, "budget 0"),
        ({"seeds": [1, 1]}, "seeds '1,1'"),
        ({"seeds": [-1]}, "seeds '-1'"),
        ({"strategies": ["best"]}, "strategies 'best'"),
        ({"name": "n" * 45}, "shorter --project"),
        ({"name": " "}, "must name it"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_done(
    tmp_path: Path, test_file: Path, asked: dict[str, Any], said: str
) -> None:
    """Wrong numbers, strategies and names are refused with the offending value."""
    pool = write_lines(tmp_path / "pool.jsonl", {"text": "Ada", "spans": [PERSON]})
    with pytest.raises(InvalidInput, match=said):
        plan_for(pool, test_file, **asked)


def test_files_without_use_are_named(tmp_path: Path, test_file: Path) -> None:
    """A missing file, one without usable rows and a pool without any label are each said by name."""
    with pytest.raises(NotFound, match="nothing"):
        plan_for(tmp_path / "nothing.jsonl", test_file)
    with pytest.raises(InvalidInput, match=r"pool\.jsonl holds no usable text: line 1"):
        plan_for(write_lines(tmp_path / "pool.jsonl", "{"), test_file)
    with pytest.raises(InvalidInput, match="names no label"):
        plan_for(write_lines(tmp_path / "pool.jsonl", {"text": "Ada", "spans": []}), test_file)


def test_the_report_holds_what_its_page_promises(tmp_path: Path) -> None:
    """The written report has the promised fields, and a second writing replaces the first whole."""
    report = Report(tmp_path / "new" / "out.json", {"budget": 1})
    report.write()
    scores = score_spans([[Span(0, 3, "PERSON")]], [[Span(0, 3, "PERSON")]])
    row = VersionRow(Outcome.BASE, "spanloop-v0", "spanloop-v0", 0, scores, count_effort([]), 1.0)
    report.runs.append(SimulatedRun("random", 1, versions=[row]))
    report.write()
    written = json.loads(report.path.read_text())
    version = written["runs"][0]["versions"][0]
    promised = ["version", "live", "annotations", "f1", "precision", "recall", "per_label"]
    assert list(version)[:11] == [*promised, "accepted_unchanged", "edits_per_text", "spans", "training_seconds"]
    assert version["per_label"]["PERSON"]["f1"] == version["f1"] == 1.0
    assert [file.name for file in report.path.parent.iterdir()] == ["out.json"]


def test_a_report_that_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    """A report under a file, not a folder, is refused with the option that names another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="--report"):
        Report(tmp_path / "file" / "out.json", {}).write()


@pytest.mark.parametrize("name", ["curves.html", "curves.PNG"])
def test_a_report_is_never_called_like_its_curves(tmp_path: Path, name: str) -> None:
    """A report that its own page or picture would be written over is refused before anything is done."""
    with pytest.raises(InvalidInput, match=r"--report.*\.json"):
        Report(tmp_path / name, {})


@pytest.mark.parametrize(
    "held", ["[]", '{"about": [], "runs": []}', '{"about": {}, "runs": [{}]}', '{"about": {}, "runs": 1}', "{"]
)
def test_a_file_that_is_no_report_is_left_alone(tmp_path: Path, held: str) -> None:
    """What lies at the report's place and is none is refused with the option that names another."""
    path = tmp_path / "report.json"
    path.write_text(held)
    with pytest.raises(ConfigurationError, match="--report"):
        Report(path, {"budget": 1}).resume()


def test_a_simulation_writes_over_no_file_but_a_report(
    tmp_path: Path, test_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pool that is named as the report, too, is refused before the running system is asked anything."""
    pool = write_lines(tmp_path / "pool.jsonl", {"text": "Ada", "spans": [PERSON]})
    before = pool.read_bytes()
    services = Services(Settings(data_dir=tmp_path))
    for way in (["--offline"], ["--project", "Trial"]):
        files = ["--pool", str(pool), "--test", str(test_file), "--report", str(pool)]
        assert run(["simulate", *way, "--strategies", "random", *files], services) == 2
        assert "is there and no report" in capsys.readouterr().err
    assert pool.read_bytes() == before


def test_the_curves_need_no_network(tmp_path: Path) -> None:
    """The page has a title and every seed's curve, and fetches nothing; the picture lies beside it."""
    runs = [run_of("random", seed, (0, 0.1), (100, 0.5)) for seed in (1, 2)]
    page, picture = draw({"runs": runs, "summary": summarize(runs, pool_texts=400)}, tmp_path / "trial.json")
    written = page.read_text("utf-8")
    assert "<title>" in written
    assert "random, seed 2" in written
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", written) == []
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_demo_never_tests_on_its_pool(tmp_path: Path) -> None:
    """The demo's files are the same each time, share no text, and can be played."""
    pool, test = write_demo_files(tmp_path / "demo")
    first = pool.read_bytes(), test.read_bytes()
    plan = plan_for(pool, test, budget=150)
    assert (len(plan.pool.texts), len(plan.test.texts), plan.notes) == (600, 200, ())
    assert "PERSON" in plan.taxonomy.names
    write_demo_files(tmp_path / "demo")
    assert (pool.read_bytes(), test.read_bytes()) == first
