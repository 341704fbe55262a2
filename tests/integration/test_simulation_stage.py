"""The running system as a simulation sees it, on the real store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from config.settings import Settings
from ml_backend.simulation.plan import LIVE_STRATEGIES, SimulationPlan, Strategy
from ml_backend.simulation.play import OpenProject
from ml_backend.simulation.served import ServedPipelines
from ml_backend.simulation.stage import LiveStage, free_title
from sync.setup import Plan, create_project
from tests.integration.loop import CONNECTION, Loop, register
from tests.integration.rows import NOW
from tests.unit.test_simulation import plan_of
from training.policy import ProjectSettings
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus, TrainingBatch
from training.store.unit_of_work import Store


@pytest.fixture
def loop(store: Store) -> Loop:
    """A store and a Label Studio with one project already."""
    return Loop.start(store)


@pytest.fixture
def stage(loop: Loop) -> Iterator[LiveStage]:
    """A stage on them."""

    def make(title: str, plan: SimulationPlan, settings: ProjectSettings) -> Project:
        return create_project(
            loop.store,
            loop.fake,  # type: ignore[arg-type]
            CONNECTION,
            title=title,
            plan=Plan(plan.taxonomy, plan.language, "blank:en", settings),
            register_base=register,
            now=NOW,
        )

    with ServedPipelines(Settings()) as served:
        yield LiveStage(loop.store, loop.fake, served, make_project=make)  # type: ignore[arg-type]


def opened(stage: LiveStage, loop: Loop, strategy: Strategy = Strategy.RANDOM) -> OpenProject:
    project = stage.open_project(plan_of(), strategy, 1)
    loop.project_id = project.id
    loop.fake.sent.clear()
    return project


def test_each_strategy_has_its_queue(stage: LiveStage, loop: Loop) -> None:
    """Uncertainty uses Label Studio's own queue over our scores, random the order of import."""
    found = [stage.open_project(plan_of(), strategy, 1).id for strategy in LIVE_STRATEGIES]
    assert [loop.fake.projects[project].sampling for project in found] == [
        "Uncertainty sampling",
        "Sequential sampling",
    ]


def test_a_project_is_always_a_new_one(stage: LiveStage) -> None:
    """Where the title is taken, another project is made under a numbered one, and that is said."""
    first, second = (stage.open_project(plan_of(), Strategy.RANDOM, 1) for _ in range(2))
    assert (first.title, first.note) == ("play random 1", None)
    assert second.title == "play random 1 (2)"
    assert second.id != first.id
    assert "already" in (second.note or "")
    assert free_title("a", {"a", "a (2)"}) == "a (3)"


def test_texts_are_imported_in_order_without_their_spans(stage: LiveStage, loop: Loop) -> None:
    """The queue holds the texts alone, in the order given, and every portion is told."""
    project, told = opened(stage, loop), []
    texts = [f"text {number}" for number in range(250)]
    stage.import_texts(project, texts, told.append)
    tasks = [task for _, task in sorted(loop.fake.tasks.items()) if task.project_id == project.id]
    assert [task.data for task in tasks] == [{"text": text} for text in texts]
    assert told == [200, 250]


def test_the_state_follows_the_loop(stage: LiveStage, loop: Loop) -> None:
    """Tasks, pre-labels that are missing, annotations and what counts for the policy are seen once they are in."""
    project = opened(stage, loop)
    stage.import_texts(project, ["Ada", "Bob"], lambda _: None)
    assert (stage.look(project).tasks, stage.look(project).shown) == (0, "spanloop-v0")
    loop.sync()
    seen = stage.look(project)
    assert (seen.tasks, seen.unpushed, seen.verified) == (2, 2, 0)
    page = project.annotator.open_next()
    assert page is not None
    done = project.annotator.submit(page, ())
    assert stage.look(project).annotations == frozenset()
    loop.sync()
    seen = stage.look(project)
    assert (seen.annotations, seen.verified, seen.newly_verified) == (frozenset({done.annotation_id}), 1, 1)
    assert (seen.live, seen.announced, seen.runs, seen.active) == ("spanloop-v0", "spanloop-v0", (), None)


def add_run(loop: Loop, minute: int, **columns: Any) -> None:
    with loop.store.write() as uow:
        run = TrainingBatch(
            project_id=loop.project_id,
            trigger="policy",
            promote=True,
            configuration={},
            cancel_requested=False,
            created_at=NOW + timedelta(minutes=minute),
            **columns,
        )
        assert uow.runs.add(run)
        uow.commit()


def test_runs_are_seen_oldest_first_with_their_end(stage: LiveStage, loop: Loop) -> None:
    """A run shows its status and its reason; the active one is told from those that are over."""
    project = opened(stage, loop)
    add_run(loop, 1, status=RunStatus.FAILED, error="no memory")
    add_run(loop, 2, status=RunStatus.WAITING, id="zz")
    seen = stage.look(project)
    assert [run.status for run in seen.runs] == [RunStatus.FAILED, RunStatus.WAITING]
    assert [run.error for run in seen.ended_since(())] == ["no memory"]
    assert seen.active is not None
    assert seen.active.id == "zz"


def test_label_studio_is_not_asked_before_it_can_have_followed(stage: LiveStage, loop: Loop) -> None:
    """While the live version is not announced, what Label Studio shows is not looked up."""
    project = opened(stage, loop)
    with loop.store.write() as uow:
        uow.projects.lock(project.id).announced_model_id = None
        uow.commit()
    loop.fake.down = True
    assert stage.look(project).shown is None
