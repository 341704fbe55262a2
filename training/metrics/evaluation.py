"""All that is measured of a version on texts whose spans are known: what a run stores, and a person wants to see."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from training.metrics.confusion import MISSED, SPURIOUS, Table, confuse
from training.metrics.evaluate import LabelScores, Scores, score_spans
from training.metrics.partial_match import PartialMatch, score_partially
from training.metrics.resample import Counts, count_texts, score_intervals
from training.spans import Span

WORST = 20


class Figure(StrEnum):
    """What is kept of a version over time; the last three are numbers of spans, of labels alone."""

    F1_SCORE = "f1_score"
    PRECISION = "precision"
    RECALL = "recall"
    F1_LOW = "f1_low"
    F1_HIGH = "f1_high"
    PARTIAL_F1 = "partial_f1"
    TYPE_F1 = "type_f1"
    MISSED = "missed"
    MISLABELLED = "mislabelled"
    SPURIOUS = "spurious"


@dataclass(frozen=True, slots=True)
class GoldText:
    """A text with its right spans, and the tasks that show it."""

    text_id: int
    text: str
    spans: tuple[Span, ...]
    task_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WorstText:
    """A text with wrong spans: which were missed and which made up. Its words stay where they are."""

    text_id: int
    task_ids: tuple[int, ...]
    missed: tuple[Span, ...]
    spurious: tuple[Span, ...]

    def to_json(self) -> dict[str, Any]:
        """The text as stored."""
        return {
            "text_id": self.text_id,
            "task_ids": list(self.task_ids),
            "missed": [span.to_json() for span in self.missed],
            "spurious": [span.to_json() for span in self.spurious],
        }


@dataclass(frozen=True)
class Evaluation:
    """Exact scores, their intervals (0.95, by document), partial matches, confusion, and the worst texts.

    `intervals` holds for precision, recall and f1 the ends [low, high] by label, overall under "". `counts` (texts,
    labels, 3) is what comparisons draw from; it is not stored. `calibration` says how far scores are off.
    """

    scores: Scores
    intervals: dict[str, dict[str, list[float]]]
    partial: PartialMatch
    confusion: Table
    worst: tuple[WorstText, ...]
    labels: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None
    counts: Counts | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The evaluation as stored with a run and a version: the scores' own fields, and the rest beside them."""
        return {
            **self.scores.to_json(),
            "intervals": self.intervals,
            "partial": self.partial.to_json(),
            "confusion": self.confusion,
            "worst": [text.to_json() for text in self.worst],
            "calibration": self.calibration,
        }


def evaluate(
    gold: Sequence[GoldText], predicted: Sequence[Collection[Span]], labels: Sequence[str], *, seed: int
) -> Evaluation:
    """Measure predictions; the n-th belongs to the n-th text. `labels` are the project's, `seed` that of the draws."""
    wanted = [one.spans for one in gold]
    counts = count_texts(wanted, predicted, labels)
    return Evaluation(
        scores=score_spans(wanted, predicted),
        intervals=_intervals(counts, labels, seed=seed),
        partial=score_partially(wanted, predicted),
        confusion=confuse(wanted, predicted),
        worst=_find_worst(gold, predicted),
        labels=tuple(labels),
        counts=counts,
    )


def _intervals(counts: Counts, labels: Sequence[str], *, seed: int) -> dict[str, dict[str, list[float]]]:
    """Of the labels that occur, and overall."""
    occurs = [*(counts.sum(axis=(0, 2)) > 0), True]
    columns = [(label, at) for at, label in enumerate((*labels, "")) if occurs[at]]
    return {
        name: {label: [round(float(ends[edge, at]), 6) for edge in (0, 1)] for label, at in columns}
        for name, ends in score_intervals(counts, seed=seed).items()
    }


def _find_worst(gold: Sequence[GoldText], predicted: Sequence[Collection[Span]]) -> tuple[WorstText, ...]:
    wrong = [
        WorstText(one.text_id, one.task_ids, missed, spurious)
        for one, given in zip(gold, predicted, strict=True)
        for missed, spurious in [(_less(one.spans, given), _less(given, one.spans))]
        if missed or spurious
    ]
    wrong.sort(key=lambda one: (-len(one.missed) - len(one.spurious), one.text_id))
    return tuple(wrong[:WORST])


def _less(some: Collection[Span], others: Collection[Span]) -> tuple[Span, ...]:
    return tuple(sorted(set(some) - set(others)))


def read_worst(metrics: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The worst texts of stored metrics, none where they were stored before these were kept."""
    return list((metrics or {}).get("worst", ()))


def list_metrics(evaluation: Evaluation) -> list[tuple[str, str, float, int]]:
    """The figures kept over time: name, label (empty: overall), value, and the gold spans behind it."""
    scores, partial = evaluation.scores, evaluation.partial
    rows = [*_exact_metrics("", scores)]
    for label, of_label in scores.per_label.items():
        rows += _exact_metrics(label, of_label)
    rows += [
        ("partial_f1", "", partial.boundaries.f1, scores.support),
        ("type_f1", "", partial.type.f1, scores.support),
    ]
    rows += [("partial_f1", label, one.f1, _support(scores, label)) for label, one in partial.per_label.items()]
    for label, (low, high) in evaluation.intervals["f1"].items():
        rows += [("f1_low", label, low, _support(scores, label)), ("f1_high", label, high, _support(scores, label))]
    return [*rows, *_confusion_metrics(evaluation), *_calibration_metrics(evaluation)]


def _exact_metrics(label: str, scores: Scores | LabelScores) -> Iterator[tuple[str, str, float, int]]:
    for name, value in (("precision", scores.precision), ("recall", scores.recall), ("f1_score", scores.f1)):
        yield name, label, value, scores.support


def _confusion_metrics(evaluation: Evaluation) -> Iterator[tuple[str, str, float, int]]:
    """By label how many spans were missed, given another label, and made up."""
    table = evaluation.confusion
    for label in sorted(evaluation.scores.per_label):
        row, support = table.get(label, {}), _support(evaluation.scores, label)
        missed, made_up = row.get(MISSED, 0), table.get(SPURIOUS, {}).get(label, 0)
        yield "missed", label, missed, support
        yield "mislabelled", label, sum(row.values()) - missed - row.get(label, 0), support
        yield "spurious", label, made_up, support


def _calibration_metrics(evaluation: Evaluation) -> Iterator[tuple[str, str, float, int]]:
    for name, found in (evaluation.calibration or {}).items():
        if found["error"] is not None:
            yield f"{name.removesuffix('s')}_calibration_error", "", found["error"], found["cases"]


def _support(scores: Scores, label: str) -> int:
    return scores.per_label[label].support if label in scores.per_label else scores.support
