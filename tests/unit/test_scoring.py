from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.prediction.calibration import Curve, calibration_error, fit_curve
from training.prediction.scoring import Calibration, log_odds
from training.spans import ScoredSpan

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def draw(slope: float, offset: float, *, count: int, seed: int) -> tuple[list[float], list[bool]]:
    """Cases whose truth follows the given curve."""
    chance = random.Random(seed)
    evidence = [chance.gauss(0, 2) for _ in range(count)]
    return evidence, [chance.random() < 1 / (1 + math.exp(-(slope * x + offset))) for x in evidence]


def test_scoring_learns_the_curve_that_the_cases_follow() -> None:
    """With enough cases the fitted curve is the one they were drawn from."""
    fitted = fit_curve(*draw(0.5, -1.0, count=5000, seed=1), default=Curve())
    assert (fitted.rise, fitted.fall) == pytest.approx((0.5, 0.5), abs=0.15)
    assert fitted.offset == pytest.approx(-1.0, abs=0.15)


def test_scoring_makes_overconfident_scores_honest() -> None:
    """After fitting, of the spans scored about p a share of about p is right."""
    evidence, right = draw(0.3, -0.5, count=2000, seed=2)
    raw = [1 / (1 + math.exp(-x)) for x in evidence]
    fitted = Calibration(span=fit_curve(evidence[:1000], right[:1000], default=Curve()))
    calibrated = [fitted.span_score(p) for p in raw[1000:]]
    assert calibration_error(calibrated, right[1000:]) < 0.06 < calibration_error(raw[1000:], right[1000:])


@pytest.mark.parametrize("right", [True, False])
def test_scoring_of_cases_that_all_agree_stays_finite(right: bool) -> None:
    """Where every case is right, or every one wrong, the curve exists and leans that way."""
    fitted = fit_curve([3.0, 9.0, 20.7, 20.7] * 10, [right] * 40, default=Curve())
    assert math.isfinite(fitted.rise + fitted.fall)
    assert math.isfinite(fitted.offset)
    assert (fitted.apply(5.0) > 0.8) is right


def test_scoring_survives_evidence_far_out() -> None:
    """Cases that lie far out on the wrong side neither blow the fit up nor turn the order of scores around."""
    fitted = fit_curve([-0.4, -400.0, -30.0, -900.0] * 8, [True, False, True, False] * 8, default=Curve())
    assert min(fitted.rise, fitted.fall) > 0
    assert fitted.apply(-0.4) > fitted.apply(-900.0)


def test_scoring_with_few_cases_stays_near_the_default() -> None:
    """No case leaves the default, three move it a little, three hundred go by what they say."""
    default = Curve(0.4, 0.4, 0.0)
    found = [fit_curve([1.0] * count, [False] * count, default=default).apply(1.0) for count in (0, 3, 300)]
    assert found[0] == default.apply(1.0)
    assert found[0] > found[1] > 0.2 > 0.05 > found[2]


def test_scoring_corrects_certainty_and_doubt_apart() -> None:
    """Where only what looks certain is off, what looks doubtful keeps its probability."""
    chance = random.Random(3)
    evidence = [chance.uniform(-4, 8) for _ in range(4000)]
    right = [chance.random() < 1 / (1 + math.exp(-min(x, 1.0))) for x in evidence]
    fitted = fit_curve(evidence, right, default=Curve())
    assert fitted.apply(-2.0) == pytest.approx(1 / (1 + math.exp(2.0)), abs=0.06)
    assert fitted.apply(7.0) == pytest.approx(1 / (1 + math.exp(-1.0)), abs=0.06)


@given(ANY_FLOAT, ANY_FLOAT, ANY_FLOAT, ANY_FLOAT)
def test_scoring_never_gives_nan_nor_leaves_its_range(p: float, raw: float, slope: float, doubt: float) -> None:
    """Whatever goes in, a score is a number above 0 and below 1."""
    calibration = Calibration(span=Curve(slope, 0.5, 0.0), task=Curve(0.5, slope, 0.0), patterns={"A": (1, 2)})
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
    calibration = Calibration(span=Curve(0.5, 0.6, -1.0), task=Curve(0.2, 0.1, 0.3), patterns={"A": (3, 4)})
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration
    assert Calibration.from_json({}) == Calibration()
    assert Calibration.from_json({"span": [0.5, -1.0]}).span == Curve(0.5, 0.5, -1.0)


def test_scoring_log_odds_are_finite_at_the_ends() -> None:
    """Certainty is far away, never infinitely far."""
    assert all(math.isfinite(log_odds(p)) for p in (0.0, 1.0, math.nan))
