"""Model versions: listed, shown, compared, put live, rolled back, and trained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path, Query
from pydantic import BaseModel, Field
from starlette.convertors import StringConvertor, register_url_convertor

from config.errors import GateRefused
from ml_backend.api.bells import ring_later
from ml_backend.api.envelope import CHANGE_ERRORS, responses
from ml_backend.api.fields import (
    EXAMPLE_ID,
    EXAMPLE_TIME,
    EXAMPLE_VERSION,
    ProjectField,
    ProjectQuery,
    QueryName,
    RequestBody,
    Storable,
)
from ml_backend.api.guard import CallerDep, GuardedRoute, ServicesDep, allow
from ml_backend.api.runs import Run, show_run
from ml_backend.bootstrap import Services, utc_now
from training import registry
from training.access import Act
from training.admission import Caller
from training.run import request_run
from training.store.tables.models import MLModel
from training.store.tables.projects import Project

routes = APIRouter(route_class=GuardedRoute, tags=["models"])


class _ModelNameConvertor(StringConvertor):
    """A version's name in an address: anything but the names of this resource's own routes."""

    regex = "(?!(?:compare|rollback|train)/)[^/]+"


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


class LabelScores(BaseModel):
    """How a version found a label in the test texts."""

    sublabel: str = Field(description="Leaf of the label.", examples=["SSN"])
    precision: float = Field(description="Share of the found spans that are right, 0 to 1.", examples=[0.95])
    recall: float = Field(description="Share of the right spans that were found, 0 to 1.", examples=[0.9])
    f1_score: float = Field(description="Harmonic mean of both, 0 to 1.", examples=[0.92])
    support: int = Field(description="Right spans in the test texts.", examples=[40])


class Verdict(BaseModel):
    """What the gate said of a version."""

    passed: bool = Field(description="Whether it may go live without a reason given.", examples=[True])
    kind: str = Field(description="passed, provisional or refused.", examples=["passed"])
    reasons: list[str] = Field(description="Why, in sentences.", examples=[["F1 0.93, live version 0.90"]])


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
    label_mapping: dict[str, str] = Field(
        description="From the pipeline's own labels to the project's leaves.", examples=[{"PERSON": "PERSON"}]
    )
    verdict: Verdict | None = Field(description="What the gate said; null for version 0.")
    size_bytes: int | None = Field(description="Size of its files in bytes; null for version 0.", examples=[15_000_000])
    activations: list[Activation] = Field(description="When it went live, newest first.")


class ModelList(BaseModel):
    """A project's versions, newest first."""

    count: int = Field(description="How many there are.", examples=[4])
    results: list[Model] = Field(description="The versions.")


class LabelDifference(BaseModel):
    """A label in both versions."""

    sublabel: str = Field(description="Leaf of the label.", examples=["SSN"])
    f1_a: float | None = Field(description="F1 of the first version, 0 to 1; null if not measured.", examples=[0.88])
    f1_b: float | None = Field(description="F1 of the second version, 0 to 1; null if not measured.", examples=[0.92])
    difference: float | None = Field(description="Second less first; null if not measured.", examples=[0.04])


class Comparison(BaseModel):
    """Two versions side by side; those of different runs may have been measured on different test texts."""

    a: Model = Field(description="The first version.")
    b: Model = Field(description="The second version.")
    f1_difference: float | None = Field(
        description="F1 of the second less that of the first; null if not measured.", examples=[0.03]
    )
    precision_difference: float | None = Field(description="The same for precision.", examples=[0.01])
    recall_difference: float | None = Field(description="The same for recall.", examples=[0.05])
    labels: list[LabelDifference] = Field(description="The same by label.")


class ActivateRequest(RequestBody):
    """A version to put live."""

    reason: Reason = Field(
        "", description="Why; needed for a version that its gate refused.", examples=["better on invoices"]
    )


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
def list_models(services: ServicesDep, project: ProjectParameter = None) -> ModelList:
    """A project's versions, newest first."""
    with services.store.read() as uow:
        chosen = uow.projects.choose(project)
        models = uow.models.of_project(chosen.id)
    return ModelList(count=len(models), results=[_show(model, chosen) for model in models])


@routes.get("/models/compare/", responses=responses())
@allow(Act.READ_FIGURES)
def compare_models(
    services: ServicesDep,
    a: Annotated[QueryName, Query(description="The first version: id, name or number.", examples=["spanloop-v2"])],
    b: Annotated[QueryName, Query(description="The second version.", examples=[EXAMPLE_VERSION])],
    project: ProjectParameter = None,
) -> Comparison:
    """Two versions side by side."""
    with services.store.read() as uow:
        chosen = uow.projects.choose(project)
        first, second = uow.models.resolve(chosen.id, a), uow.models.resolve(chosen.id, b)
    return Comparison(
        a=_show(first, chosen),
        b=_show(second, chosen),
        f1_difference=_difference(first.f1_score, second.f1_score),
        precision_difference=_difference(first.precision, second.precision),
        recall_difference=_difference(first.recall, second.recall),
        labels=_compare_labels(_labels_of(first), _labels_of(second)),
    )


def _compare_labels(first: Sequence[LabelScores], second: Sequence[LabelScores]) -> list[LabelDifference]:
    of_first = {one.sublabel: one.f1_score for one in first}
    of_second = {one.sublabel: one.f1_score for one in second}
    return [
        LabelDifference(
            sublabel=leaf,
            f1_a=of_first.get(leaf),
            f1_b=of_second.get(leaf),
            difference=_difference(of_first.get(leaf), of_second.get(leaf)),
        )
        for leaf in sorted({*of_first, *of_second})
    ]


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else round(second - first, 6)


@routes.post("/models/rollback/", responses=responses(*CHANGE_ERRORS))
@allow(Act.ADMINISTER)
def roll_back(body: RollbackRequest, caller: CallerDep, services: ServicesDep, later: BackgroundTasks) -> ModelDetails:
    """Put the version live that was live before; again, the one before that."""
    with services.store.write() as uow:
        project = uow.projects.choose(body.project)
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


@routes.post("/models/{name:model}/activate/", responses=responses(*CHANGE_ERRORS, GateRefused))
@allow(Act.ADMINISTER)
def activate(
    name: ModelName,
    body: ActivateRequest,
    caller: CallerDep,
    services: ServicesDep,
    later: BackgroundTasks,
    project: ProjectParameter = None,
) -> ModelDetails:
    """Put a version live; Label Studio follows as soon as the first fresh predictions are pushed."""
    model = _find(services, name, project)
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


def _show(model: MLModel, project: Project) -> Model:
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
        **_show(model, project).model_dump(),
        base=str(model.spec.get("base", project.base_model)),
        labels=_labels_of(model),
        label_mapping=model.label_mapping,
        verdict=_verdict_of(model),
        size_bytes=model.size_bytes,
        activations=[Activation(activated_at=c.activated_at, by=c.by, reason=c.reason) for c in changes],
    )


def _verdict_of(model: MLModel) -> Verdict | None:
    stored = model.verdict
    if stored is None:
        return None
    return Verdict(passed=stored["passed"], kind=stored["kind"], reasons=list(stored["reasons"]))


def _labels_of(model: MLModel) -> list[LabelScores]:
    return [
        LabelScores(
            sublabel=leaf,
            precision=scores["precision"],
            recall=scores["recall"],
            f1_score=scores["f1"],
            support=scores["support"],
        )
        for leaf, scores in sorted((model.metrics or {}).get("per_label", {}).items())
    ]
