"""Patterns or model: what the dev part decides for each label."""

from __future__ import annotations

import pytest

from training.learning.fitting import SMALL_SUPPORT, choose_way
from training.metrics.evaluate import LabelScores


def scores(*, model: float, pattern: float, both: float, support: int = 5) -> dict[str, LabelScores]:
    """A label's F1 in each way."""
    return {
        way: LabelScores(f1, f1, f1, support, 0, 0)
        for way, f1 in (("both", both), ("model", model), ("pattern", pattern))
    }


@pytest.mark.parametrize(
    ("model", "pattern", "both", "way"),
    [(0.9, 0.2, 0.5, "model"), (0.3, 0.8, 0.6, "pattern"), (0.3, 0.6, 0.8, "both")],
)
@pytest.mark.parametrize("trained_on", [0, 1000])
def test_serving_is_what_finds_the_label_best(
    model: float, pattern: float, both: float, way: str, trained_on: int
) -> None:
    """The best F1 on the dev part decides, however many examples the model has seen."""
    found = scores(model=model, pattern=pattern, both=both)
    assert choose_way(found, train_support=trained_on, pattern_right=5, pattern_found=5) == way


@pytest.mark.parametrize("support", [0, 5])
@pytest.mark.parametrize(
    ("trained_on", "right", "way"),
    [(SMALL_SUPPORT - 1, 5, "both"), (SMALL_SUPPORT, 5, "model"), (SMALL_SUPPORT - 1, 4, "model")],
)
def test_serving_without_a_winner_keeps_good_patterns_while_examples_are_few(
    support: int, trained_on: int, right: int, way: str
) -> None:
    """Among equals, and for a label that no dev text shows, patterns help until the model has seen enough."""
    found = scores(model=0.5, pattern=0.5, both=0.5, support=support)
    assert choose_way(found, train_support=trained_on, pattern_right=right, pattern_found=10) == way
