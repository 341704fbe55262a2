"""`spanloop runs`: training runs, listed, looked at, watched and cancelled."""

from __future__ import annotations

import functools
import time
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn

from config.errors import RunCancelled, RunError
from ml_backend.bootstrap import Services, utc_now
from ml_backend.cli.figures import figures_as_json, show_figures
from ml_backend.cli.session import AsJson, ProjectId, Session, session_of
from ml_backend.projects import task_page
from training.runs.run import cancel_run, run_settings
from training.store.tables.runs import RunStatus, TrainingBatch

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, watch and cancel training runs.")

LOOK_SECONDS = 0.5
SHORT_ID = 8
SLOW_START_SECONDS = 30.0
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the beginning of it.")]
Limit = Annotated[int, typer.Option(help="How many to list at most.", min=1)]


@app.command("list")
def list_runs(context: typer.Context, project_id: ProjectId = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List a project's runs, newest first."""
    session = session_of(context)
    project = session.find_project(project_id)
    with session.services.store.read() as uow:
        runs = uow.runs.of_project(project.id, limit=limit)
        versions = {model.id: model.version for model in uow.models.of_project(project.id)}
    rows = [summarize_run(run, versions.get(run.model_id or "")) for run in runs]
    if not as_json:
        rows = [{**row, "id": row["id"][:SHORT_ID]} for row in rows]
    session.show(rows, as_json=as_json, nothing=f"Project {project.id} has no run yet; `spanloop train` starts one.")


@app.command()
def show(context: typer.Context, run_id: RunId, as_json: AsJson = False) -> None:
    """Show a run: its progress, its figures, its verdict, and what it failed of."""
    session = session_of(context)
    run = find_run(session.services, run_id)
    found = describe_run(run)
    measured = (run.metrics or {}).get("candidate", {})
    link = functools.partial(task_page, session.services, run.project_id)
    if as_json:
        session.show_json({**found, "candidate": figures_as_json(measured, link)} if measured else found)
        return
    for title, fields in found.items():
        if fields:
            session.show_pairs(title, fields)
    show_figures(session, measured, link)


@app.command()
def cancel(context: typer.Context, run_id: RunId) -> None:
    """Cancel a run; one that trains stops within seconds."""
    session = session_of(context)
    run = find_run(session.services, run_id)
    with session.services.store.write() as uow:
        cancelled = cancel_run(uow, run.id, now=utc_now())
        uow.commit()
    over = cancelled.status == RunStatus.CANCELLED
    session.say(f"Run {run.id} is cancelled." if over else f"Run {run.id} stops at its next step.")


@app.command()
def watch(context: typer.Context, run_id: RunId) -> None:
    """Watch a run until it ends, or waits for test texts."""
    session = session_of(context)
    _tell_end(session, follow_run(session, find_run(session.services, run_id).id))


def find_run(services: Services, name: str) -> TrainingBatch:
    """The run of this id, or the one whose id begins so. Raises NotFound, InvalidInput."""
    with services.store.read() as uow:
        return uow.runs.resolve(name)


def follow_run(session: Session, run_id: str) -> TrainingBatch:
    """Show a run's progress until it ends or waits: a bar on a terminal, a line for each epoch elsewhere."""
    started = time.monotonic()
    hinted, epoch, epochs = False, None, _most_epochs(session.services, run_id)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20))
    with Progress(*columns, console=session.err, transient=True, disable=not session.err.is_terminal) as progress:
        bar = progress.add_task("waits for its worker", total=None)
        while (run := find_run(session.services, run_id)).status in (RunStatus.PENDING, RunStatus.RUNNING):
            spent, planned = _seconds_of(run)
            progress.update(bar, description=describe_progress(run), completed=spent, total=planned)
            if run.epoch is not None and run.epoch != epoch and not session.err.is_terminal:
                epoch = run.epoch
                session.say(f"Iteration {epoch}/{epochs}, Loss: {run.loss or 0.0:.4f}")
            if run.status == RunStatus.PENDING and not hinted and time.monotonic() - started > SLOW_START_SECONDS:
                session.warn("No worker has taken the run yet; `spanloop doctor` says whether the workers are alive.")
                hinted = True
            time.sleep(LOOK_SECONDS)
    return run


def _most_epochs(services: Services, run_id: str) -> int:
    """The passes that a run makes at most."""
    with services.store.read() as uow:
        run = uow.runs.resolve(run_id)
        return run_settings(uow.projects.get(run.project_id), run).max_epochs


def _seconds_of(run: TrainingBatch) -> tuple[float, float | None]:
    """How long a run has trained, and how long it will in all, as far as is known."""
    if run.seconds_left is None or run.started_at is None or run.heartbeat_at is None:
        return 0.0, None
    spent = max(0.0, (run.heartbeat_at - run.started_at).total_seconds())
    return spent, spent + run.seconds_left


def describe_progress(run: TrainingBatch) -> str:
    """How far a run is, in one line."""
    if run.status == RunStatus.PENDING:
        return "waits for its worker"
    if run.epoch is None:
        return "gets ready"
    score = "" if run.dev_f1 is None else f", dev F1 {run.dev_f1:.3f}"
    left = "" if run.seconds_left is None else f", {run.seconds_left:.0f} s left"
    return f"epoch {run.epoch}, step {run.step or 0}, loss {run.loss or 0.0:.3f}{score}{left}"


def raise_failure(run: TrainingBatch) -> None:
    """Raise RunError where a run ended without a model, RunCancelled where somebody wanted that."""
    if run.status == RunStatus.CANCELLED:
        raise RunCancelled(f"run {run.id} was cancelled")
    if run.status == RunStatus.FAILED:
        raise RunError(f"run {run.id} failed: {run.error}")


def _tell_end(session: Session, run: TrainingBatch) -> None:
    raise_failure(run)
    if run.status == RunStatus.WAITING:
        session.say(f"Run {run.id} waits: {run.error}")
        return
    with session.services.store.read() as uow:
        model = uow.models.get(run.model_id or "")
    session.say(f"Run {run.id} gave {model.version}, which is {'live' if model.is_production else 'not live'}.")
    for reason in (run.verdict or {}).get("reasons", []):
        session.say(f"  {reason}")


def summarize_run(run: TrainingBatch, version: str | None) -> dict[str, Any]:
    """A run in one line."""
    return {
        "id": run.id,
        "status": run.status,
        "trigger": run.trigger,
        "texts": run.verified_texts,
        "f1": (run.metrics or {}).get("f1_score"),
        "verdict": (run.verdict or {}).get("kind"),
        "version": version,
        "asked_for": run.created_at,
        "seconds": run.training_seconds,
        "error": run.error,
    }


def describe_run(run: TrainingBatch) -> dict[str, dict[str, Any]]:
    """Everything that is known of a run, by topic."""
    names = ("epoch", "step", "loss", "dev_f1", *(["seconds_left"] if run.status == RunStatus.RUNNING else []))
    progress = {name: getattr(run, name) for name in names}
    texts = {"train": run.train_texts, "dev": run.dev_texts, "test": run.test_texts, "verified": run.verified_texts}
    metrics = {key: value for key, value in (run.metrics or {}).items() if not isinstance(value, dict)}
    verdict = run.verdict or {}
    return {
        "run": {
            "id": run.id,
            "project": run.project_id,
            "status": run.status,
            "trigger": run.trigger,
            "promote": run.promote,
            "error_code": run.error_code,
            "error": run.error,
            "worker": run.worker,
            "asked_for": run.created_at,
            "started": run.started_at,
            "finished": run.finished_at,
            "training_seconds": run.training_seconds,
        },
        "progress": {name: value for name, value in progress.items() if value is not None},
        "texts": {name: value for name, value in texts.items() if value is not None},
        "metrics": metrics,
        "tokens": _without_lists(run, "tokens"),
        "memory": _without_lists(run, "memory"),
        "verdict": {"kind": verdict["kind"], "reasons": " ".join(verdict["reasons"])} if verdict else {},
    }


def _without_lists(run: TrainingBatch, topic: str) -> dict[str, Any]:
    figures = (run.metrics or {}).get(topic, {})
    return {name: value for name, value in figures.items() if value is not None and not isinstance(value, list)}
