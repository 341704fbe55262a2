"""The summary of a simulation says what a strategy brings, from the rows of any report."""

from __future__ import annotations

from typing import Any

import pytest

from ml_backend.simulation.summary import Point, area, interval, reached, summarize


def run_of(strategy: str, seed: int, *points: tuple[int, float]) -> dict[str, Any]:
    """A run with these numbers of annotations and F1; each text holds two spans and costs one edit."""
    steps = [(count, f1, count - before) for (before, _), (count, f1) in zip(((0, 0), *points), points, strict=False)]
    rows = [{"annotations": count, "f1": f1, "spans": 2 * more, "edits": more} for count, f1, more in steps]
    return {"strategy": strategy, "seed": seed, "state": "finished", "versions": rows}


def points(*found: tuple[float, float]) -> list[Point]:
    return [Point(count, 0, 0, f1) for count, f1 in found]


def test_the_area_is_the_mean_height_of_the_curve() -> None:
    """A straight line from 0.2 to 0.6 has a mean height of 0.4, however wide its steps are."""
    assert area(points((0, 0.2), (50, 0.4), (100, 0.6)), until=100) == pytest.approx(0.4)
    assert area(points((0, 0.2), (100, 0.6)), until=100) == pytest.approx(0.4)
    assert area(points((0, 0.2)), until=100) is None


def test_the_area_ends_where_it_is_told_to() -> None:
    """A curve without a row just there is cut on its line, so that all strategies are compared over the same width."""
    assert area(points((0, 0.2), (100, 0.6)), until=50) == pytest.approx(0.3)
    assert area(points((0, 0.2), (50, 0.4), (150, 0.8)), until=100) == pytest.approx(0.4)
    assert area(points((0, 0.2), (50, 0.4)), until=100) == pytest.approx(0.3)


def test_an_f1_is_reached_between_two_rows() -> None:
    """What it took to come to an F1 lies on a straight line between the rows; a curve that stays below says nothing."""
    found = reached(points((0, 0.2), (100, 0.6)), 0.5)
    assert found is not None
    assert found.annotations == pytest.approx(75)
    assert reached(points((0, 0.2), (100, 0.6)), 0.7) is None
    assert reached(points((0, 0.8), (100, 0.6)), 0.7) == Point(0, 0, 0, 0.8)


def test_an_interval_needs_two_seeds() -> None:
    """One seed gives a figure without an interval, none gives nothing."""
    assert interval([]) == {"mean": None, "low": None, "high": None, "seeds": 0}
    assert interval([0.5]) == {"mean": 0.5, "low": None, "high": None, "seeds": 1}
    assert interval([1.0, 3.0])["high"] == pytest.approx(2 + 12.71)


@pytest.mark.parametrize(
    ("seeds", "student"), [(3, 4.303), (11, 2.228), (13, 2.179), (19, 2.101), (31, 2.042), (61, 2.0)]
)
def test_an_interval_is_as_wide_as_students(seeds: int, student: float) -> None:
    """For any number of seeds the factor is that of Student's t, or a little above it."""
    found = interval([*[0.0] * (seeds - 1), float(seeds)])  # the standard error of these is 1
    assert student - 0.005 <= found["high"] - found["mean"] <= student * 1.05


def test_strategies_are_compared_with_random_seed_by_seed() -> None:
    """Area, annotations, spans and edits are told for each strategy, against random of the same seed."""
    runs = [
        run_of("random", 1, (0, 0.0), (100, 0.5), (200, 1.0)),
        run_of("span", 1, (0, 0.0), (100, 1.0), (200, 1.0)),
        run_of("full", 1, (0, 0.0), (400, 1.0)),
    ]
    found = summarize(runs, pool_texts=400)
    assert found["full_data_f1"]["mean"] == 1.0
    assert found["area_until"] == 200
    span = found["strategies"]["span"]
    assert span["area_above_random"]["mean"] == pytest.approx(0.25)
    assert span["needed"]["90"]["annotations"]["mean"] == pytest.approx(90)
    assert span["needed"]["90"]["spans"]["mean"] == pytest.approx(180)
    assert span["needed"]["90"]["share_of_random"]["mean"] == pytest.approx(0.5)
    assert span["needed"]["90"]["share_of_pool"] == pytest.approx(0.225)


def test_what_no_seed_reached_is_told_as_that() -> None:
    """A strategy that stays below the mark has no figure, and says how many seeds did not come there."""
    runs = [run_of("random", 1, (0, 0.0), (100, 0.5)), run_of("full", 1, (0, 0.0), (400, 1.0))]
    needed = summarize(runs, pool_texts=400)["strategies"]["random"]["needed"]["95"]
    assert (needed["annotations"]["mean"], needed["not_reached"], needed["share_of_pool"]) == (None, 1, None)


def test_a_run_that_is_not_over_does_not_count() -> None:
    """What a broken-off run came to says nothing of its strategy, nor does it cut the others short."""
    broken = {**run_of("span", 1, (0, 0.0), (10, 0.5)), "state": "interrupted"}
    found = summarize([run_of("random", 1, (0, 0.0), (100, 0.5)), broken], pool_texts=400)
    assert (list(found["strategies"]), found["area_until"]) == (["random"], 100)


def test_a_report_without_versions_has_an_empty_summary() -> None:
    """Before anything was measured nothing is claimed."""
    assert summarize([run_of("random", 1)], pool_texts=0)["strategies"] == {}
