"""A running system in memory for simulations: its runs go as a script says, each look a step further."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ml_backend.simulation.gold import GoldText
from ml_backend.simulation.plan import SimulationPlan, Strategy
from ml_backend.simulation.play import OpenProject
from ml_backend.simulation.report import SimulatedRun, VersionRow
from ml_backend.simulation.served import ServedScores
from ml_backend.simulation.watch import LoopState, RunSeen
from sync.annotator import Annotator
from sync.labelling import build_config, parse_config
from tests.fakes.label_studio import FakeLabelStudio
from training.metrics.evaluate import Scores
from training.store.tables.runs import RunStatus


class FakeClock:
    """Time that passes only when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeRun:
    """A run on its way: how it is to end, and where it stands."""

    number: int
    script: str
    status: RunStatus = RunStatus.PENDING
    version: str | None = None

    def step(self, *, test_texts: int) -> None:
        if self.status is RunStatus.PENDING:
            self.status = RunStatus.RUNNING
        elif self.status is RunStatus.RUNNING and self.script == "waits" and not test_texts:
            self.status = RunStatus.WAITING
        elif self.status is RunStatus.WAITING and test_texts:
            self.status, self.script = RunStatus.PENDING, "live"
        elif self.status is RunStatus.RUNNING:
            self.status = {"failed": RunStatus.FAILED, "cancelled": RunStatus.CANCELLED}.get(
                self.script, RunStatus.COMPLETED
            )


@dataclass
class FakeStage:
    """`script` says how each run ends: live, refused, failed, cancelled, waits (for test texts), never, stays."""

    script: Sequence[str] = ()
    test_texts_from: int = 0
    on_look: Callable[[int], None] = lambda _looks: None
    studio: FakeLabelStudio = field(default_factory=FakeLabelStudio)
    looks: int = 0

    def open_project(self, plan: SimulationPlan, strategy: Strategy, seed: int) -> OpenProject:
        xml = build_config(plan.taxonomy)
        made = self.studio.create_project(plan.title(strategy, seed), xml, show_collab_predictions=True)
        self.studio.create_backend(made.id, f"http://backend.test/p/{made.id}", title="v0", user="x", password="y")
        self.plan, self.runs, self.counted, self.outcomes = plan, [], 0, iter(self.script)
        self.live, self.announced, self.tasks = "v0", "v0", 0
        self.order: list[str] = []
        return OpenProject(made.id, made.title, Annotator(self.studio, made.id, parse_config(xml)))

    def import_texts(self, project: OpenProject, texts: Sequence[str], on_import: Callable[[int], None]) -> None:
        prediction = {"result": [], "score": 0.5, "model_version": "v0"}
        self.studio.import_tasks(project.id, [{"data": {"text": text}, "predictions": [prediction]} for text in texts])
        self.order, self.tasks = list(texts), len(texts)
        on_import(len(texts))

    def look(self, project: OpenProject) -> LoopState:
        self.looks += 1
        self.on_look(self.looks)
        made = frozenset(
            annotation.id for task in self.studio.iter_tasks(project.id) for annotation in task.annotations
        )
        self._step(len(made))
        return LoopState(
            tasks=self.tasks,
            unpushed=0,
            annotations=made,
            verified=len(made),
            newly_verified=len(made) - self.counted,
            test_texts=self._test_texts(len(made)),
            live=self.live,
            announced=self.announced,
            shown=self.announced if self.announced == self.live else None,
            runs=tuple(self._seen(run) for run in self.runs),
        )

    def score(self, project: OpenProject, gold: Sequence[GoldText]) -> ServedScores:
        f1 = int(self.announced[1:]) / 10
        return ServedScores(self.announced, Scores(f1, f1, f1, len(gold), len(gold)))

    def _test_texts(self, annotations: int) -> int:
        return max(0, annotations - self.test_texts_from)

    def _step(self, annotations: int) -> None:
        self.announced = self.live
        active = next((run for run in self.runs if run.status not in _OVER), None)
        if active is not None and active.script != "stays":
            active.step(test_texts=self._test_texts(annotations))
            if active.status is RunStatus.COMPLETED:
                self._complete(active, annotations)
        elif active is None and annotations - self.counted >= self.plan.batch:
            script = next(self.outcomes, "live")
            if script != "never":
                self.runs.append(FakeRun(len(self.runs) + 1, script))

    def _complete(self, run: FakeRun, annotations: int) -> None:
        self.counted = annotations
        run.version = f"v{1 + sum(other.version is not None for other in self.runs)}"
        if run.script == "live":
            self.live = run.version

    def _seen(self, run: FakeRun) -> RunSeen:
        passed = run.script != "refused"
        reasons = [] if passed else ["F1 falls"]
        return RunSeen(
            id=f"run-{run.number}",
            status=run.status,
            version=run.version,
            activated=run.version is not None and passed,
            training_seconds=1.5 if run.version else None,
            verdict={"passed": passed, "kind": "", "reasons": reasons} if run.version else None,
            error="out of memory" if run.status is RunStatus.FAILED else None,
        )


_OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class FakeDisplay:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.rows: list[VersionRow] = []
        self.waits_for: list[str] = []
        self.ended: list[SimulatedRun] = []

    def begin(self, run: SimulatedRun, *, budget: int) -> None:
        pass

    def imported(self, run: SimulatedRun, count: int, total: int) -> None:
        pass

    def annotated(self, run: SimulatedRun) -> None:
        pass

    def waits(self, run: SimulatedRun, what: str) -> None:
        self.waits_for.append(what)

    def version(self, run: SimulatedRun, row: VersionRow) -> None:
        self.rows.append(row)

    def end(self, run: SimulatedRun) -> None:
        self.ended.append(run)


def numbered(words: Sequence[str]) -> Iterator[GoldText]:
    """A text for each word, without spans."""
    return (GoldText(number, word, ()) for number, word in enumerate(words, 1))
