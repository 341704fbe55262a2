"""The loop without Label Studio: a store of its own, the real runs, and a queue that is a list in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ml_backend.bootstrap import utc_now
from ml_backend.projects import default_base, register_version_zero
from ml_backend.simulation.gold import GoldText
from ml_backend.simulation.plan import SimulationPlan, Strategy
from ml_backend.simulation.play import OpenProject
from ml_backend.simulation.queue import Candidate, OfflineQueue
from ml_backend.simulation.served import ServedScores, score_predictions
from ml_backend.simulation.stage import read_state
from ml_backend.simulation.watch import LoopState
from sync.annotator import Page, Submission, estimate_lead_time
from sync.labelling import build_config
from sync.mirror import set_config
from training.examples.intake import SeenAnnotation, SeenTask, record_annotation, record_task
from training.feedback import count_edits
from training.policy import parse_settings
from training.prediction.pipeline import Pipeline
from training.queue.rescoring import read_pace
from training.runs.run import Workshop, execute_run, request_run, wake_waiting_run
from training.spans import Span
from training.splits import Part
from training.store.database import open_engine
from training.store.migrate import upgrade
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore
from training.versions.registry import activate, open_version

PROJECT = 1
# The versions before the newest that a committee asks too.
COMMITTEE = 2


@contextmanager
def open_stage(*, tell: Callable[[str], None]) -> Iterator[OfflineStage]:
    """A stage in a temporary folder; `tell` hears what takes long."""
    with TemporaryDirectory(prefix="spanloop-simulation-") as folder:
        url = f"sqlite:///{Path(folder) / 'store.db'}"
        upgrade(url)
        engine = open_engine(url)
        try:
            artefacts = ArtefactStore(Path(folder) / "artefacts")
            yield OfflineStage(Workshop(Store(engine), artefacts, Path(folder) / "work", utc_now), tell=tell)
        finally:
            engine.dispose()


class OfflineStage:
    """Plays one project in this process. Runs start where the plan's batches end, whatever the clock says."""

    def __init__(self, workshop: Workshop, *, tell: Callable[[str], None]) -> None:
        self._workshop, self._tell = workshop, tell
        self._store = workshop.store
        self._plan: SimulationPlan
        self._strategy: Strategy
        self._ends: frozenset[int] = frozenset()
        self._answered = 0
        self._version = ""
        # Version 0 knows other labels, so it is no member of a committee.
        self._is_trained = False
        self._former: list[Pipeline] = []
        self._pipeline: Pipeline
        self.queue: OfflineQueue

    def open_project(self, plan: SimulationPlan, strategy: Strategy, seed: int) -> OpenProject:
        """Make the project, with its version 0 live."""
        self._plan, self._strategy = plan, strategy
        self._ends = frozenset(plan.checkpoints(strategy))
        settings = plan.project_settings(seed)
        with self._store.write() as uow:
            project = Project(
                id=PROJECT,
                title=plan.title(strategy, seed),
                language=plan.language,
                base_model=plan.base_model or default_base(plan.language),
                settings=settings.to_json(),
                created_at=utc_now(),
            )
            set_config(project, build_config(plan.taxonomy), plan.taxonomy)
            uow.projects.add(project)
            register_version_zero(uow, project)
            uow.commit()
        self.queue = OfflineQueue(strategy.ranking, settings.honest_share, seed, diverse=plan.clusters)
        self._load_live()
        return OpenProject(PROJECT, project.title, OfflineAnnotator(self))

    def import_texts(self, project: OpenProject, texts: Sequence[str], on_import: Callable[[int], None]) -> None:
        """Take the texts in as tasks, numbered in this order."""
        now = utc_now()
        candidates = []
        with self._store.write() as uow:
            row = uow.projects.get(project.id)
            for number, text in enumerate(texts, 1):
                task = record_task(uow, row, SeenTask(number, text, None, False, now), now=now)
                if task.text_id is not None:
                    stored = uow.texts.get_text(task.text_id)
                    candidates.append(Candidate(number, text, Part(stored.part), stored.group_id))
            uow.commit()
        self._tell(f"{len(candidates)} texts to be clustered")
        self.queue.fill(candidates)
        on_import(len(texts))

    def look(self, project: OpenProject) -> LoopState:
        """See what the loop is doing; where a batch has just ended, that is a whole run."""
        if self.queue.taken in self._ends and self.queue.taken != self._answered:
            self._answered = self.queue.taken
            self._run()
        with self._store.read() as uow:
            state = read_state(uow, project.id)
        return replace(state, shown=state.announced, unpushed=0)

    def score(self, project: OpenProject, gold: Sequence[GoldText]) -> ServedScores:  # noqa: ARG002 (one project)
        """Score the live version on these texts, and how honest its scores are."""
        self._tell(f"{self._version} to read {len(gold)} test texts")
        return score_predictions(self._version, gold, self._pipeline.predict([one.text for one in gold]))

    def next_page(self) -> Page | None:
        """The page that the queue shows next, with what the live version says."""
        if self.queue.needs_order:
            self._tell(f"{len(self.queue)} texts to be ranked")
        found = self.queue.next(self._pipeline, self._former if self._strategy is Strategy.COMMITTEE else ())
        if found is None:
            return None
        shown = tuple(span.span for span in found.prediction.spans)
        return Page(found.candidate.task_id, found.candidate.text, None, shown)

    def record(self, page: Page, spans: Sequence[Span]) -> Submission:
        """Take in an annotation, as a webhook would bring it."""
        edits = count_edits(spans, page.shown)
        lead_time = estimate_lead_time(page.text, edits=edits)
        now = utc_now()
        seen = SeenAnnotation(
            page.task_id, page.task_id, tuple(spans), (), False, False, lead_time, None, None, None, now, now
        )
        with self._store.write() as uow:
            record_annotation(uow, uow.projects.get(PROJECT), seen, now=now)
            uow.commit()
        accepted = set(spans) == set(page.shown)
        return Submission(page.task_id, self._version, len(set(spans)), edits, accepted, lead_time)

    def _run(self) -> None:
        self._tell("the training run to end")
        with self._store.write() as uow:
            run = uow.runs.active(PROJECT)
            if run is None:
                run = request_run(uow, PROJECT, trigger="simulation", promote=True, now=utc_now())
            ready = run.status == RunStatus.PENDING or wake_waiting_run(uow, run)
            uow.commit()
        if ready:
            outcome = execute_run(run.id, self._workshop, worker="simulation")
            gated = self._plan.gate and self._strategy is not Strategy.FULL
            if outcome.model_id is not None and not outcome.activated and not gated:
                self._put_live(outcome.model_id)
            self._load_live()

    def _put_live(self, model_id: str) -> None:
        with self._store.write() as uow:
            activate(uow, PROJECT, model_id, by="simulation", reason="simulated without a gate", now=utc_now())
            uow.commit()

    def _load_live(self) -> None:
        with self._store.write() as uow:
            live = uow.models.live(PROJECT)
            assert isinstance(live, MLModel)
            project = uow.projects.get(PROJECT)
            project.announced_model_id = live.id
            pace = read_pace(uow, PROJECT, parse_settings(project.settings))
            uow.commit()
        if live.version == self._version:
            return
        if self._is_trained:
            self._former = [*self._former, self._pipeline][-COMMITTEE:]
        self._version, self._is_trained = live.version, live.path is not None
        self._pipeline = open_version(live, self._workshop.artefacts)
        self.queue.reorder(pace)


class OfflineAnnotator:
    """Labels the texts in the order of the stage's queue."""

    def __init__(self, stage: OfflineStage) -> None:
        self._stage = stage

    def open_next(self) -> Page | None:
        """The page that the queue shows next; None where every task is done."""
        return self._stage.next_page()

    def submit(self, page: Page, spans: Sequence[Span]) -> Submission:
        """Submit these spans for the page."""
        return self._stage.record(page, spans)
