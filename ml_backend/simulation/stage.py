"""The running system as a simulation sees it: its store, its Label Studio, its web process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from config.errors import InvalidInput
from ml_backend.simulation.gold import GoldText
from ml_backend.simulation.plan import SimulationPlan, Strategy
from ml_backend.simulation.play import OpenProject
from ml_backend.simulation.served import ServedPipelines, ServedScores
from ml_backend.simulation.watch import LoopState, RunSeen
from sync.annotator import Annotator
from sync.client import LabelStudio
from sync.labelling import LabellingConfig, parse_config
from training.policy import ProjectSettings
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus, TrainingBatch
from training.store.unit_of_work import Store, UnitOfWork

IMPORT_CHUNK = 200
RUNS = 1000

MakeProject = Callable[[str, SimulationPlan, ProjectSettings], Project]
"""Makes a project of this title that the whole loop is on for, as `spanloop project create` does."""


class LiveStage:
    """Plays against the system that the settings name."""

    def __init__(
        self, store: Store, client: LabelStudio, served: ServedPipelines, *, make_project: MakeProject
    ) -> None:
        self._store, self._client, self._served = store, client, served
        self._make_project = make_project
        self._configs: dict[int, LabellingConfig] = {}

    def open_project(self, plan: SimulationPlan, strategy: Strategy, seed: int) -> OpenProject:
        """Make a project under a title that no other one has: old annotations never count."""
        wanted = plan.title(strategy, seed)
        title = free_title(wanted, {project.title for project in self._client.list_projects()})
        project = self._make_project(title, plan, plan.project_settings(seed))
        self._client.update_project(project.id, sampling=strategy.sampling)
        config = self._configs[project.id] = parse_config(project.label_config)
        note = None if title == wanted else f"there is a project {wanted!r} already, so this one is called {title!r}"
        return OpenProject(project.id, title, Annotator(self._client, project.id, config), note)

    def import_texts(self, project: OpenProject, texts: Sequence[str], on_import: Callable[[int], None]) -> None:
        """Import texts as tasks, in this order, without a word of their spans."""
        key = self._configs[project.id].text_key
        for at in range(0, len(texts), IMPORT_CHUNK):
            chunk = texts[at : at + IMPORT_CHUNK]
            self._client.import_tasks(project.id, [{"data": {key: text}} for text in chunk])
            on_import(at + len(chunk))

    def look(self, project: OpenProject) -> LoopState:
        """See what the project's loop is doing; Label Studio is asked only once the store says it should follow."""
        with self._store.read() as uow:
            state = read_state(uow, project.id)
        if state.live is None or state.live != state.announced:
            return state
        stored = self._client.find_project(project.id)
        if stored is None:
            raise InvalidInput(f"project {project.id} was deleted in Label Studio while the simulation used it")
        return replace(state, shown=stored.model_version)

    def score(self, project: OpenProject, gold: Sequence[GoldText]) -> ServedScores:
        """Score what the web process serves for the project."""
        return self._served.score(project.id, gold, self._configs[project.id])


def free_title(wanted: str, taken: set[str]) -> str:
    """The title, with a number behind it where it is taken."""
    number, title = 1, wanted
    while title in taken:
        number += 1
        title = f"{wanted} ({number})"
    return title


def read_state(uow: UnitOfWork, project_id: int) -> LoopState:
    """What the store says of a project's loop."""
    project = uow.projects.get(project_id)
    counts = uow.examples.count(project_id)
    models = {model.id: model for model in uow.models.of_project(project_id)}
    live = next((model for model in models.values() if model.is_production), None)
    announced = models.get(project.announced_model_id or "")
    activated = {change.model_id for change in uow.models.activations(project_id)}
    runs = [_see_run(run, models, activated) for run in uow.runs.of_project(project_id, limit=RUNS)]
    return LoopState(
        tasks=uow.texts.count_tasks(project_id)[0],
        unpushed=uow.texts.count_unpushed(project_id, announced.version) if announced else 0,
        annotations=frozenset(uow.annotations.standing_ids(project_id)),
        verified=counts.verified,
        newly_verified=counts.newly_verified,
        test_texts=counts.test,
        live=live.version if live else None,
        announced=announced.version if announced else None,
        shown=None,
        runs=tuple(reversed(runs)),
    )


def _see_run(run: TrainingBatch, models: dict[str, MLModel], activated: set[str]) -> RunSeen:
    model = models.get(run.model_id or "")
    return RunSeen(
        id=run.id,
        status=RunStatus(run.status),
        version=model.version if model else None,
        activated=model is not None and model.id in activated,
        training_seconds=run.training_seconds,
        verdict=run.verdict,
        error=run.error,
        progress=(run.epoch, run.step, run.heartbeat_at),
    )
