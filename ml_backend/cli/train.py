"""`spanloop train`: asks for a training run, and watches it."""

from __future__ import annotations

from typing import Annotated

import typer

from ml_backend.bootstrap import Services, utc_now
from ml_backend.cli.bell import ring
from ml_backend.cli.runs import watch_run
from ml_backend.cli.session import ProjectId, session_of
from training.run import request_run
from training.store.tables.runs import TrainingBatch

TRIGGER = "cli"


def train(
    context: typer.Context,
    project_id: ProjectId = None,
    promote: Annotated[bool, typer.Option("--promote", help="Let the model go live if it passes its gate.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch the run until it ends.")] = True,
) -> None:
    """Train a model on what is verified; without --promote it does not go live."""
    session = session_of(context)
    project = session.find_project(project_id)
    run = start_run(session.services, project.id, promote=promote)
    session.say(f"Run {run.id} of project {project.id} is asked for.")
    if wait:
        watch_run(session, run.id)


def start_run(services: Services, project_id: int, *, promote: bool) -> TrainingBatch:
    """Ask for a run and ring for it. Raises Conflict where the project has one under way."""
    with services.store.write() as uow:
        run = request_run(uow, project_id, trigger=TRIGGER, promote=promote, now=utc_now())
        uow.commit()
    ring(services, "train", run.id)
    return run
