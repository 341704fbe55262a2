"""A whole simulation: every strategy with every seed, one project after the other, the report always on disk."""

from __future__ import annotations

from collections.abc import Callable

from config.errors import SpanloopError
from ml_backend.simulation.plan import SimulationPlan
from ml_backend.simulation.play import Display, Player, Stage
from ml_backend.simulation.report import Report, RunState, SimulatedRun
from ml_backend.simulation.watch import Patience


def simulate(plan: SimulationPlan, stage: Stage, report: Report, *, display: Display, patience: Patience) -> None:
    """Play every run of the plan into the report.

    The report is written before anything begins, after each version and at every end: what was measured before an
    interruption (KeyboardInterrupt) or an error (SpanloopError), both of which go on to the caller, is in it.
    """
    report.write()
    for strategy, seed in plan.runs():
        run = report.begin(strategy.value, seed)
        play_run(plan, run, stage, display=display, save=report.write, patience=patience)


def play_run(
    plan: SimulationPlan,
    run: SimulatedRun,
    stage: Stage,
    *,
    display: Display,
    save: Callable[[], None],
    patience: Patience,
) -> None:
    """Play one run; whatever ends it, its state says so and it is saved."""
    try:
        Player(plan, run, stage, display=display, save=save, patience=patience).play()
        run.state = RunState.FINISHED
    except SpanloopError as error:
        run.state = RunState.STUCK
        run.notes.append(error.message)
        raise
    except KeyboardInterrupt:
        run.state = RunState.INTERRUPTED
        raise
    finally:
        display.end(run)
        save()
