"""How good a project's annotations are, and whether more of them pay."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ml_backend.api.envelope import responses
from ml_backend.api.fields import EXAMPLE_VERSION, QueryNumber
from ml_backend.api.guard import GuardedRoute, ServicesDep, allow
from ml_backend.api.paging import Page, PageQuery, links
from training.access import Act
from training.quality.assess import read_agreement, read_doubts, read_outlook
from training.quality.label_errors import DoubtKind
from training.quality.outlook import Signal

routes = APIRouter(route_class=GuardedRoute, tags=["projects"])
ProjectId = Annotated[QueryNumber, Path(description="Id of the project.", examples=[1])]
Score = Annotated[float | None, Field(description="0 to 1; null where there is nothing to compare.", examples=[0.92])]
Alpha = Annotated[
    float | None,
    Field(description="Krippendorff's alpha: 1 is perfect, 0 is chance; null where nothing varies.", examples=[0.87]),
]


class _Figures(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PairFigures(_Figures):
    """How far two annotators agree."""

    first: int = Field(description="Id of the one.", examples=[1])
    second: int = Field(description="Id of the other.", examples=[2])
    texts: int = Field(description="Texts that both annotated.", examples=[40])
    f1: Score
    alpha: Alpha


class LabelFigures(_Figures):
    """How far annotators agree on a label."""

    label: str = Field(description="The label's leaf.", examples=["SSN"])
    spans: int = Field(description="Different spans of it that anybody gave.", examples=[30])
    f1: Score
    alpha: Alpha


class AskAgain(_Figures):
    """A text whose annotators differ."""

    text_id: int = Field(description="Id of the text.", examples=[12])
    f1: float = Field(description="Span F1 over all pairs, 0 to 1.", examples=[0.5])
    outvoted: list[int] = Field(description="Ids of those who differ from a majority.", examples=[[2]])


class AgreementFigures(_Figures):
    """How far a project's annotators agree on the texts that several of them annotated."""

    texts: int = Field(description="Texts with answers of two people or more.", examples=[40])
    annotators: int = Field(description="People who annotated them.", examples=[3])
    f1: Score
    alpha: Alpha
    pairs: list[PairFigures] = Field(description="Pair by pair.")
    labels: list[LabelFigures] = Field(description="Label by label.")
    ask_again: list[AskAgain] = Field(description="Where they differ, the worst first.")


class CurvePoint(_Figures):
    """A version on the learning curve."""

    version: str = Field(description="The version.", examples=[EXAMPLE_VERSION])
    annotations: int = Field(description="Verified texts that it knew.", examples=[150])
    f1: float = Field(description="Its F1 on the test texts, 0 to 1.", examples=[0.81])
    support: int = Field(description="Gold spans that this was measured on.", examples=[90])


class OutlookFigures(_Figures):
    """Whether more annotations pay."""

    points: list[CurvePoint] = Field(description="The learning curve so far.")
    next_annotations: int = Field(description="How many annotations the figures speak of.", examples=[100])
    expected_f1: Score
    gain: float | None = Field(description="Expected gain of F1; null without a curve.", examples=[0.012])
    gain_low: float | None = Field(description="The gain is above in 19 of 20 cases.", examples=[0.004])
    gain_high: float | None = Field(description="The gain is below in 19 of 20 cases.", examples=[0.021])
    ceiling: float | None = Field(description="F1 that the curve comes to in the end.", examples=[0.9])
    minutes_per_text: float | None = Field(description="Median; null where no time is known.", examples=[0.6])
    hours_for_next: float | None = Field(description="What the next annotations take.", examples=[1.0])
    signal: Signal = Field(description="Whether to go on annotating, to stop, or too early to say.", examples=["go_on"])
    advice: str = Field(
        description="The same in a sentence.",
        examples=[
            "go on: the next 100 annotations are expected to bring F1 from 0.712 to 0.724 (a gain between 0.004 and "
            "0.021, nine times in ten), for about 25 minutes of work"
        ],
    )


class DoubtFigures(_Figures):
    """An annotation that cross-validated models contradict."""

    rank: int = Field(description="1 is the most suspicious.", examples=[1])
    kind: DoubtKind = Field(
        description="The label of a span, a span that should not be there, or one that is missing.", examples=["label"]
    )
    start: int = Field(description="First character of the span.", examples=[0])
    end: int = Field(description="Character after its last.", examples=[10])
    label: str | None = Field(description="Its label; null where it is missing.", examples=["PERSON"])
    suggested: str | None = Field(description="The label the models see; null for none.", examples=["CITY"])
    suspicion: float = Field(description="0 to 1.", examples=[0.93])
    text: str = Field(description="The text.", examples=["John Smith called."])
    task_ids: list[int] = Field(description="Its tasks in Label Studio.", examples=[[17]])


class DoubtPage(Page):
    """A page of likely label errors, from the newest audit (`spanloop labels audit`), most suspicious first."""

    results: list[DoubtFigures] = Field(description="The doubts of this page.")


@routes.get("/projects/{project_id}/agreement/", responses=responses())
@allow(Act.READ_FIGURES)
def show_agreement(project_id: ProjectId, services: ServicesDep) -> AgreementFigures:
    """How far the annotators of a project agree, and where to ask again."""
    with services.store.read() as uow:
        return AgreementFigures.model_validate(read_agreement(uow, uow.projects.get(project_id).id))


@routes.get("/projects/{project_id}/outlook/", responses=responses())
@allow(Act.READ_FIGURES)
def show_outlook(project_id: ProjectId, services: ServicesDep) -> OutlookFigures:
    """Whether more annotations pay: the learning curve, and what the next ones promise and cost."""
    with services.store.read() as uow:
        return OutlookFigures.model_validate(read_outlook(uow, uow.projects.get(project_id)))


@routes.get("/projects/{project_id}/label-doubts/", responses=responses())
@allow(Act.READ_TEXTS)
def list_doubts(
    request: Request, project_id: ProjectId, services: ServicesDep, query: Annotated[PageQuery, Query()]
) -> DoubtPage:
    """Annotations that cross-validated models contradict and that nobody has changed since the audit."""
    with services.store.read() as uow:
        uow.projects.get(project_id)
        found = read_doubts(uow, project_id, limit=query.limit, offset=query.offset)
        count = uow.doubts.count(project_id)
    shown = [
        DoubtFigures(
            rank=one.rank,
            kind=one.kind,
            start=one.span.start,
            end=one.span.end,
            label=None if one.kind == "missing" else one.span.label,
            suggested=one.suggested,
            suspicion=one.suspicion,
            text=one.text,
            task_ids=list(one.task_ids),
        )
        for one in found
    ]
    return DoubtPage(**links(request, query, count=count), results=shown)
