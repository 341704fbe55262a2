"""Curves that turn evidence into probabilities that mean what they say, and how far scores are from that.

Beta calibration (Kull, Silva Filho and Flach 2017): the log-odds of p become rise * ln p - fall * ln(1 - p) + offset.
With rise = fall it is Platt scaling; an overconfident network needs both, since its certainties and its doubts are off
in different ways.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.spans import Prediction, Span

Floats = npt.NDArray[np.float64]
# How hard the fit is drawn to the default's rise, fall and offset (the inverse of their variances).
PULL = (20.0, 20.0, 4.0)
FLATTEST = 0.01


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve over log-odds; it never falls, so that it keeps the order of what goes in."""

    rise: float = 1.0
    fall: float = 1.0
    offset: float = 0.0

    def apply(self, log_odds: float) -> float:
        """The calibrated probability."""
        if not math.isfinite(log_odds):
            return 0.5
        value = self.fall * _softplus(log_odds) - self.rise * _softplus(-log_odds) + self.offset
        return 1.0 / (1.0 + math.exp(-min(max(value, -500.0), 500.0)))

    def to_json(self) -> list[float]:
        """The curve as stored."""
        return [self.rise, self.fall, self.offset]

    @classmethod
    def from_json(cls, row: Sequence[float]) -> Curve:
        """The curve back from what `to_json` gave, or from the slope and offset of a Platt curve."""
        return cls(row[0], *row) if len(row) == 2 else cls(*row)


def fit_curve(evidence: Sequence[float], right: Sequence[bool], *, default: Curve) -> Curve:
    """The curve for log-odds and what came true: logistic regression drawn to the default, which few cases move little.

    The targets are smoothed as Platt (1999) does, so the curve is finite even where all cases agree.
    """
    positives = sum(right)
    negatives = len(right) - positives
    if not right:
        return default
    targets = np.where(np.asarray(right, dtype=bool), (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    prior = np.array(default.to_json())
    free = [0, 1, 2]
    weights = _newton(_features(np.asarray(evidence, dtype=float)), targets, prior, free)
    # A side that falls would turn the order around: it is kept flat, and the rest is fitted anew.
    for side in (0, 1):
        if weights[side] < FLATTEST:
            free.remove(side)
            prior[side] = FLATTEST
            weights = _newton(_features(np.asarray(evidence, dtype=float)), targets, prior, free)
    return Curve(max(float(weights[0]), FLATTEST), max(float(weights[1]), FLATTEST), float(weights[2]))


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def _features(log_odds: Floats) -> Floats:
    """ln p, -ln(1 - p) and 1 for each p."""
    return np.stack([-np.logaddexp(0.0, -log_odds), np.logaddexp(0.0, log_odds), np.ones_like(log_odds)], axis=1)


def _newton(features: Floats, targets: Floats, prior: Floats, free: Sequence[int]) -> Floats:
    """Logistic regression with a pull to the prior, in which only the free weights move."""
    features, fixed = features[:, free], features @ np.where(np.isin(range(len(prior)), free), 0.0, prior)
    middle, strength = prior[list(free)], np.diag(np.array(PULL)[list(free)])

    def loss(weights: Floats) -> float:
        logits = features @ weights + fixed
        likelihood = np.logaddexp(0.0, logits) - targets * logits
        return float(likelihood.sum() + 0.5 * (weights - middle) @ strength @ (weights - middle))

    weights = middle.copy()
    for _ in range(50):
        expected = 1.0 / (1.0 + np.exp(-np.clip(features @ weights + fixed, -500, 500)))
        gradient = features.T @ (expected - targets) + strength @ (weights - middle)
        curvature = features.T @ (features * (expected * (1 - expected))[:, None]) + strength
        change = np.linalg.solve(curvature, gradient)
        # Far from the optimum a whole step can land further off than it started.
        while loss(weights - change) > loss(weights) and np.abs(change).max() > 1e-6:
            change = change / 2
        weights = weights - change
        if np.abs(change).max() < 1e-6:
            break
    found = prior.copy()
    found[list(free)] = weights
    return found


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
    pairs = [(set(wanted), said) for wanted, said in zip(gold, predicted, strict=True)]
    spans = [(span.score, span.span in wanted) for wanted, said in pairs for span in said.spans]
    tasks = [(said.score, {span.span for span in said.spans} == wanted) for wanted, said in pairs]
    return {name: _measure(cases) for name, cases in (("spans", spans), ("tasks", tasks))}


def _measure(cases: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    error = calibration_error([score for score, _ in cases], [right for _, right in cases]) if cases else None
    return {"error": error, "cases": len(cases)}
