"""What was measured of a version on the test texts, as answers show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from ml_backend.bootstrap import Services
from ml_backend.projects import task_page


class LabelScores(BaseModel):
    """How a version found a label in the test texts."""

    sublabel: str = Field(description="Leaf of the label.", examples=["SSN"])
    precision: float = Field(description="Share of the found spans that are right, 0 to 1.", examples=[0.95])
    recall: float = Field(description="Share of the right spans that were found, 0 to 1.", examples=[0.9])
    f1_score: float = Field(description="Harmonic mean of both, 0 to 1.", examples=[0.92])
    f1_low: float | None = Field(
        description="Lower end of F1's interval of 0.95, by bootstrap over texts; null in older versions.",
        examples=[0.85],
    )
    f1_high: float | None = Field(description="Its upper end; null in older versions.", examples=[0.97])
    partial_f1: float | None = Field(
        description="F1 in which a span that only overlaps counts half; null in older versions.", examples=[0.94]
    )
    support: int = Field(description="Right spans in the test texts.", examples=[40])


class Mistake(BaseModel):
    """A kind of mistake."""

    gold: str = Field(description="The right label; spurious where there is nothing to be found.", examples=["PERSON"])
    predicted: str = Field(description="The label that was given; missed where none was.", examples=["CITY"])
    spans: int = Field(description="How often.", examples=[3])


class WrongSpan(BaseModel):
    """A span that was missed or made up; offsets are code points."""

    start: int = Field(description="First character.", examples=[20])
    end: int = Field(description="One after the last character.", examples=[31])
    sublabel: str = Field(description="Leaf of the label.", examples=["SSN"])


class TaskLink(BaseModel):
    """A task and where it is looked at."""

    id: int = Field(description="Id of the task in Label Studio.", examples=[17])
    url: str = Field(description="Its page.", examples=["http://127.0.0.1:8080/projects/1/data?task=17"])


class WorstText(BaseModel):
    """A test text with many wrong spans; the text itself is read at its task."""

    tasks: list[TaskLink] = Field(description="The tasks that show it.")
    missed: list[WrongSpan] = Field(description="Right spans that were not found.")
    spurious: list[WrongSpan] = Field(description="Found spans that are not right.")


class Figures(BaseModel):
    """All that was measured of a version on the test texts."""

    precision: float = Field(description="Share of the found spans that are right, 0 to 1.", examples=[0.94])
    recall: float = Field(description="Share of the right spans that were found, 0 to 1.", examples=[0.92])
    f1_score: float = Field(description="Harmonic mean of both, 0 to 1.", examples=[0.93])
    f1_low: float | None = Field(
        description="Lower end of F1's interval of 0.95, by bootstrap over texts; null in older versions.",
        examples=[0.88],
    )
    f1_high: float | None = Field(description="Its upper end; null in older versions.", examples=[0.96])
    partial_f1: float | None = Field(
        description="F1 in which a span that only overlaps counts half, whatever its label; null in older versions.",
        examples=[0.95],
    )
    type_f1: float | None = Field(
        description="F1 in which an overlap with the right label counts; null in older versions.", examples=[0.96]
    )
    span_calibration_error: float | None = Field(
        description="Expected calibration error of shown spans' scores, ten bins of equal count, 0 to 1; null where "
        "no span was shown, and in older versions.",
        examples=[0.04],
    )
    task_calibration_error: float | None = Field(
        description="The same of the tasks' scores, as the confidence that no edit is needed; null in older versions.",
        examples=[0.06],
    )
    texts: int = Field(description="Test texts.", examples=[60])
    support: int = Field(description="Right spans in them.", examples=[140])
    labels: list[LabelScores] = Field(description="The figures by label.")
    mistakes: list[Mistake] = Field(description="What was taken for what, most frequent first.")
    worst: list[WorstText] = Field(description="The texts with the most wrong spans, twenty at most.")


def read_figures(services: Services, project_id: int, metrics: Mapping[str, Any] | None) -> Figures | None:
    """The figures from what is stored; None where nothing was measured."""
    if not metrics or "texts" not in metrics:
        return None
    partial, (low, high) = metrics.get("partial", {}), _ends(metrics, "")
    calibration = metrics.get("calibration") or {}
    return Figures(
        precision=metrics["precision"],
        recall=metrics["recall"],
        f1_score=metrics["f1"],
        f1_low=low,
        f1_high=high,
        partial_f1=partial.get("boundaries", {}).get("f1"),
        type_f1=partial.get("type", {}).get("f1"),
        span_calibration_error=calibration.get("spans", {}).get("error"),
        task_calibration_error=calibration.get("tasks", {}).get("error"),
        texts=metrics["texts"],
        support=metrics["support"],
        labels=read_labels(metrics),
        mistakes=_mistakes(metrics),
        worst=[_worst(services, project_id, row) for row in metrics.get("worst", ())],
    )


def read_labels(metrics: Mapping[str, Any] | None) -> list[LabelScores]:
    """The figures by label from what is stored; none where nothing was measured."""
    stored = metrics or {}
    partial = stored.get("partial", {}).get("per_label", {})
    found = []
    for leaf, scores in sorted(stored.get("per_label", {}).items()):
        low, high = _ends(stored, leaf)
        found.append(
            LabelScores(
                sublabel=leaf,
                precision=scores["precision"],
                recall=scores["recall"],
                f1_score=scores["f1"],
                f1_low=low,
                f1_high=high,
                partial_f1=partial.get(leaf, {}).get("f1"),
                support=scores["support"],
            )
        )
    return found


def _ends(metrics: Mapping[str, Any], label: str) -> tuple[float | None, float | None]:
    low, high = metrics.get("intervals", {}).get("f1", {}).get(label, (None, None))
    return low, high


def _mistakes(metrics: Mapping[str, Any]) -> list[Mistake]:
    found = [
        Mistake(gold=gold, predicted=predicted, spans=count)
        for gold, row in metrics.get("confusion", {}).items()
        for predicted, count in row.items()
        if gold != predicted
    ]
    return sorted(found, key=lambda one: (-one.spans, one.gold, one.predicted))


def _worst(services: Services, project_id: int, row: Mapping[str, Any]) -> WorstText:
    return WorstText(
        tasks=[TaskLink(id=task, url=task_page(services, project_id, task)) for task in row["task_ids"]],
        missed=[_span(one) for one in row["missed"]],
        spurious=[_span(one) for one in row["spurious"]],
    )


def _span(row: Mapping[str, Any]) -> WrongSpan:
    return WrongSpan(start=row["start"], end=row["end"], sublabel=row["label"])
