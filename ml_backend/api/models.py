"""Model versions: listed, shown, put live, rolled back, and trained."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.convertors import StringConvertor, register_url_convertor

from config.errors import ArtefactCorrupt, GateRefused, InvalidInput
from ml_backend.api.bells import ring_later
from ml_backend.api.envelope import CHANGE_ERRORS, responses
from ml_backend.api.fields import (
    EXAMPLE_ID,
    EXAMPLE_TIME,
    EXAMPLE_VERSION,
    ProjectField,
    ProjectQuery,
    RequestBody,
    Storable,
)
from ml_backend.api.figures import Figures, LabelScores, read_figures, read_labels
from ml_backend.api.guard import CallerDep, GuardedRoute, ServicesDep, allow
from ml_backend.api.paging import Page, PageQuery, cut, links
from ml_backend.api.runs import Run, show_run
from ml_backend.bootstrap import Services, utc_now
from training.access import Act
from training.admission import Caller
from training.runs.run import request_run
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.versions import registry

routes = APIRouter(route_class=GuardedRoute, tags=["models"])


class _ModelNameConvertor(StringConvertor):
    """A version's name in an address: anything but the names of this resource's own routes."""

    regex = "(?!(?:ab|compare|history|rollback|train)/)[^/]+"


register_url_convertor("model", _ModelNameConvertor())
ModelName = Annotated[
    str,
    Path(
        min_length=1,
        max_length=100,
        pattern="^[!-.0-~]+$",
        description="The version's id, name or number.",
        examples=[EXAMPLE_VERSION],
    ),
]
ProjectParameter = Annotated[ProjectQuery, Query()]
Reason = Annotated[Storable, Field(max_length=1_000)]


class Verdict(BaseModel):
    """What the gate said of a version."""

    passed: bool = Field(description="Whether it may go live without a reason given.", examples=[True])
    kind: str = Field(description="passed, provisional or refused.", examples=["passed"])
    reasons: list[str] = Field(description="Why, in sentences.", examples=[["F1 0.93, live version 0.90"]])
    gain: float | None = Field(
        description="F1 less the live version's, on the same texts; null in older versions.", examples=[0.03]
    )
    gain_interval: tuple[float, float] | None = Field(
        description="Interval of 0.95 of the gain, by paired bootstrap over texts; null in older versions.",
        examples=[(0.01, 0.05)],
    )
    probability_better: float | None = Field(
        description="Share of the draws in which it is better; null in older versions.", examples=[0.97]
    )


class Model(BaseModel):
    """A version of a project's model."""

    id: str = Field(description="Id of the version.", examples=[EXAMPLE_ID])
    project: int = Field(description="Id of the project.", examples=[1])
    number: int = Field(description="Its number; 0 is the base model with patterns.", examples=[3])
    version: str = Field(description="Its name, which predictions carry.", examples=[EXAMPLE_VERSION])
    is_active: bool = Field(description="Whether it serves, live or as a challenger.", examples=[True])
    is_production: bool = Field(description="Whether it is live.", examples=[True])
    announced: bool = Field(description="Whether Label Studio shows its predictions.", examples=[True])
    precision: float | None = Field(
        description="Share of the found spans that are right, 0 to 1; null where it was not measured.", examples=[0.94]
    )
    recall: float | None = Field(
        description="Share of the right spans that were found, 0 to 1; null where it was not measured.",
        examples=[0.92],
    )
    f1_score: float | None = Field(
        description="Harmonic mean of both, 0 to 1; null where it was not measured.", examples=[0.93]
    )
    parent_id: str | None = Field(
        description="The version that was live when it was trained; null for version 0.", examples=[EXAMPLE_ID]
    )
    trained_at: datetime | None = Field(
        description="When it was trained, in UTC; null for version 0.", examples=[EXAMPLE_TIME]
    )
    created_at: datetime = Field(description="When it was registered, in UTC.", examples=[EXAMPLE_TIME])


class Activation(BaseModel):
    """A moment at which a version went live."""

    activated_at: datetime = Field(description="When, in UTC.", examples=[EXAMPLE_TIME])
    by: str = Field(description="By whom or what.", examples=["api:ops"])
    reason: str = Field(description="Why.", examples=["better on invoices"])


class ModelDetails(Model):
    """A version with its figures by label, its verdict and its time live."""

    base: str = Field(description="The base model that it starts from.", examples=["en_core_web_sm"])
    labels: list[LabelScores] = Field(description="Its figures by label; empty where they were not measured.")
    figures: Figures | None = Field(description="All that was measured; null where nothing was.")
    label_mapping: dict[str, str] = Field(
        description="From the pipeline's own labels to the project's leaves.", examples=[{"PERSON": "PERSON"}]
    )
    verdict: Verdict | None = Field(description="What the gate said; null for version 0.")
    size_bytes: int | None = Field(description="Size of its files in bytes; null for version 0.", examples=[15_000_000])
    activations: list[Activation] = Field(description="When it went live, newest first.")


class ModelPage(Page):
    """A page of a project's versions, newest first."""

    results: list[Model] = Field(description="The versions of this page.")


class ModelQuery(PageQuery):
    """Which versions."""

    project: ProjectQuery = None


class ActivateRequest(RequestBody):
    """A version to put live."""

    reason: Reason = Field(
        "", description="Why; needed for a version that its gate refused.", examples=["better on invoices"]
    )
    project: ProjectField = None


class RollbackRequest(RequestBody):
    """A project whose version before is to be live again."""

    reason: Reason = Field("", description="Why.", examples=["false alarms"])
    project: ProjectField = None


class TrainRequest(RequestBody):
    """A training run to start."""

    promote: bool = Field(
        False, description="Whether the model goes live by itself if it passes its gate.", examples=[False]
    )
    project: ProjectField = None


@routes.get("/models/", responses=responses())
@allow(Act.READ_FIGURES)
def list_models(request: Request, services: ServicesDep, query: Annotated[ModelQuery, Query()]) -> ModelPage:
    """A project's versions, newest first."""
    with services.store.read() as uow:
        chosen = uow.projects.choose(query.project)
        models = uow.models.of_project(chosen.id)
    results = [show_version(model, chosen) for model in cut(models, query)]
    return ModelPage(**links(request, query, count=len(models)), results=results)


@routes.post("/models/rollback/", responses=responses(*CHANGE_ERRORS, ArtefactCorrupt))
@allow(Act.ADMINISTER)
def roll_back(body: RollbackRequest, caller: CallerDep, services: ServicesDep, later: BackgroundTasks) -> ModelDetails:
    """Put the version live that was live before; again, the one before that."""
    with services.store.read() as uow:
        project = uow.projects.choose(body.project)
        before = registry.find_previous(uow, project.id)
    registry.check_whole(before, services.artefacts)
    with services.store.write() as uow:
        done = registry.rollback(uow, project.id, by=_by(caller), reason=body.reason, now=utc_now())
        uow.commit()
    later.add_task(ring_later, services, "refresh", project.id)
    return _details(services, done.model_id)


@routes.post("/models/train/", status_code=202, responses=responses(*CHANGE_ERRORS))
@allow(Act.ADMINISTER)
def train(body: TrainRequest, caller: CallerDep, services: ServicesDep, later: BackgroundTasks) -> Run:
    """Ask for a training run; the address runs/ID/ tells how it goes."""
    with services.store.write() as uow:
        project = uow.projects.choose(body.project)
        run = request_run(uow, project.id, trigger=_by(caller), promote=body.promote, now=utc_now())
        uow.commit()
    later.add_task(ring_later, services, "train", run.id)
    return show_run(run, {})


@routes.get("/models/{name:model}/", responses=responses())
@allow(Act.READ_FIGURES)
def show_model(name: ModelName, services: ServicesDep, project: ProjectParameter = None) -> ModelDetails:
    """A version with its figures by label, its verdict and its time live."""
    return _details(services, _find(services, name, project).id)


@routes.post("/models/{name:model}/activate/", responses=responses(*CHANGE_ERRORS, GateRefused, ArtefactCorrupt))
@allow(Act.ADMINISTER)
def activate(
    name: ModelName,
    body: ActivateRequest,
    caller: CallerDep,
    services: ServicesDep,
    later: BackgroundTasks,
    project: Annotated[
        ProjectQuery, Query(description="The same as the body's `project`, which is the place for it.", deprecated=True)
    ] = None,
) -> ModelDetails:
    """Put a version live; Label Studio follows as soon as the first fresh predictions are pushed."""
    if project is not None and body.project not in (None, project):
        message = f"is {body.project} in the body and {project} in the query; leave it out of the query"
        raise InvalidInput(f"project: {message}", problems=[{"path": "project", "message": message}])
    model = _find(services, name, project if body.project is None else body.project)
    registry.check_whole(model, services.artefacts)
    with services.store.write() as uow:
        registry.activate(uow, model.project_id, model.id, by=_by(caller), reason=body.reason, now=utc_now())
        uow.commit()
    later.add_task(ring_later, services, "refresh", model.project_id)
    return _details(services, model.id)


def _find(services: Services, name: str, project_id: int | None) -> MLModel:
    """By its id in any project, else by name or number in the project that is meant."""
    with services.store.read() as uow:
        known = uow.models.find(name)
        if known is not None and project_id in (None, known.project_id):
            uow.projects.get(known.project_id)
            return known
        return uow.models.resolve(uow.projects.choose(project_id).id, name)


def _by(caller: Caller) -> str:
    return f"api:{caller.name}"


def show_version(model: MLModel, project: Project) -> Model:
    """A version as answers show it."""
    return Model(
        id=model.id,
        project=model.project_id,
        number=model.number,
        version=model.version,
        is_active=model.is_active,
        is_production=model.is_production,
        announced=model.id == project.announced_model_id,
        precision=model.precision,
        recall=model.recall,
        f1_score=model.f1_score,
        parent_id=model.parent_id,
        trained_at=model.trained_at,
        created_at=model.created_at,
    )


def _details(services: Services, model_id: str) -> ModelDetails:
    with services.store.read() as uow:
        model = uow.models.get(model_id)
        project = uow.projects.get(model.project_id)
        changes = [change for change in uow.models.activations(project.id) if change.model_id == model.id]
    return ModelDetails(
        **show_version(model, project).model_dump(),
        base=str(model.spec.get("base", project.base_model)),
        labels=read_labels(model.metrics),
        figures=read_figures(services, project.id, model.metrics),
        label_mapping=model.label_mapping,
        verdict=_verdict_of(model),
        size_bytes=model.size_bytes,
        activations=[Activation(activated_at=c.activated_at, by=c.by, reason=c.reason) for c in changes],
    )


def _verdict_of(model: MLModel) -> Verdict | None:
    stored = model.verdict
    if stored is None:
        return None
    figures = stored.get("figures", {})
    return Verdict(
        passed=stored["passed"],
        kind=stored["kind"],
        reasons=list(stored["reasons"]),
        gain=figures.get("gain"),
        gain_interval=figures.get("gain_interval"),
        probability_better=figures.get("probability_better"),
    )
