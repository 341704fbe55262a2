"""Is it worth going on? A project's learning curve, what the next annotations are expected to add, and what they cost.

F1 follows an inverse power law in the number of annotations, a - b * n**-c, fitted with later points weighing more
(Figueroa et al. 2012, https://doi.org/10.1186/1472-6947-12-8). Pure rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

import numpy as np
import numpy.typing as npt

FEWEST_POINTS = 3
NEXT = 100
"""Annotations that the outlook speaks of."""
LEAST_GAIN = 0.005
"""F1 below which the next annotations are not worth their time, unless somebody says otherwise."""
DRAWS = 400
INTERVAL = (5.0, 95.0)
MOST_SECONDS = 1_800.0
"""A longer time is an open page, not work."""
FEWEST_TIMES = 20
_EXPONENTS = np.linspace(0.05, 2.0, 40)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A version: its name, the verified texts it knew, its F1 (0 to 1) and the gold spans that this was measured on."""

    version: str
    annotations: int
    f1: float
    support: int


class Signal(StrEnum):
    """What to do."""

    TOO_EARLY = "too_early"
    GO_ON = "go_on"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Outlook:
    """The curve, and what the next annotations promise. F1 and gains are 0 to 1; without a curve they are None.

    `gain_low` and `gain_high` hold the gain in nine of ten cases; `ceiling` is the F1 that the curve comes to in the
    end. `minutes_per_text` is the median; `signal` is what to do and `advice` says it in a sentence.
    """

    points: tuple[CurvePoint, ...]
    next_annotations: int
    expected_f1: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    ceiling: float | None
    minutes_per_text: float | None
    hours_for_next: float | None
    signal: Signal
    advice: str


def look_ahead(
    points: Sequence[CurvePoint], seconds: Sequence[float], *, least_gain: float = LEAST_GAIN, seed: int = 0
) -> Outlook:
    """The outlook from the versions so far and the seconds that annotations took. The same for the same seed."""
    points = tuple(sorted((p for p in points if p.support), key=lambda p: p.annotations))
    minutes = minutes_per_text(seconds)
    hours = None if minutes is None else minutes * NEXT / 60
    unclear = _why_too_early(points)
    if unclear:
        advice = f"too early to say, go on: {unclear}"
        return Outlook(points, NEXT, None, None, None, None, None, minutes, hours, Signal.TOO_EARLY, advice)
    sizes = np.array([p.annotations for p in points], dtype=float)
    f1 = np.array([p.f1 for p in points])
    curve = _fit(sizes, f1)
    gains = _possible_gains(points, sizes, f1, curve, seed=seed)
    now = float(sizes[-1])
    gain = curve.at(now + NEXT) - curve.at(now)
    low, high = (float(value) for value in np.percentile(gains, INTERVAL))
    signal = (
        Signal.STOP if high < least_gain or (gain < least_gain / 2 and len(points) > FEWEST_POINTS) else Signal.GO_ON
    )
    expected = min(1.0, float(f1[-1]) + gain)
    advice = _advise(signal, f1=(float(f1[-1]), expected), gains=(low, high), hours=hours, least_gain=least_gain)
    return Outlook(points, NEXT, expected, gain, low, high, curve.ceiling, minutes, hours, signal, advice)


def _why_too_early(points: Sequence[CurvePoint]) -> str:
    """What a curve lacks; empty where there is enough."""
    sizes = len({p.annotations for p in points})
    if sizes < FEWEST_POINTS:
        return f"{sizes} versions of different size were measured so far, a curve needs {FEWEST_POINTS}"
    if not any(p.f1 for p in points):
        return "no version finds anything of the test texts yet"
    return ""


def minutes_per_text(seconds: Sequence[float]) -> float | None:
    """The median, or None where no time is known."""
    known = [one for one in seconds if 0 < one <= MOST_SECONDS]
    return median(known) / 60 if known else None


@dataclass(frozen=True, slots=True)
class _Curve:
    ceiling: float
    drop: float
    exponent: float

    def at(self, size: float) -> float:
        return float(self.ceiling - self.drop * size**-self.exponent)


def _fit(sizes: Floats, f1: Floats) -> _Curve:
    """The curve with the least weighted squares, ceiling at most 1, never falling; the i-th of n points weighs i/n."""
    weights = np.arange(1, len(sizes) + 1) / len(sizes)
    best, least = _Curve(float(np.average(f1, weights=weights)), 0.0, 1.0), np.inf
    for exponent in _EXPONENTS:
        x = np.maximum(sizes, 1.0) ** -exponent
        curve = _fit_line(x, f1, weights, float(exponent))
        error = float((weights * (curve.ceiling - curve.drop * x - f1) ** 2).sum())
        if error < least - 1e-12:
            best, least = curve, error
    return best


def _fit_line(x: Floats, f1: Floats, weights: Floats, exponent: float) -> _Curve:
    mean_x, mean_y = np.average(x, weights=weights), np.average(f1, weights=weights)
    spread = float((weights * (x - mean_x) ** 2).sum())
    slope = float((weights * (x - mean_x) * (f1 - mean_y)).sum()) / spread if spread else 0.0
    drop = max(0.0, -slope)
    ceiling = float(mean_y + drop * mean_x)
    if ceiling > 1:
        ceiling, drop = 1.0, max(0.0, float((weights * x * (1 - f1)).sum() / (weights * x * x).sum()))
    return _Curve(ceiling, drop, exponent)


def _possible_gains(
    points: Sequence[CurvePoint], sizes: Floats, f1: Floats, curve: _Curve, *, seed: int
) -> list[float]:
    """Gains by curves through points that could as well have been measured: F1 varies with the gold spans behind it."""
    rng = np.random.default_rng(seed)
    support = np.array([max(1, p.support) for p in points])
    centre = np.clip(f1, 0.02, 0.98)
    off = f1 - np.array([curve.at(size) for size in sizes])
    # Versions are mostly measured on the same texts: what the fit leaves over is the better guess where it is smaller.
    error = np.minimum(np.sqrt(centre * (1 - centre) / support), max(float(np.std(off)), 0.002) * 2)
    now = float(sizes[-1])
    found = []
    for _ in range(DRAWS):
        drawn = _fit(sizes, np.clip(f1 + rng.normal(0.0, error), 0.0, 1.0))
        found.append(drawn.at(now + NEXT) - drawn.at(now))
    return found


def _advise(
    signal: Signal,
    *,
    f1: tuple[float, float],
    gains: tuple[float, float],
    hours: float | None,
    least_gain: float,
) -> str:
    now, then = f1
    low, high = gains
    promise = f"the next {NEXT} annotations are expected to bring F1 from {now:.3f} to {then:.3f}"
    doubt = f"a gain between {low:.3f} and {high:.3f}, nine times in ten"
    cost = "" if hours is None else f", for about {_last(hours)} of work"
    if signal is Signal.STOP:
        return f"stop: {promise} ({doubt}){cost}; a gain below {least_gain:g} is not worth it"
    return f"go on: {promise} ({doubt}){cost}"


def _last(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(hours * 60))} minutes"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that a text takes: `fixed` whatever its length, and `each` for every character."""

    fixed: float
    each: float
    typical: float

    def seconds(self, characters: int) -> float:
        """The seconds for a text of so many characters."""
        return self.fixed + self.each * characters


def measure_pace(times: Sequence[tuple[int, float]]) -> Pace | None:
    """The pace by (characters, seconds) of annotated texts; None for fewer than FEWEST_TIMES of them."""
    known = [(length, seconds) for length, seconds in times if 0 < seconds <= MOST_SECONDS]
    if len(known) < FEWEST_TIMES:
        return None
    lengths, seconds = (np.array(column, dtype=float) for column in zip(*known, strict=True))
    seconds = np.minimum(seconds, np.percentile(seconds, 95))  # an open page now and then
    spread = float(((lengths - lengths.mean()) ** 2).sum())
    each = max(0.0, float(((lengths - lengths.mean()) * (seconds - seconds.mean())).sum()) / spread) if spread else 0.0
    fixed = max(1.0, float(seconds.mean() - each * lengths.mean()))
    return Pace(fixed, each, float(np.median(seconds)))


def gain_per_second(score: float, characters: int, pace: Pace) -> float:
    """A score (0 to 1) for the queue that grows as the expected gain of a second's work on the text falls.

    The gain is the chance that the pre-label needs an edit, 1 - score; a text of typical length keeps its rank.
    """
    return 1 / (1 + (1 - score) * pace.typical / pace.seconds(characters))
