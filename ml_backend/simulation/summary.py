"""What a simulation comes to: areas under the curves, annotations needed, and how far the seeds agree.

Works on the report as it is written, so that any report can be read again. docs/simulate.md defines every field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

FULL = "full"
RANDOM = "random"
FINISHED = "finished"
SHARES = (90, 95, 99)
# Student's t, two-sided 95 %, by degrees of freedom from 1; beyond the list it hardly changes.
STUDENT = (
    *(12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23),
    *(2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09),
)
BEYOND = 2.08

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """A place on a curve: what was spent by then, and the F1 of what was served."""

    annotations: float
    spans: float
    edits: float
    f1: float


def curve(run: Row) -> list[Point]:
    """The points of a run, in order, with what had been spent in all."""
    points: list[Point] = []
    spans = edits = 0
    for row in run["versions"]:
        spans, edits = spans + row["spans"], edits + row["edits"]
        points.append(Point(row["annotations"], spans, edits, row["f1"]))
    return points


def area(points: Sequence[Point], *, until: float) -> float | None:
    """The mean F1 on the way to so many annotations: the area under the curve by trapezes, by its width."""
    known = _cut(points, until)
    if len(known) < 2 or known[-1].annotations == known[0].annotations:
        return None
    whole = sum((b.annotations - a.annotations) * (a.f1 + b.f1) / 2 for a, b in pairwise(known))
    return whole / (known[-1].annotations - known[0].annotations)


def _cut(points: Sequence[Point], until: float) -> list[Point]:
    """The curve up to so many annotations; where it has no point just there, one on its line."""
    known = [point for point in points if point.annotations <= until]
    if known and len(known) < len(points):
        before, after = known[-1], points[len(known)]
        known.append(_between(before, after, (until - before.annotations) / (after.annotations - before.annotations)))
    return known


def _between(before: Point, after: Point, share: float) -> Point:
    return Point(
        before.annotations + share * (after.annotations - before.annotations),
        before.spans + share * (after.spans - before.spans),
        before.edits + share * (after.edits - before.edits),
        before.f1 + share * (after.f1 - before.f1),
    )


def reached(points: Sequence[Point], f1: float) -> Point | None:
    """Where the curve first comes to this F1, on a straight line between two points; None where it never does."""
    if points and points[0].f1 >= f1:
        return points[0]
    for before, after in pairwise(points):
        if before.f1 < f1 <= after.f1:
            return _between(before, after, (f1 - before.f1) / (after.f1 - before.f1))
    return None


def interval(values: Sequence[float]) -> dict[str, Any]:
    """The mean of some seeds' figures, and its 95 % interval by Student's t; None where one seed says nothing of it."""
    if not values:
        return {"mean": None, "low": None, "high": None, "seeds": 0}
    middle = mean(values)
    if len(values) < 2:
        return {"mean": middle, "low": None, "high": None, "seeds": 1}
    factor = STUDENT[len(values) - 2] if len(values) - 2 < len(STUDENT) else BEYOND
    half = factor * stdev(values) / math.sqrt(len(values))
    return {"mean": middle, "low": middle - half, "high": middle + half, "seeds": len(values)}


def summarize(runs: Sequence[Row], *, pool_texts: int) -> dict[str, Any]:
    """Everything that the finished runs of a report come to, strategy by strategy."""
    runs = [run for run in runs if run["state"] == FINISHED]
    full = [points[-1].f1 for run in runs if run["strategy"] == FULL and len(points := curve(run)) > 1]
    curves = {
        (run["strategy"], run["seed"]): points
        for run in runs
        if run["strategy"] != FULL and len(points := curve(run)) > 1
    }
    strategies = list(dict.fromkeys(strategy for strategy, _ in curves))
    until = min((points[-1].annotations for points in curves.values()), default=0)
    of = {name: {seed: points for (one, seed), points in curves.items() if one == name} for name in strategies}
    return {
        "full_data_f1": interval(full),
        "area_until": until,
        "strategies": {name: _strategy(of[name], of.get(RANDOM, {}), full, until, pool_texts) for name in strategies},
    }


def _strategy(
    by_seed: Mapping[int, Sequence[Point]],
    at_random: Mapping[int, Sequence[Point]],
    full: Sequence[float],
    until: float,
    pool_texts: int,
) -> dict[str, Any]:
    areas = {seed: found for seed, points in by_seed.items() if (found := area(points, until=until)) is not None}
    compared = {seed: found for seed in at_random if (found := area(at_random[seed], until=until)) is not None}
    return {
        "area": interval(list(areas.values())),
        "area_above_random": interval([areas[seed] - compared[seed] for seed in areas if seed in compared]),
        "f1_at_end": interval([points[-1].f1 for points in by_seed.values()]),
        "spans": interval([points[-1].spans for points in by_seed.values()]),
        "edits": interval([points[-1].edits for points in by_seed.values()]),
        "needed": {
            str(share): _needed(by_seed, at_random, share / 100 * mean(full), pool_texts) if full else None
            for share in SHARES
        },
    }


def _needed(
    by_seed: Mapping[int, Sequence[Point]], at_random: Mapping[int, Sequence[Point]], f1: float, pool_texts: int
) -> dict[str, Any]:
    """What it took to come to this F1; over the seeds that came to it."""
    found = {seed: point for seed, points in by_seed.items() if (point := reached(points, f1)) is not None}
    others = {seed: point for seed, points in at_random.items() if (point := reached(points, f1)) is not None}
    ratios = [found[s].annotations / others[s].annotations for s in found if s in others and others[s].annotations]
    annotations = interval([point.annotations for point in found.values()])
    return {
        "f1": f1,
        "annotations": annotations,
        "share_of_pool": annotations["mean"] / pool_texts if found and pool_texts else None,
        "share_of_random": interval(ratios),
        "spans": interval([point.spans for point in found.values()]),
        "edits": interval([point.edits for point in found.values()]),
        "not_reached": len(by_seed) - len(found),
    }
