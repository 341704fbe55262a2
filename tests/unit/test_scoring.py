from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.scoring import Calibration, Platt, calibration_error, fit_platt, log_odds
from training.spans import ScoredSpan

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def draw(slope: float, offset: float, *, count: int, seed: int) -> tuple[list[float], list[bool]]:
    """Cases whose truth follows the given curve."""
    chance = random.Random(seed)
    evidence = [chance.gauss(0, 2) for _ in range(count)]
    return evidence, [chance.random() < 1 / (1 + math.exp(-(slope * x + offset))) for x in evidence]


def test_scoring_learns_the_curve_that_the_cases_follow() -> None:
    """With enough cases the fitted curve is the one they were drawn from."""
    fitted = fit_platt(*draw(0.5, -1.0, count=5000, seed=1), default=Platt())
    assert fitted.slope == pytest.approx(0.5, abs=0.1)
    assert fitted.offset == pytest.approx(-1.0, abs=0.15)


def test_scoring_makes_overconfident_scores_honest() -> None:
    """After fitting, of the spans scored about p a share of about p is right."""
    evidence, right = draw(0.3, -0.5, count=2000, seed=2)
    raw = [1 / (1 + math.exp(-x)) for x in evidence]
    fitted = Calibration(span=fit_platt(evidence[:1000], right[:1000], default=Platt()))
    calibrated = [fitted.span_score(p) for p in raw[1000:]]
    assert calibration_error(calibrated, right[1000:]) < 0.06 < calibration_error(raw[1000:], right[1000:])


@pytest.mark.parametrize("right", [True, False])
def test_scoring_of_cases_that_all_agree_stays_finite(right: bool) -> None:
    """Where every case is right, or every one wrong, the curve exists and leans that way."""
    fitted = fit_platt([3.0, 9.0, 20.7, 20.7] * 10, [right] * 40, default=Platt())
    assert math.isfinite(fitted.slope)
    assert math.isfinite(fitted.offset)
    assert (fitted.apply(5.0) > 0.8) is right


def test_scoring_survives_evidence_far_out() -> None:
    """Cases that lie far out on the wrong side neither blow the fit up nor turn the order of scores around."""
    fitted = fit_platt([-0.4, -400.0, -30.0, -900.0] * 8, [True, False, True, False] * 8, default=Platt())
    assert fitted.slope > 0
    assert fitted.apply(-0.4) > fitted.apply(-900.0)


def test_scoring_with_few_cases_keeps_the_default() -> None:
    """Nineteen cases say too little to move the scores."""
    assert fit_platt([1.0] * 19, [False] * 19, default=Platt(0.4)) == Platt(0.4)


@given(ANY_FLOAT, ANY_FLOAT, ANY_FLOAT, ANY_FLOAT)
def test_scoring_never_gives_nan_nor_leaves_its_range(p: float, raw: float, slope: float, doubt: float) -> None:
    """Whatever goes in, a score is a number above 0 and below 1."""
    calibration = Calibration(span=Platt(slope, 0.0), task=Platt(slope, 0.0), patterns={"A": (1, 2)})
    scores = [
        calibration.span_score(p),
        calibration.pattern_score("A", raw),
        calibration.pattern_score("B", raw),
        calibration.task_score([ScoredSpan(0, 1, "A", p)], doubt),
    ]
    assert all(0 < score < 1 for score in scores)


def test_scoring_of_a_task_falls_with_every_doubt() -> None:
    """A doubtful span, and a span that may be missing, each make it likelier that the text needs an edit."""
    calibration = Calibration()
    sure, doubtful = ScoredSpan(0, 4, "A", 0.99), ScoredSpan(5, 9, "A", 0.6)
    scores = [
        calibration.task_score([], -0.001),
        calibration.task_score([sure], -0.001),
        calibration.task_score([sure, doubtful], -0.001),
        calibration.task_score([sure, doubtful], -2.0),
        calibration.task_score([sure, doubtful], -20.0),
    ]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 5


def test_scoring_of_a_pattern_follows_how_often_it_was_right() -> None:
    """A pattern that the dev part proves wrong sinks below its own claim, a proven one rises above it."""
    calibration = Calibration(patterns={"BAD": (0, 20), "GOOD": (20, 20)})
    assert calibration.pattern_score("BAD", 0.6) < 0.2
    assert calibration.pattern_score("NEW", 0.6) == pytest.approx(0.6)
    assert calibration.pattern_score("GOOD", 0.6) > 0.9


def test_scoring_parameters_survive_being_stored() -> None:
    """What is stored with a version gives the same scores again; nothing stored gives the defaults."""
    calibration = Calibration(span=Platt(0.5, -1.0), task=Platt(0.2, 0.3), patterns={"A": (3, 4)})
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration
    assert Calibration.from_json({}) == Calibration()


def test_scoring_log_odds_are_finite_at_the_ends() -> None:
    """Certainty is far away, never infinitely far."""
    assert all(math.isfinite(log_odds(p)) for p in (0.0, 1.0, math.nan))
