"""Exact span scores on the raw characters of the text.

A predicted span is right when start, end and label all equal those of a gold span. Nothing is aligned to tokens:
spaCy's own scorer forgets gold spans that its tokens cannot hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from training.spans import Span


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Precision, recall and F1 (0 to 1) of one label, with the counts behind them: gold, predicted, both."""

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    correct: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision, recall and F1 (0 to 1) over all spans of all labels, and the same label by label."""

    precision: float
    recall: float
    f1: float
    support: int
    texts: int
    predicted: int = 0
    correct: int = 0
    per_label: dict[str, LabelScores] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The scores as stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Scores:
        """The scores back from what `to_json` gave, whatever else stands beside them."""
        labels = {name: LabelScores(**scores) for name, scores in row.get("per_label", {}).items()}
        known = {one.name: row[one.name] for one in fields(cls) if one.name in row}
        return cls(**{**known, "per_label": labels})


def score_spans(gold: Sequence[Collection[Span]], predicted: Sequence[Collection[Span]]) -> Scores:
    """Compare the predicted with the gold spans text by text; the n-th of one belongs to the n-th of the other.

    A span that stands twice in a text counts once. What divides by zero is 0. Raises ValueError where the two
    differ in their number of texts.
    """
    support: Counter[str] = Counter()
    found: Counter[str] = Counter()
    correct: Counter[str] = Counter()
    for wanted, given in zip(gold, predicted, strict=True):
        wanted_set, given_set = set(wanted), set(given)
        support.update(span.label for span in wanted_set)
        found.update(span.label for span in given_set)
        correct.update(span.label for span in wanted_set & given_set)
    per_label = {
        label: label_scores(support=support[label], predicted=found[label], correct=correct[label])
        for label in sorted(support | found)
    }
    overall = label_scores(support=support.total(), predicted=found.total(), correct=correct.total())
    return Scores(
        precision=overall.precision,
        recall=overall.recall,
        f1=overall.f1,
        support=overall.support,
        texts=len(gold),
        predicted=overall.predicted,
        correct=overall.correct,
        per_label=per_label,
    )


def label_scores(*, support: int, predicted: int, correct: int) -> LabelScores:
    """Precision, recall and F1 from the three counts."""
    precision = correct / predicted if predicted else 0.0
    recall = correct / support if support else 0.0
    f1 = 2 * correct / (support + predicted) if support + predicted else 0.0
    return LabelScores(precision, recall, f1, support, predicted, correct)
