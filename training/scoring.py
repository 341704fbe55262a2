"""From raw evidence to confidence: scores between 0 and 1 that mean what they say.

A span's raw probability is turned into a calibrated one by Platt scaling on its log-odds (Platt 1999, with his
smoothed targets), a pattern's by how often it was right. The task's score is the confidence that the annotator will
change nothing: every shown span is right and nothing was missed. Parameters are fitted on the dev part and stored
with the model version as JSON; without any the defaults hold. No score is NaN, 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from training.spans import Prediction, ScoredSpan, Span

Floats = npt.NDArray[np.float64]
LOWEST = 1e-6
# Long texts have tiny task scores, whose order still matters.
LOWEST_TASK = 1e-12
# Fewer cases than this say too little to move a default.
FEWEST_CASES = 20
# A pattern's own score counts as much as this many observed spans.
PATTERN_PRIOR = 4.0
# What a pipeline without a trained recognizer is taken to know of what it does not find.
BLIND_CONFIDENCE = 0.5


@dataclass(frozen=True, slots=True)
class Platt:
    """A logistic curve over log-odds: probability = 1 / (1 + exp(-(slope * log-odds + offset)))."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, log_odds: float) -> float:
        """The calibrated probability."""
        return _sigmoid(self.slope * log_odds + self.offset) if math.isfinite(log_odds) else 0.5


# Where nothing was fitted. The greedy decode of a small network is far too sure of itself: on two English sets curves
# fitted on test texts, for a base model and for trained ones alike, had slopes from 0.2 to 0.55 and mostly fell below.
DEFAULT_SPAN = Platt(0.4, -0.5)
DEFAULT_TASK = Platt(0.5, 0.0)


@dataclass(frozen=True)
class Calibration:
    """The parameters of a version's scores: for model spans, whole tasks, and each label's patterns (right, found)."""

    span: Platt = DEFAULT_SPAN
    task: Platt = DEFAULT_TASK
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
            "span": [self.span.slope, self.span.offset],
            "task": [self.task.slope, self.task.offset],
            "patterns": {label: list(counts) for label, counts in self.patterns.items()},
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Calibration:
        """The parameters back from what `to_json` gave; {} gives the defaults."""
        return cls(
            span=Platt(*row["span"]) if "span" in row else DEFAULT_SPAN,
            task=Platt(*row["task"]) if "task" in row else DEFAULT_TASK,
            patterns={label: (int(right), int(found)) for label, (right, found) in row.get("patterns", {}).items()},
        )


def task_log_odds(spans: Iterable[ScoredSpan], log_nothing_missed: float) -> float:
    """Log-odds that all spans are right and nothing is missed, were they independent."""
    log_probability = sum(math.log(clip(span.score)) for span in spans) + log_nothing_missed
    if math.isnan(log_probability):
        return 0.0
    log_probability = min(max(log_probability, -1e6), -1e-9)
    return log_probability - math.log(-math.expm1(log_probability))


def fit_platt(evidence: Sequence[float], right: Sequence[bool], *, default: Platt) -> Platt:
    """The Platt curve for log-odds and what came true; drawn to the default, and the default where cases are few."""
    positives = sum(right)
    negatives = len(right) - positives
    if len(right) < FEWEST_CASES:
        return default
    targets = np.where(np.asarray(right, dtype=bool), (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    slope, offset = _newton(np.asarray(evidence, dtype=float), targets, default)
    # A curve that falls would turn the order around: the evidence was noise, so little more than the mean is kept.
    if not (math.isfinite(slope) and math.isfinite(offset)) or slope <= 0:
        return Platt(slope=0.01, offset=log_odds((positives + 1.0) / (len(right) + 2.0)))
    return Platt(slope=slope, offset=offset)


def _newton(x: Floats, targets: Floats, default: Platt) -> tuple[float, float]:
    """Logistic regression on one variable, with a weak pull to the default, so that the fit is always finite."""
    features = np.stack([x, np.ones_like(x)], axis=1)
    prior, strength = np.array([default.slope, default.offset]), np.diag([10.0, 0.5])

    def loss(weights: Floats) -> float:
        logits = features @ weights
        likelihood = np.logaddexp(0.0, logits) - targets * logits
        return float(likelihood.sum() + 0.5 * (weights - prior) @ strength @ (weights - prior))

    weights = prior.copy()
    for _ in range(50):
        expected = 1.0 / (1.0 + np.exp(-np.clip(features @ weights, -500, 500)))
        gradient = features.T @ (expected - targets) + strength @ (weights - prior)
        curvature = features.T @ (features * (expected * (1 - expected))[:, None]) + strength
        change = np.linalg.solve(curvature, gradient)
        # Far from the optimum a whole step can land further off than it started.
        while loss(weights - change) > loss(weights) and np.abs(change).max() > 1e-6:
            change = change / 2
        weights = weights - change
        if np.abs(change).max() < 1e-6:
            break
    return float(weights[0]), float(weights[1])


def calibration_error(scores: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    """Expected calibration error: mean distance of score and accuracy over bins of equal count (0 is perfect)."""
    if not scores:
        return 0.0
    order = np.argsort(np.asarray(scores, dtype=float), kind="stable")
    values, hits = np.asarray(scores, dtype=float)[order], np.asarray(right, dtype=float)[order]
    parts = [p for p in np.array_split(np.arange(len(values)), min(bins, len(values))) if len(p)]
    return float(sum(len(p) * abs(values[p].mean() - hits[p].mean()) for p in parts) / len(values))


def measure_calibration(gold: Sequence[Collection[Span]], predicted: Sequence[Prediction]) -> dict[str, Any]:
    """How far the scores of shown spans and of whole tasks are off, with the number of cases, as stored and reported.

    `error` is the expected calibration error over ten bins of equal count; with few cases it is above 0 by chance
    alone. None where there is no case.
    """
    spans = [(s.score, s.span in set(wanted)) for wanted, said in zip(gold, predicted, strict=True) for s in said.spans]
    tasks = [
        (said.score, {span.span for span in said.spans} == set(wanted))
        for wanted, said in zip(gold, predicted, strict=True)
    ]
    return {
        name: {
            "error": calibration_error([score for score, _ in cases], [right for _, right in cases]) if cases else None,
            "cases": len(cases),
        }
        for name, cases in (("spans", spans), ("tasks", tasks))
    }


def log_odds(probability: float) -> float:
    """The log-odds of a probability, finite also at 0 and 1."""
    if not math.isfinite(probability):
        return 0.0
    p = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))


def clip(probability: float, *, lowest: float = LOWEST) -> float:
    """The probability within the range of a score; a NaN counts as 0.5."""
    return min(max(probability, lowest), 1 - LOWEST) if math.isfinite(probability) else 0.5


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(value, -500.0), 500.0)))
