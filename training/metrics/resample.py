"""How sure scores are: the bootstrap by document, for one version and for two on the same texts.

Whole texts are drawn with replacement, since the spans of one text are not independent of each other (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; for paired comparisons of taggers: Berg-Kirkpatrick,
Burkett and Klein, EMNLP 2012). The seed makes every figure come out again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.spans import Span

SAMPLES = 2_000
LEVEL = 0.95
# Bounds the memory of a step: so many drawn texts at once.
_DRAWS_AT_A_TIME = 2_000_000

Counts = NDArray[np.float64]
"""Shape (texts, labels, 3): gold spans, predicted spans, and those that are both."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure lies in 95 of 100 draws."""

    low: float
    high: float

    def to_json(self) -> list[float]:
        """The interval as stored."""
        return [round(self.low, 6), round(self.high, 6)]


@dataclass(frozen=True, slots=True)
class Difference:
    """B less A on the same texts: the figure, its interval, the share of draws in which B is better.

    `samples` are the differences of all draws, sorted.
    """

    value: float
    interval: Interval
    better: float
    samples: NDArray[np.float64]

    def lower_bound(self, confidence: float) -> float:
        """What the difference exceeds in this share of the draws, 0.5 or more."""
        return float(np.quantile(self.samples, 1 - confidence))

    def to_json(self) -> dict[str, Any]:
        """The difference as stored and shown."""
        return {"value": round(self.value, 6), "interval": self.interval.to_json(), "better": round(self.better, 4)}


def count_texts(
    gold: Sequence[Collection[Span]], predicted: Sequence[Collection[Span]], labels: Sequence[str]
) -> Counts:
    """Gold, predicted and right spans of each text and label; spans of labels that are not named are left out."""
    at = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(gold), len(labels), 3))
    for row, (wanted, given) in enumerate(zip(gold, predicted, strict=True)):
        wanted_set, given_set = set(wanted), set(given)
        for column, spans in enumerate((wanted_set, given_set, wanted_set & given_set)):
            for span in spans:
                if span.label in at:
                    counts[row, at[span.label], column] += 1
    return counts


def score_intervals(counts: Counts, *, seed: int) -> dict[str, NDArray[np.float64]]:
    """Low and high ends of precision, recall and f1, each of shape (2, labels + 1); the last column is overall."""
    drawn = [_figures(sums) for sums in _draw(counts, seed=seed)]
    edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return {name: np.quantile(np.concatenate([one[name] for one in drawn]), edges, axis=0) for name in _NAMES}


def compare_counts(a: Counts, b: Counts, *, seed: int) -> dict[str, list[Difference]]:
    """For precision, recall and f1 the differences B less A, one a label and the overall one last.

    Both must speak of the same texts and labels, in the same order. A draw without a difference counts half for B.
    """
    drawn = [
        {name: after[name] - before[name] for name in _NAMES}
        for before, after in zip(map(_figures, _draw(a, seed=seed)), map(_figures, _draw(b, seed=seed)), strict=True)
    ]
    whole_a, whole_b = (_figures(_with_overall(counts.sum(axis=0)[None])) for counts in (a, b))
    return {
        name: [
            _difference(float(whole_b[name][0, column] - whole_a[name][0, column]), samples)
            for column, samples in enumerate(np.concatenate([one[name] for one in drawn]).T)
        ]
        for name in _NAMES
    }


_NAMES = ("precision", "recall", "f1")


def _difference(value: float, samples: NDArray[np.float64]) -> Difference:
    samples = np.sort(samples)
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    better = float(np.mean(samples > _ROUNDING) + np.mean(np.abs(samples) <= _ROUNDING) / 2)
    return Difference(value, Interval(float(low), float(high)), better, samples)


_ROUNDING = 1e-9


def _draw(counts: Counts, *, seed: int) -> Iterator[Counts]:
    """Sums over drawn texts, shape (draws, labels + 1, 3); the same seed and number of texts draw the same texts."""
    texts, labels, _ = counts.shape
    flat = counts.reshape(texts, labels * 3)
    rng = np.random.default_rng(seed)
    chunk = max(1, _DRAWS_AT_A_TIME // max(texts, 1))
    for first in range(0, SAMPLES, chunk):
        size = min(chunk, SAMPLES - first)
        weights = rng.multinomial(texts, np.full(texts, 1 / texts), size=size) if texts else np.zeros((size, 0))
        yield _with_overall((weights @ flat).reshape(size, labels, 3))


def _with_overall(sums: Counts) -> Counts:
    return np.concatenate([sums, sums.sum(axis=1, keepdims=True)], axis=1)


def _figures(sums: Counts) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F1, each of shape (draws, labels + 1); what divides by zero is 0."""
    gold, predicted, right = sums[..., 0], sums[..., 1], sums[..., 2]
    return {
        "precision": _divide(right, predicted),
        "recall": _divide(right, gold),
        "f1": _divide(2 * right, gold + predicted),
    }


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
