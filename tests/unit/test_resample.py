"""The bootstrap by document: intervals, and differences of two versions on the same texts."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.resample import compare_counts, count_texts, score_intervals
from training.spans import Span

LABELS = ("PERSON", "CITY")
PERSON, CITY = Span(0, 3, "PERSON"), Span(5, 9, "CITY")


def test_resample_counts_each_text_by_itself() -> None:
    """A text's counts are its gold, predicted and right spans by label; a span that stands twice counts once."""
    counts = count_texts([[PERSON, PERSON], [CITY]], [[PERSON, CITY], [Span(5, 8, "CITY")]], LABELS)
    assert counts.shape == (2, 2, 3)
    assert counts[0].tolist() == [[1, 1, 1], [0, 1, 0]]
    assert counts[1].tolist() == [[0, 0, 0], [1, 1, 0]]


def test_resample_intervals_hold_the_figure_and_shrink_with_more_texts() -> None:
    """Ten times the texts give a narrower interval around the same figure."""

    def width(times: int) -> float:
        gold = [[PERSON]] * (10 * times)
        found = ([[PERSON]] * 7 + [[]] * 3) * times
        ends = score_intervals(count_texts(gold, found, LABELS), seed=0)["recall"]
        low, high = ends[:, -1]
        assert low < 0.7 < high
        return float(high - low)

    assert width(10) < width(1) / 2


def test_resample_gives_the_same_figures_for_the_same_seed() -> None:
    """Every figure comes out again."""
    counts = count_texts([[PERSON], [CITY], []], [[PERSON], [], [CITY]], LABELS)
    first, again, other = (score_intervals(counts, seed=seed)["f1"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape == other.shape == (2, 3)


def test_resample_compares_two_versions_on_the_same_texts() -> None:
    """Differences are paired: where both make the same mistakes, the difference is 0 in each draw."""
    gold = [[PERSON]] * 20 + [[CITY]] * 20
    same = [[PERSON]] * 10 + [[]] * 10 + [[CITY]] * 10 + [[]] * 10
    better = [[PERSON]] * 20 + same[20:]
    a, b = count_texts(gold, same, LABELS), count_texts(gold, better, LABELS)
    person, city, overall = compare_counts(a, b, seed=0)["f1"]
    assert (city.value, city.interval.low, city.interval.high, city.better) == (0, 0, 0, 0.5)
    assert person.value == pytest.approx(1 - 2 / 3)
    assert person.better > 0.99
    assert 0 < overall.interval.low < overall.value < overall.interval.high
    assert overall.lower_bound(0.8) < overall.value
    backwards = compare_counts(b, a, seed=0)["f1"][-1]
    assert backwards.value == pytest.approx(-overall.value)
    assert backwards.better == pytest.approx(1 - overall.better)


def test_resample_of_no_text_is_zero_not_an_error() -> None:
    """Without texts, and without spans, every figure is 0."""
    for texts in ([], [[]]):
        counts = count_texts(texts, texts, LABELS)
        assert not score_intervals(counts, seed=0)["f1"].any()
        assert compare_counts(counts, counts, seed=0)["f1"][-1].value == 0
