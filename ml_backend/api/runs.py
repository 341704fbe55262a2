"""Training runs: listed, shown with their progress, cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from config.errors import Conflict
from ml_backend.api.envelope import responses
from ml_backend.api.fields import EXAMPLE_ID, EXAMPLE_TIME, EXAMPLE_VERSION, UUID_PATTERN, ProjectQuery
from ml_backend.api.figures import Figures, read_figures
from ml_backend.api.guard import GuardedRoute, ServicesDep, allow
from ml_backend.api.paging import Page, PageQuery, links
from ml_backend.bootstrap import utc_now
from training.access import Act
from training.runs.run import cancel_run
from training.store.tables.runs import RunStatus, TrainingBatch

routes = APIRouter(route_class=GuardedRoute, tags=["runs"])
RunId = Annotated[str, Path(pattern=UUID_PATTERN, description="Id of the run.", examples=[EXAMPLE_ID])]
Status = Literal["pending", "waiting", "running", "completed", "failed", "cancelled"]


class Progress(BaseModel):
    """How far a run is."""

    epoch: int | None = Field(description="Epochs begun; null before training.", examples=[4])
    step: int | None = Field(description="Steps done; null before training.", examples=[120])
    loss: float | None = Field(description="The last loss; null before training.", examples=[12.4])
    dev_f1: float | None = Field(
        description="F1 on the dev texts, 0 to 1; null before it was measured.", examples=[0.87]
    )
    seconds_left: float | None = Field(
        description="About how many seconds are left at most; null where nobody can say.", examples=[40.0]
    )


class Run(BaseModel):
    """A training run."""

    id: str = Field(description="Id of the run.", examples=[EXAMPLE_ID])
    project: int = Field(description="Id of the project.", examples=[1])
    status: Status = Field(
        description="waiting is for test texts; completed, failed and cancelled are final.", examples=["running"]
    )
    trigger: str = Field(description="Who or what asked for it.", examples=["policy"])
    promote: bool = Field(description="Whether its model goes live by itself if it passes its gate.", examples=[False])
    cancel_requested: bool = Field(description="Whether somebody wants it to stop.", examples=[False])
    progress: Progress = Field(description="How far it is.")
    train_texts: int | None = Field(
        description="Texts of the train part, for all its passes; null before.", examples=[80]
    )
    dev_texts: int | None = Field(
        description="Texts that steered it and joined its last passes; null before.", examples=[15]
    )
    test_texts: int | None = Field(description="Texts that judged its model; null before.", examples=[20])
    training_seconds: float | None = Field(description="How long it trained, in seconds; null before.", examples=[18.2])
    f1_score: float | None = Field(description="F1 of its model, 0 to 1; null without one.", examples=[0.93])
    verdict: str | None = Field(
        description="passed, provisional or refused; null without a model.", examples=["passed"]
    )
    reasons: list[str] = Field(description="Why the gate said so.", examples=[["F1 0.93, live version 0.90"]])
    model_id: str | None = Field(description="Id of its model; null without one.", examples=[EXAMPLE_ID])
    model_version: str | None = Field(description="Name of its model; null without one.", examples=[EXAMPLE_VERSION])
    error_code: str | None = Field(
        description="One of docs/errors.md; null where nothing failed.", examples=["not_enough_data"]
    )
    error: str | None = Field(
        description="What it failed of, or waits for; null where nothing did.",
        examples=["12 verified texts, a run needs 20"],
    )
    created_at: datetime = Field(description="When it was asked for, in UTC.", examples=[EXAMPLE_TIME])
    started_at: datetime | None = Field(description="When it began, in UTC; null before.", examples=[EXAMPLE_TIME])
    finished_at: datetime | None = Field(description="When it ended, in UTC; null before.", examples=[EXAMPLE_TIME])


class RunDetails(Run):
    """A training run with all that was measured of its model."""

    figures: Figures | None = Field(description="What was measured of its model; null without one.")
    live_figures: Figures | None = Field(
        description="The same of the version that was live, on the same texts; null without a model."
    )


class RunPage(Page):
    """A page of runs, newest first."""

    results: list[Run] = Field(description="The runs of this page.")


class RunQuery(PageQuery):
    """Which runs."""

    project: ProjectQuery = None
    status: Status | None = Field(None, description="Only those that stand there.", examples=["running"])


@routes.get("/runs/", responses=responses())
@allow(Act.READ_FIGURES)
def list_runs(request: Request, services: ServicesDep, query: Annotated[RunQuery, Query()]) -> RunPage:
    """A project's runs, newest first."""
    status = RunStatus(query.status) if query.status else None
    with services.store.read() as uow:
        project = uow.projects.choose(query.project)
        count = uow.runs.count(project.id, status=status)
        runs = uow.runs.of_project(project.id, status=status, limit=query.limit, offset=query.offset)
        versions = {model.id: model.version for model in uow.models.of_project(project.id)}
    results = [show_run(run, versions) for run in runs]
    return RunPage.model_construct(**links(request, query, count=count), results=results)


@routes.get("/runs/{run_id}/", responses=responses())
@allow(Act.READ_FIGURES)
def show(run_id: RunId, services: ServicesDep) -> RunDetails:
    """A run with its progress and its figures."""
    with services.store.read() as uow:
        run = uow.runs.get(run_id)
        uow.projects.get(run.project_id)
        versions = {run.model_id: uow.models.get(run.model_id).version} if run.model_id else {}
    measured: dict[str, Any] = run.metrics or {}
    return RunDetails(
        **show_run(run, versions).model_dump(),
        figures=read_figures(services, run.project_id, measured.get("candidate")),
        live_figures=read_figures(services, run.project_id, measured.get("live")),
    )


@routes.post("/runs/{run_id}/cancel/", responses=responses(Conflict))
@allow(Act.ADMINISTER)
def cancel(run_id: RunId, services: ServicesDep) -> Run:
    """Cancel a run; one that trains stops within seconds."""
    with services.store.write() as uow:
        run = cancel_run(uow, run_id, now=utc_now())
        uow.commit()
    return show_run(run, {})


def show_run(run: TrainingBatch, versions: Mapping[str, str]) -> Run:
    """A run as answers show it; `versions` holds the names of models by id."""
    metrics: dict[str, Any] = run.metrics or {}
    verdict: dict[str, Any] = run.verdict or {}
    return Run.model_validate(
        {
            **{name: getattr(run, name) for name in Run.model_fields if hasattr(run, name)},
            "project": run.project_id,
            "progress": {name: getattr(run, name) for name in Progress.model_fields},
            "f1_score": metrics.get("f1_score"),
            "verdict": verdict.get("kind"),
            "reasons": list(verdict.get("reasons", ())),
            "model_version": versions.get(run.model_id or ""),
        }
    )
