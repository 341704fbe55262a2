"""From raw evidence to confidence: scores between 0 and 1 that mean what they say.

A span's raw probability is turned into a calibrated one by a curve (calibration.py), a pattern's by how often
it was right. The task's score is the confidence that the annotator will change nothing: every shown span is right and
nothing was missed. Parameters are fitted on the dev part and stored with the model version as JSON; without any the
defaults hold. No score is NaN, 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from training.prediction.calibration import Curve
from training.spans import ScoredSpan

LOWEST = 1e-6
# Long texts have tiny task scores, whose order still matters.
LOWEST_TASK = 1e-12
# A pattern's own score counts as much as this many observed spans.
PATTERN_PRIOR = 4.0
# What a pipeline without a trained recognizer is taken to know of what it does not find.
BLIND_CONFIDENCE = 0.5


# Where nothing was fitted, and what few dev texts move only little. A greedy decode is far too sure of itself, and that
# alike on different texts: fitted on any two of three English sets these hold on the third (docs/decisions/0013).
DEFAULT_SPAN = Curve(0.05, 0.55, -2.0)
DEFAULT_TASK = Curve(1.1, 0.2, 0.3)


@dataclass(frozen=True)
class Calibration:
    """The parameters of a version's scores: for model spans, whole tasks, and each label's patterns (right, found)."""

    span: Curve = DEFAULT_SPAN
    task: Curve = DEFAULT_TASK
    patterns: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def span_score(self, probability: float) -> float:
        """Confidence in a span of the model, from the product of its actions' probabilities."""
        return clip(self.span.apply(log_odds(probability)))

    def pattern_score(self, label: str, raw: float) -> float:
        """Confidence in a span of a pattern, from the recognizer's own score and how often it was right."""
        right, found = self.patterns.get(label, (0, 0))
        return clip((right + PATTERN_PRIOR * clip(raw)) / (found + PATTERN_PRIOR))

    def task_score(self, spans: Iterable[ScoredSpan], log_nothing_missed: float) -> float:
        """Confidence that no edit is needed, from the shown spans and the log-probability that none is missing."""
        return clip(self.task.apply(task_log_odds(spans, log_nothing_missed)), lowest=LOWEST_TASK)

    def to_json(self) -> dict[str, Any]:
        """The parameters as stored with the version."""
        return {
            "span": self.span.to_json(),
            "task": self.task.to_json(),
            "patterns": {label: list(counts) for label, counts in self.patterns.items()},
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Calibration:
        """The parameters back from what `to_json` gave; {} gives the defaults."""
        return cls(
            span=Curve.from_json(row["span"]) if "span" in row else DEFAULT_SPAN,
            task=Curve.from_json(row["task"]) if "task" in row else DEFAULT_TASK,
            patterns={label: (int(right), int(found)) for label, (right, found) in row.get("patterns", {}).items()},
        )


def task_log_odds(spans: Iterable[ScoredSpan], log_nothing_missed: float) -> float:
    """Log-odds that all spans are right and nothing is missed, were they independent."""
    log_probability = sum(math.log(clip(span.score)) for span in spans) + log_nothing_missed
    if math.isnan(log_probability):
        return 0.0
    log_probability = min(max(log_probability, -1e6), -1e-9)
    return log_probability - math.log(-math.expm1(log_probability))


def log_odds(probability: float) -> float:
    """The log-odds of a probability, finite also at 0 and 1."""
    if not math.isfinite(probability):
        return 0.0
    p = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))


def clip(probability: float, *, lowest: float = LOWEST) -> float:
    """The probability within the range of a score; a NaN counts as 0.5."""
    return min(max(probability, lowest), 1 - LOWEST) if math.isfinite(probability) else 0.5
