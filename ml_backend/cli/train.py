"""`spanloop train`: asks for a training run, watches it, and reports what came of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ml_backend.bootstrap import Services, utc_now
from ml_backend.cli.bell import ring
from ml_backend.cli.runs import follow_run, raise_failure
from ml_backend.cli.session import ProjectId, Session, session_of
from training.active_learning import run_configuration, run_metrics
from training.policy import parse_settings
from training.project_settings import change_settings
from training.runs.run import request_run, run_settings
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus, TrainingBatch

TRIGGER = "cli"
RULE = "=" * 60


def train(
    context: typer.Context,
    project_id: ProjectId = None,
    model: Annotated[str, typer.Option(help="Base model, as spacy.load takes it; unset: the project's own.")] = "",
    iterations: Annotated[int | None, typer.Option(help="Passes over the texts at most; unset: max_epochs.")] = None,
    test_split: Annotated[
        float | None, typer.Option(help="Share of texts to come that go to the test part; becomes the project's.")
    ] = None,
    min_samples: Annotated[int, typer.Option(help="Verified texts below which nothing is trained.", min=1)] = 10,
    recipe: Annotated[str, typer.Option(help="How to train (docs/training.md); unset: the project's recipe.")] = "",
    promote: Annotated[bool, typer.Option("--promote", help="Let the model go live if it passes its gate.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch the run until it ends.")] = True,
) -> None:
    """Train a model on what is verified; without --promote it does not go live."""
    session = session_of(context)
    project = session.find_project(project_id)
    configuration = run_configuration(
        base_model=model or None, max_epochs=iterations, min_samples=min_samples, recipe=recipe or None
    )
    changes = {} if test_split is None else {"test_fraction": test_split}
    parse_settings(project.settings).with_changes(**changes)
    run = start_run(session.services, project.id, promote=promote, configuration=configuration)
    if changes:
        change_settings(session.services.store, project.id, changes, clock=utc_now)
        project = session.find_project(project.id)
    _tell_plan(session, project, run)
    if wait:
        _tell_result(session, follow_run(session, run.id))


def start_run(
    services: Services, project_id: int, *, promote: bool, configuration: dict[str, Any] | None = None
) -> TrainingBatch:
    """Ask for a run and ring for it. Raises Conflict where the project has one under way."""
    with services.store.write() as uow:
        run = request_run(uow, project_id, trigger=TRIGGER, promote=promote, configuration=configuration, now=utc_now())
        uow.commit()
    ring(services, "train", run.id)
    return run


def _tell_plan(session: Session, project: Project, run: TrainingBatch) -> None:
    settings = run_settings(project, run)
    session.say(f"{RULE}\nML Model Training Pipeline\n{RULE}")
    session.say(f"Base model: {run.configuration.get('base_model') or project.base_model}")
    session.say(f"Iterations: {settings.max_epochs}")
    session.say(f"Test split: {settings.test_fraction:g}")
    session.say(f"Min samples: {settings.min_samples}")
    session.say(f"Recipe: {settings.recipe}")
    session.say(f"\nStarting training cycle... (run {run.id} of project {project.id})")


def _tell_result(session: Session, run: TrainingBatch) -> None:
    raise_failure(run)
    if run.status == RunStatus.WAITING:
        session.say(f"Run {run.id} waits: {run.error}")
        return
    with session.services.store.read() as uow:
        model = uow.models.get(run.model_id or "")
    facts, figures = model.spec.get("training", {}), run_metrics(run)
    session.say("✓ Training completed successfully!\n")
    session.say(
        f"Model ID: {model.id} ({model.version})\nBatch ID: {run.id}\nModel saved to: {_place_of(session, model)}\n"
    )
    session.say("Training Metrics:")
    session.say(f"  Training samples: {figures['training_samples']}")
    session.say(f"  Iterations: {facts.get('epochs', '')} (recipe {facts.get('recipe', '')})")
    session.say(f"  Final loss: {facts.get('final_loss', 0.0):.4f}")
    session.say(f"  Average loss: {facts.get('average_loss', 0.0):.4f}\n")
    session.say("Evaluation Metrics:")
    session.say(f"  Precision: {figures['precision']:.4f}")
    session.say(f"  Recall: {figures['recall']:.4f}")
    session.say(f"  F1 Score: {figures['f1_score']:.4f}")
    session.say(f"  Test samples: {figures['test_samples']}\n")
    _tell_state(session, run, model)
    session.say(RULE)


def _place_of(session: Session, model: MLModel) -> str:
    return f"{session.services.settings.resolved_artefacts_url.rstrip('/')}/{model.path}"


def _tell_state(session: Session, run: TrainingBatch, model: MLModel) -> None:
    verdict = run.verdict or {}
    session.say(f"Gate: {verdict.get('kind', 'none')}")
    for reason in verdict.get("reasons", []):
        session.say(f"  {reason}")
    session.say(f"\nNote: {say_state(run, model)}")


def say_state(run: TrainingBatch, model: MLModel) -> str:
    """Whether a run's model is live, and what puts it live."""
    activate = f"spanloop models activate {model.version}"
    if model.is_production:
        return "New model is ACTIVE."
    if not (run.verdict or {}).get("passed", True):
        return f"New model is NOT active: its gate refused it. To put it live all the same: {activate} --reason WHY"
    if model.is_active:
        return "New model is NOT active yet: it is tested beside the live one, see `spanloop models ab status`."
    return (
        "New model is NOT active by default.\n"
        f"Review the metrics and activate it manually if performance is good: {activate}"
    )
