"""Partial-match scores, by the library nervaluate (SemEval 2013, task 9.1: https://aclanthology.org/S13-2056)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nervaluate import Evaluator

from training.spans import Span


@dataclass(frozen=True, slots=True)
class PartialScores:
    """Precision, recall and F1 (0 to 1) of one scheme.

    `correct` spans count whole, `partial` ones half; `incorrect` ones have another label, where the scheme looks at
    labels; `missed` and `spurious` ones touch nothing.
    """

    precision: float
    recall: float
    f1: float
    correct: int
    incorrect: int
    partial: int
    missed: int
    spurious: int


@dataclass(frozen=True, slots=True)
class PartialMatch:
    """`boundaries`: a span that only overlaps counts half, whatever its label. `type`: overlap with the right label.

    `per_label` holds the boundaries scheme within each label. An overlap is at least 1 % of the gold span.
    """

    boundaries: PartialScores
    type: PartialScores
    per_label: dict[str, PartialScores] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The scores as stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> PartialMatch:
        """The scores back from what `to_json` gave."""
        labels = {name: PartialScores(**scores) for name, scores in row["per_label"].items()}
        return cls(PartialScores(**row["boundaries"]), PartialScores(**row["type"]), labels)


NOTHING = PartialScores(0.0, 0.0, 0.0, 0, 0, 0, 0, 0)


def score_partially(gold: Sequence[Collection[Span]], predicted: Sequence[Collection[Span]]) -> PartialMatch:
    """Compare the predicted with the gold spans text by text, near misses included."""
    labels = sorted({span.label for spans in (*gold, *predicted) for span in spans})
    if not labels:
        return PartialMatch(NOTHING, NOTHING)
    found = Evaluator(_rows(gold), _rows(predicted), tags=labels, loader="dict").evaluate()
    return PartialMatch(
        _read(found["overall"]["partial"]),
        _read(found["overall"]["ent_type"]),
        {label: _read(found["entities"][label]["partial"]) for label in labels},
    )


def _rows(texts: Sequence[Collection[Span]]) -> list[list[dict[str, Any]]]:
    # The library's ends are inclusive, and what it finds follows the order of spans.
    return [[{"label": s.label, "start": s.start, "end": s.end - 1} for s in sorted(set(spans))] for spans in texts]


def _read(result: Any) -> PartialScores:
    return PartialScores(
        float(result.precision),
        float(result.recall),
        float(result.f1),
        result.correct,
        result.incorrect,
        result.partial,
        result.missed,
        result.spurious,
    )
