"""A simulation can be followed on a terminal, in a log, and by its table at the end."""

from __future__ import annotations

import io

from rich.console import Console

from ml_backend.simulation.display import describe_row, needed_table, open_display, results_table, summary_table
from ml_backend.simulation.report import Outcome, Report, SimulatedRun, VersionRow, count_effort
from ml_backend.simulation.simulate import simulate
from ml_backend.simulation.summary import summarize
from ml_backend.simulation.watch import Patience
from sync.annotator import Submission
from tests.fakes.simulation import FakeClock, FakeStage
from tests.unit.test_simulation import KeptReport, plan_of
from tests.unit.test_simulation_summary import run_of
from training.metrics.evaluate import Scores

SCORES = Scores(0.5, 0.25, 0.333, 4, 2)


def row(outcome: Outcome, version: str | None, served: str, *, texts: int = 0, **more: object) -> VersionRow:
    effort = count_effort([Submission(n, "v0", 1, n % 2, n % 2 == 0, 3.0) for n in range(texts)])
    return VersionRow(outcome, version, served, texts, SCORES, effort, 1.0, **more)  # type: ignore[arg-type]


def shown_by(*, terminal: bool) -> tuple[str, Report]:
    """What a simulation with a refusal puts on the screen."""
    written, clock, report = io.StringIO(), FakeClock(), KeptReport()
    console = Console(file=written, force_terminal=terminal, width=100, soft_wrap=True)
    patience = Patience(clock=clock, sleep=clock.sleep)
    with open_display(console) as display:
        simulate(plan_of(), FakeStage(["refused", "live"]), report, display=display, patience=patience)
    return written.getvalue(), report


def test_a_log_gets_plain_lines() -> None:
    """Where there is no terminal each event is one line without escape codes, and a wait is told once."""
    shown, _ = shown_by(terminal=False)
    lines = shown.splitlines()
    assert "\x1b" not in shown
    assert all(line.startswith("[random 1] ") for line in lines)
    assert lines.count("[random 1] waiting for the training run to end") == 2
    assert any("v1 was refused by its gate at 4 annotations; v0 scores F1 0.000" in line for line in lines)
    assert lines[-1].startswith("[random 1] finished after 8 annotations")


def test_a_terminal_gets_a_bar_for_each_run() -> None:
    """On a terminal a bar shows how many texts are done, and the versions stand above it."""
    shown, _ = shown_by(terminal=True)
    assert "8/8" in shown
    assert "v2 went live at 8 annotations" in shown


def test_a_refusal_is_told_with_its_reasons() -> None:
    """A line on a refused version gives the gate's reasons and names the version that the score is of."""
    said = describe_row(row(Outcome.REFUSED, "v2", "v1", texts=4, reasons=("F1 falls",)))
    assert (
        said == "v2 was refused by its gate at 4 annotations; v1 scores F1 0.333, untouched before it 50 % (F1 falls)"
    )


def test_the_table_fits_a_narrow_terminal() -> None:
    """At 80 columns no version, outcome or figure is cut off."""
    run = SimulatedRun("uncertainty", 1)
    run.versions += [
        row(Outcome.BASE, "spanloop-v0", "spanloop-v0"),
        row(Outcome.NOT_PROMOTED, "spanloop-v12", "spanloop-v0", texts=300),
        row(Outcome.FAILED, None, "spanloop-v0", texts=350),
    ]
    written = io.StringIO()
    Console(file=written, width=80, soft_wrap=True).print(results_table([run.to_json()]))
    shown = written.getvalue()
    assert "…" not in shown
    assert "uncertainty 1    spanloop-v12 not_promoted" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_the_summary_says_how_many_seeds_came_to_an_f1() -> None:
    """Annotations for a share of the full-data F1 come with their interval, and with the seeds that they are of."""
    runs = [
        run_of("random", 1, (0, 0.0), (100, 0.5)),
        run_of("random", 2, (0, 0.0), (100, 0.5)),
        run_of("span", 1, (0, 0.0), (100, 1.0)),
        run_of("span", 2, (0, 0.0), (100, 0.92)),
        run_of("full", 1, (0, 0.0), (400, 1.0)),
    ]
    summary = summarize(runs, pool_texts=400)
    written = io.StringIO()
    console = Console(file=written, width=80)
    console.print(summary_table(summary))
    console.print(needed_table(summary))
    shown = [" ".join(line.split()) for line in written.getvalue().splitlines()]
    assert "span 0.480 ± 0.254 +0.230 ± 0.254 0.960 ± 0.508 200 100" in shown
    assert "span 94 ± 50 95 (1 of 2 seeds) 99 (1 of 2 seeds)" in shown
    assert "random not reached not reached not reached" in shown
    assert "of the F1 with the whole pool, 1.000" in shown
