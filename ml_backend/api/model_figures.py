"""Model versions held against each other: two on the same texts, and one figure of all of them over time."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BaseModel, Field

from config.errors import ArtefactCorrupt, ModelUnavailable, NotEnoughData, TooManyRequests
from ml_backend.api.envelope import responses
from ml_backend.api.fields import EXAMPLE_TIME, EXAMPLE_VERSION, ProjectQuery, QueryName, check_storable
from ml_backend.api.figures import Figures, read_figures
from ml_backend.api.guard import GuardedRoute, ServicesDep, allow
from ml_backend.api.models import Model, ProjectParameter, show_version
from ml_backend.api.paging import Page, PageQuery, cut, links
from training.access import Act
from training.metrics.evaluate import LabelScores as Scores
from training.metrics.evaluation import Figure
from training.metrics.resample import Difference
from training.runs.judging import Comparison as JudgedComparison
from training.runs.judging import compare_versions

routes = APIRouter(route_class=GuardedRoute, tags=["models"])

# Each comparison loads two pipelines, which read so many characters at most: one at a time bounds the memory, and this
# the time.
COMPARED_CHARS = 200_000
_comparing = threading.Lock()

LabelName = Annotated[str, Field(max_length=200), AfterValidator(check_storable)]


class Change(BaseModel):
    """The second version's F1 less the first's, on the same texts."""

    difference: float = Field(description="By how much F1 is higher in the second version.", examples=[0.03])
    low: float = Field(description="Lower end of its interval of 0.95, by paired bootstrap.", examples=[0.01])
    high: float = Field(description="Its upper end.", examples=[0.05])
    probability_better: float = Field(
        description="Share of the draws in which the second version is better, 0 to 1.", examples=[0.98]
    )


class LabelChange(Change):
    """A label in both versions."""

    sublabel: str = Field(description="Leaf of the label.", examples=["SSN"])
    f1_a: float = Field(description="F1 of the first version, 0 to 1.", examples=[0.88])
    f1_b: float = Field(description="F1 of the second version, 0 to 1.", examples=[0.92])
    support: int = Field(description="Right spans in the test texts.", examples=[40])


class Comparison(BaseModel):
    """Two versions on the project's present test texts, side by side."""

    a: Model = Field(description="The first version.")
    b: Model = Field(description="The second version.")
    figures_a: Figures = Field(description="What the first version comes to on these texts.")
    figures_b: Figures = Field(description="What the second version comes to on these texts.")
    texts: int = Field(description="Test texts that both were measured on.", examples=[60])
    test_texts: int = Field(
        description="Verified texts in the test part; where there are more, those measured on are a random sample.",
        examples=[60],
    )
    f1: Change = Field(description="What the second has over the first.")
    labels: list[LabelChange] = Field(description="The same by label.")


class Point(BaseModel):
    """A figure of a version at the time it was measured."""

    version: str = Field(description="Name of the version.", examples=[EXAMPLE_VERSION])
    value: float = Field(description="The figure: a share of 0 to 1, or a number of spans.", examples=[0.93])
    support: int = Field(description="Right spans in the test texts of that day.", examples=[140])
    recorded_at: datetime = Field(description="When it was measured, in UTC.", examples=[EXAMPLE_TIME])


class HistoryPage(Page):
    """A page of one figure over time, oldest first."""

    results: list[Point] = Field(description="The figure of each version of this page.")


class HistoryQuery(PageQuery):
    """Which figure."""

    figure: Figure = Field(Figure.F1_SCORE, description="Which figure.", examples=["f1_score"])
    label: LabelName = Field("", description="A leaf; unset: over all labels.", examples=["SSN"])
    project: ProjectQuery = None


@routes.get("/models/history/", responses=responses())
@allow(Act.READ_FIGURES)
def show_history(request: Request, services: ServicesDep, query: Annotated[HistoryQuery, Query()]) -> HistoryPage:
    """One figure of all versions over time, oldest first, each measured on the test texts of its day."""
    with services.store.read() as uow:
        rows = uow.models.series(uow.projects.choose(query.project).id, query.figure, query.label)
    points = [
        Point(version=version, value=row.value, support=row.support, recorded_at=row.recorded_at)
        for row, version in cut(rows, query)
    ]
    return HistoryPage(**links(request, query, count=len(rows)), results=points)


@routes.get("/models/compare/", responses=responses(NotEnoughData, ModelUnavailable, ArtefactCorrupt))
@allow(Act.READ_FIGURES)
def compare_models(
    services: ServicesDep,
    a: Annotated[QueryName, Query(description="The first version: id, name or number.", examples=["spanloop-v2"])],
    b: Annotated[QueryName, Query(description="The second version.", examples=[EXAMPLE_VERSION])],
    project: ProjectParameter = None,
) -> Comparison:
    """Two versions, measured on the present test texts, or on a random sample where these are long together."""
    with services.store.read() as uow:
        chosen = uow.projects.choose(project)
        first, second = uow.models.resolve(chosen.id, a), uow.models.resolve(chosen.id, b)
    if not _comparing.acquire(blocking=False):
        raise TooManyRequests("another comparison is being worked out; try again in 10 s", retry_after=10)
    try:
        found = compare_versions(services.store, services.artefacts, first, second, most_chars=COMPARED_CHARS)
    finally:
        _comparing.release()
    figures = [read_figures(services, chosen.id, one.to_json()) for one in (found.a, found.b)]
    assert figures[0] is not None
    assert figures[1] is not None
    return Comparison(
        a=show_version(first, chosen),
        b=show_version(second, chosen),
        figures_a=figures[0],
        figures_b=figures[1],
        texts=found.a.scores.texts,
        test_texts=found.test_texts,
        f1=Change(**_change(found.differences["f1"][""])),
        labels=_compare_labels(found),
    )


def _compare_labels(found: JudgedComparison) -> list[LabelChange]:
    first, second = found.a.scores.per_label, found.b.scores.per_label
    nothing = Scores(0.0, 0.0, 0.0, 0, 0, 0)
    return [
        LabelChange(
            sublabel=leaf,
            f1_a=first.get(leaf, nothing).f1,
            f1_b=second.get(leaf, nothing).f1,
            support=first.get(leaf, nothing).support,
            **_change(found.differences["f1"][leaf]),
        )
        for leaf in sorted({*first, *second})
    ]


def _change(difference: Difference) -> dict[str, float]:
    return {
        "difference": round(difference.value, 6),
        "low": round(difference.interval.low, 6),
        "high": round(difference.interval.high, 6),
        "probability_better": round(difference.better, 4),
    }
