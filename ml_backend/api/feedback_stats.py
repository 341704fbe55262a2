"""Statistics of feedback: rates, days, contributors, and per model version and label."""

from __future__ import annotations

import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ml_backend.api.envelope import responses
from ml_backend.api.fields import EXAMPLE_VERSION, ProjectQuery
from ml_backend.api.guard import GuardedRoute, ServicesDep, allow
from ml_backend.bootstrap import utc_now
from training.access import Act
from training.entities import read_taxonomy
from training.examples.feedback_figures import (
    FeedbackFigures,
    Judged,
    LabelFigures,
    VersionFigures,
    read_feedback_figures,
)
from training.taxonomy import Taxonomy

routes = APIRouter(route_class=GuardedRoute, tags=["feedback"])


class DayFigures(BaseModel):
    """The feedback of a day."""

    date: datetime.date = Field(description="The day, in UTC.", examples=["2026-01-31"])
    total: int = Field(description="Feedback given.", examples=[25])
    correct: int = Field(description="How much of it said right.", examples=[22])
    incorrect: int = Field(description="How much of it said wrong.", examples=[3])


class ContributorCount(BaseModel):
    """How much feedback somebody gave."""

    user_id: int = Field(description="Id of the contributor.", examples=[1])
    username: str = Field(description="The token's name, or the annotator's.", examples=["john.doe"])
    feedback_count: int = Field(description="Feedback given.", examples=[45])


class LabelRates(BaseModel):
    """How a label fared in what was judged."""

    label: str = Field(description="Group of the label.", examples=["PII"])
    sublabel: str = Field(description="Leaf of the label.", examples=["SSN"])
    shown: int = Field(description="Entities of it that were shown.", examples=[40])
    kept: int = Field(description="How many of those were kept as they were.", examples=[36])
    wanted: int = Field(description="Entities of it that are right.", examples=[45])
    precision: float | None = Field(description="kept / shown, 0 to 1; null where none was shown.", examples=[0.9])
    recall: float | None = Field(description="kept / wanted, 0 to 1; null where none is right.", examples=[0.8])


class VersionRates(BaseModel):
    """What feedback says of a version."""

    model_version: str | None = Field(
        description="The version; null for feedback that named no result.", examples=[EXAMPLE_VERSION]
    )
    total: int = Field(description="Feedback on it.", examples=[500])
    correct: int = Field(description="How much of it said right.", examples=[450])
    incorrect: int = Field(description="How much of it said wrong.", examples=[50])
    accuracy_rate: float | None = Field(
        description="correct / (correct + incorrect), 0 to 1; null without either.", examples=[0.9]
    )
    labels: list[LabelRates] = Field(description="How each label fared.")


class FeedbackStatistics(BaseModel):
    """The feedback of a project in figures."""

    project: int = Field(description="Id of the project.", examples=[1])
    total_feedback: int = Field(description="Feedback that stands.", examples=[500])
    correct_classifications: int = Field(description="How much of it said right.", examples=[450])
    incorrect_classifications: int = Field(description="How much of it said wrong.", examples=[50])
    unjudged: int = Field(
        description="How much of it judges nothing: nothing was shown, or the task was skipped.", examples=[0]
    )
    on_proposals: int = Field(
        description="How much of it verified what somebody had proposed, which says nothing of a model.", examples=[0]
    )
    accuracy_rate: float | None = Field(
        description="correct / (correct + incorrect), 0 to 1; null without either.", examples=[0.9]
    )
    pending_training_samples: int = Field(
        description="Feedback on texts of the train part that no run has taken in yet.", examples=[30]
    )
    incorporated_samples: int = Field(
        description="Feedback that a run has taken in, on texts of any part, as `feedback/list/?incorporated=true` "
        "lists it.",
        examples=[20],
    )
    evaluation_samples: int = Field(
        description="Feedback on dev and test texts, which is never pending; what a run has taken in of it counts "
        "among the incorporated too.",
        examples=[12],
    )
    feedback_by_day: list[DayFigures] = Field(
        description="The days of the last 30 (UTC) that had feedback, oldest first."
    )
    top_contributors: list[ContributorCount] = Field(description="The ten who gave most, most first.")
    by_model_version: list[VersionRates] = Field(description="What feedback says of each version, newest first.")
    by_label: list[LabelRates] = Field(description="How each label fared, over all versions.")


@routes.get("/feedback/stats/", responses=responses())
@allow(Act.READ_FIGURES)
def feedback_statistics(services: ServicesDep, project: Annotated[ProjectQuery, Query()] = None) -> FeedbackStatistics:
    """The feedback of a project in figures."""
    with services.store.read() as uow:
        chosen = uow.projects.choose(project)
        figures = read_feedback_figures(uow, chosen.id, today=utc_now().date())
    return _show(chosen.id, figures, read_taxonomy(chosen.taxonomy))


def _show(project_id: int, figures: FeedbackFigures, taxonomy: Taxonomy) -> FeedbackStatistics:
    judged = figures.judged
    return FeedbackStatistics(
        project=project_id,
        total_feedback=judged.total,
        correct_classifications=judged.correct,
        incorrect_classifications=judged.incorrect,
        unjudged=judged.unjudged,
        on_proposals=judged.on_proposals,
        accuracy_rate=judged.accuracy_rate,
        pending_training_samples=figures.pending,
        incorporated_samples=figures.incorporated,
        evaluation_samples=figures.evaluation,
        feedback_by_day=[_show_day(day, of_day) for day, of_day in figures.days],
        top_contributors=[
            ContributorCount(user_id=one.contributor_id, username=one.username, feedback_count=one.feedback)
            for one in figures.contributors
        ],
        by_model_version=[_show_version(version, taxonomy) for version in figures.versions],
        by_label=[_show_label(label, taxonomy) for label in figures.labels],
    )


def _show_day(day: datetime.date, judged: Judged) -> DayFigures:
    return DayFigures(date=day, total=judged.total, correct=judged.correct, incorrect=judged.incorrect)


def _show_version(figures: VersionFigures, taxonomy: Taxonomy) -> VersionRates:
    return VersionRates(
        model_version=figures.version or None,
        total=figures.judged.total,
        correct=figures.judged.correct,
        incorrect=figures.judged.incorrect,
        accuracy_rate=figures.judged.accuracy_rate,
        labels=[_show_label(label, taxonomy) for label in figures.labels],
    )


def _show_label(figures: LabelFigures, taxonomy: Taxonomy) -> LabelRates:
    return LabelRates(
        label=taxonomy.group_of(figures.label),
        sublabel=figures.label,
        shown=figures.shown,
        kept=figures.kept,
        wanted=figures.wanted,
        precision=figures.precision,
        recall=figures.recall,
    )
