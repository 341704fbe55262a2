"""Plays the annotator of one project from its first text to the end of the budget, and notes what the loop does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from config.errors import InvalidInput, LabelStudioUnavailable, ModelUnavailable
from ml_backend.simulation.gold import GoldText
from ml_backend.simulation.plan import SimulationPlan, Strategy
from ml_backend.simulation.report import Outcome, SimulatedRun, VersionRow
from ml_backend.simulation.served import ServedScores
from ml_backend.simulation.watch import (
    Awaited,
    LoopState,
    Patience,
    RunSeen,
    awaited_after_batch,
    awaited_at_start,
    awaited_version,
    wait_until,
)
from sync.annotator import Page, Submission
from training.spans import Span
from training.store.tables.runs import RunStatus

Answer = TypeVar("Answer")

AWAY_SECONDS = 5.0
"""How long nobody asks a Label Studio that did not answer."""


class AnnotatorLike(Protocol):
    """Whoever labels a project's tasks in the order of its queue."""

    def open_next(self) -> Page | None:
        """The next page, None at the end."""

    def submit(self, page: Page, spans: Sequence[Span]) -> Submission:
        """Submit these spans for the page."""


@dataclass(frozen=True, slots=True)
class OpenProject:
    """A fresh project to play in, and a sentence where its title is not the one asked for."""

    id: int
    title: str
    annotator: AnnotatorLike
    note: str | None = None


class Stage(Protocol):
    """The running system, as far as a simulation needs it."""

    def open_project(self, plan: SimulationPlan, strategy: Strategy, seed: int) -> OpenProject:
        """Make a project that the whole loop is on for."""

    def import_texts(self, project: OpenProject, texts: Sequence[str], on_import: Callable[[int], None]) -> None:
        """Import texts as tasks, in this order; calls back with the number of each portion."""

    def look(self, project: OpenProject) -> LoopState:
        """See what the project's loop is doing."""

    def score(self, project: OpenProject, gold: Sequence[GoldText]) -> ServedScores:
        """Score what the project is served."""


class Display(Protocol):
    """Where a person watches."""

    def begin(self, run: SimulatedRun, *, budget: int) -> None:
        """A project begins."""

    def imported(self, run: SimulatedRun, count: int, total: int) -> None:
        """So many texts of so many are imported."""

    def annotated(self, run: SimulatedRun) -> None:
        """Another text was annotated."""

    def waits(self, run: SimulatedRun, what: str) -> None:
        """The annotator waits for this."""

    def version(self, run: SimulatedRun, row: VersionRow) -> None:
        """A run ended, or version 0 was scored."""

    def end(self, run: SimulatedRun) -> None:
        """The project's budget is spent."""


class Player:
    """One strategy, one seed, one project."""

    def __init__(
        self,
        plan: SimulationPlan,
        run: SimulatedRun,
        stage: Stage,
        *,
        display: Display,
        save: Callable[[], None],
        patience: Patience,
    ) -> None:
        self._plan, self._run, self._stage = plan, run, stage
        self._display, self._save, self._patience = display, save, patience
        self._settings = plan.project_settings(run.seed)
        self._gold = {gold.text: gold for gold in plan.pool.texts}
        self._noted: set[str] = set()
        self._scores: dict[str, ServedScores] = {}
        self._started = patience.clock()
        self._project: OpenProject

    def play(self) -> None:
        """Annotate the budget, batch by batch. Raises SpanloopError where the loop does not answer."""
        self._set_up()
        for end in self._plan.checkpoints(Strategy(self._run.strategy)):
            known = frozenset(self._noted)
            more = self._annotate(end - self._run.annotations)
            self._let_the_loop_answer(known)
            if not more:
                self._run.notes.append(f"the labelling queue was empty after {self._run.annotations} annotations")
                break

    def _set_up(self) -> None:
        strategy = Strategy(self._run.strategy)
        self._project = self._stage.open_project(self._plan, strategy, self._run.seed)
        self._run.project_id, self._run.title = self._project.id, self._project.title
        if self._project.note:
            self._run.notes.append(self._project.note)
        self._display.begin(self._run, budget=self._plan.checkpoints(strategy)[-1])
        texts = [gold.text for gold in self._plan.ordered_pool(self._run.seed)]
        told = partial(self._display.imported, self._run, total=len(texts))
        self._stage.import_texts(self._project, texts, told)
        state = self._wait(lambda state: awaited_at_start(state, tasks=len(texts)))
        self._add_row(state, Outcome.BASE, version=state.live)

    def _annotate(self, count: int) -> bool:
        """Annotate so many texts; False where the queue ended before."""
        looked = self._patience.clock()
        for _ in range(count):
            made = self._patiently(self._annotate_next)
            if made is None:
                return False
            self._run.submissions.append(made)
            self._keep_time()
            self._display.annotated(self._run)
            if self._patience.clock() - looked > 1.0:
                self._note_ended_runs(self._look())
                looked = self._patience.clock()
        return True

    def _annotate_next(self) -> Submission | None:
        page = self._project.annotator.open_next()
        return None if page is None else self._project.annotator.submit(page, self._right_spans(page))

    def _patiently(self, act: Callable[[], Answer]) -> Answer:
        """What the act brings, tried again while Label Studio is away, as long as a simulation waits for anything.

        A submit whose answer was lost may have gone in; it is not counted then, and the queue goes on behind it.
        """
        since = self._patience.clock()
        while True:
            try:
                return act()
            except LabelStudioUnavailable:
                if self._patience.clock() - since > self._patience.idle_seconds:
                    raise
                self._display.waits(self._run, "Label Studio to answer")
                self._patience.sleep(AWAY_SECONDS)

    def _right_spans(self, page: Page) -> tuple[Span, ...]:
        if page.text not in self._gold:
            raise InvalidInput(
                f"task {page.task_id} of project {self._project.id} holds a text that is not in "
                f"{self._plan.pool.path}; leave the project to the simulation while it runs"
            )
        return self._gold[page.text].spans

    def _let_the_loop_answer(self, known: frozenset[str]) -> None:
        submitted = frozenset(one.annotation_id for one in self._run.submissions)
        awaited = partial(awaited_after_batch, submitted=submitted, known=known, settings=self._settings)
        self._note_ended_runs(self._wait(awaited))

    def _note_ended_runs(self, state: LoopState) -> None:
        ended = state.ended_since(self._noted)
        if any(run.activated for run in ended) and awaited_version(state) is not None:
            state = self._wait(awaited_version)
            ended = state.ended_since(self._noted)
        for run in ended:
            self._noted.add(run.id)
            self._add_row(state, _outcome_of(run, state), version=run.version, run=run)

    def _add_row(self, state: LoopState, outcome: Outcome, *, version: str | None, run: RunSeen | None = None) -> None:
        served = state.announced or ""
        row = VersionRow(
            outcome=outcome,
            version=version,
            served=served,
            annotations=self._run.annotations,
            scores=self._score(served).scores,
            calibration=self._score(served).calibration,
            effort=self._run.effort_since_last_row(),
            wall_seconds=self._patience.clock() - self._started,
            training_seconds=run.training_seconds if run else None,
            run_id=run.id if run else None,
            reasons=_reasons_of(run),
            gate=run.verdict if run else None,
        )
        self._run.versions.append(row)
        self._keep_time()
        self._display.version(self._run, row)
        self._save()

    def _score(self, announced: str) -> ServedScores:
        if announced not in self._scores:
            found = self._stage.score(self._project, self._plan.test.texts)
            if found.version != announced:
                raise ModelUnavailable(
                    f"the web process serves {found.version} where {announced} is announced for project "
                    f"{self._project.id}; web.log says why it cannot be loaded"
                )
            self._scores[announced] = found
        return self._scores[announced]

    def _wait(self, awaited: Callable[[LoopState], Awaited | None]) -> LoopState:
        on_wait = partial(self._display.waits, self._run)
        return wait_until(self._look, awaited, patience=self._patience, on_wait=on_wait)

    def _look(self) -> LoopState:
        return self._patiently(partial(self._stage.look, self._project))

    def _keep_time(self) -> None:
        self._run.wall_seconds = self._patience.clock() - self._started


def _outcome_of(run: RunSeen, state: LoopState) -> Outcome:
    if run.status is not RunStatus.COMPLETED:
        return Outcome.CANCELLED if run.status is RunStatus.CANCELLED else Outcome.FAILED
    if run.activated:
        return Outcome.LIVE if run.version == state.live else Outcome.SUPERSEDED
    return Outcome.NOT_PROMOTED if (run.verdict or {}).get("passed") else Outcome.REFUSED


def _reasons_of(run: RunSeen | None) -> tuple[str, ...]:
    if run is None:
        return ()
    said = [str(reason) for reason in (run.verdict or {}).get("reasons", [])]
    return (*said, run.error) if run.error else tuple(said)
