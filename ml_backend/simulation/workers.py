"""The runs of a simulation without Label Studio, one after the other or several at once, each in a process."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from multiprocessing.managers import SyncManager
from typing import Any

from config.errors import RunLost
from ml_backend.simulation.offline import open_stage
from ml_backend.simulation.plan import SimulationPlan, Strategy
from ml_backend.simulation.play import Display
from ml_backend.simulation.report import Report, RunState, SimulatedRun, VersionRow
from ml_backend.simulation.simulate import play_run
from ml_backend.simulation.watch import Patience

POLL_SECONDS = 0.5
# Here nothing happens by itself: what has not happened at once never will.
PATIENCE = Patience(idle_seconds=5.0)
Event = tuple[str, SimulatedRun, tuple[Any, ...], dict[str, Any]]


def simulate_offline(plan: SimulationPlan, report: Report, *, display: Display, workers: int) -> None:
    """Play every run of the plan that the report does not hold yet, in so many processes at once.

    The report is written after each version. Raises what a run raises, after the others have been stopped.
    """
    done = report.resume()
    report.write()
    wanted = [(strategy, seed) for strategy, seed in plan.runs() if (strategy.value, seed) not in done]
    if workers == 1 or len(wanted) == 1:
        for strategy, seed in wanted:
            run = report.begin(strategy.value, seed)
            _play(plan, run, display, report)
        return
    _play_at_once(plan, wanted, report, display=display, workers=min(workers, len(wanted)))


def _play(plan: SimulationPlan, run: SimulatedRun, display: Display, report: Report) -> None:
    with open_stage(tell=partial(display.waits, run)) as stage:
        play_run(plan, run, stage, display=display, save=report.write, patience=PATIENCE)


def _play_at_once(
    plan: SimulationPlan, wanted: Sequence[tuple[Strategy, int]], report: Report, *, display: Display, workers: int
) -> None:
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context) as pool:
        assert isinstance(manager, SyncManager)
        events: queue.Queue[Event] = manager.Queue()
        started = [pool.submit(_play_aside, plan, strategy.value, seed, events) for strategy, seed in wanted]
        try:
            _listen(started, events, report, display)
        except KeyboardInterrupt:
            report.stop(RunState.INTERRUPTED)
            raise
        except BrokenProcessPool as error:
            lost = RunLost(
                "a process of the simulation was killed, most often for want of memory; the same command with fewer "
                "--workers plays what is missing in the report"
            )
            report.stop(RunState.STUCK, note=lost.message)
            raise lost from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _listen(started: Sequence[Future[None]], events: queue.Queue[Event], report: Report, display: Display) -> None:
    """Pass on what the processes tell until all are over."""
    while True:
        over = all(future.done() for future in started)
        try:
            name, run, arguments, more = events.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if over:
                break
            continue
        report.replace(run)
        getattr(display, name)(run, *arguments, **more)
        if name in ("version", "end"):
            report.write()
    for future in started:
        future.result()


def _play_aside(plan: SimulationPlan, strategy: str, seed: int, events: queue.Queue[Event]) -> None:
    run = SimulatedRun(strategy, seed)
    display = TellingDisplay(events)
    with open_stage(tell=partial(display.waits, run)) as stage:
        play_run(plan, run, stage, display=display, save=lambda: None, patience=PATIENCE)


class TellingDisplay:
    """Passes on what happens to the process in which a person watches."""

    def __init__(self, events: queue.Queue[Event]) -> None:
        self._events = events

    def begin(self, run: SimulatedRun, *, budget: int) -> None:
        """A project begins."""
        self._events.put(("begin", run, (), {"budget": budget}))

    def imported(self, run: SimulatedRun, count: int, total: int) -> None:
        """So many texts of so many are in."""
        self._events.put(("imported", run, (count, total), {}))

    def annotated(self, run: SimulatedRun) -> None:
        """Another text was annotated."""
        if run.annotations % 25 == 0:
            self._events.put(("annotated", run, (), {}))

    def waits(self, run: SimulatedRun, what: str) -> None:
        """The annotator waits for this."""
        self._events.put(("waits", run, (what,), {}))

    def version(self, run: SimulatedRun, row: VersionRow) -> None:
        """A run ended, or version 0 was scored."""
        self._events.put(("version", run, (row,), {}))

    def end(self, run: SimulatedRun) -> None:
        """The budget is spent."""
        self._events.put(("end", run, (), {}))
