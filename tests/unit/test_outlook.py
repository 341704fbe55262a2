"""Whether more annotations pay."""

from __future__ import annotations

import pytest

from training.quality.outlook import CurvePoint, Signal, gain_per_second, look_ahead, measure_pace, minutes_per_text


def curve(*sizes: int, ceiling: float = 0.9, drop: float = 2.0, exponent: float = 0.5) -> list[CurvePoint]:
    """Versions on an inverse power law."""
    return [
        CurvePoint(f"spanloop-v{n}", size, ceiling - drop * size**-exponent, 400) for n, size in enumerate(sizes, 1)
    ]


def test_a_power_law_is_found_again() -> None:
    """Points on such a curve give its future."""
    points = curve(50, 100, 150, 200, 300, 400)
    found = look_ahead(points, [])
    wanted = 2.0 * 400**-0.5 - 2.0 * 500**-0.5
    assert found.gain == pytest.approx(wanted, abs=0.002)
    assert found.gain_low is not None
    assert found.gain_high is not None
    assert found.gain_low <= wanted <= found.gain_high
    assert found.expected_f1 == pytest.approx(0.9 - 2.0 * 500**-0.5, abs=0.003)
    assert found.ceiling == pytest.approx(0.9, abs=0.03)
    assert found.signal is Signal.GO_ON


def test_a_flat_curve_says_stop() -> None:
    """Where nothing is gained any more, the advice says so plainly."""
    points = curve(200, 600, 1200, 1800, 2400, 3000, drop=4.0, exponent=1.0)
    found = look_ahead(points, [])
    assert found.signal is Signal.STOP
    assert found.advice.startswith("stop: the next 100 annotations are expected to bring F1 from 0.89")
    assert "a gain below 0.005 is not worth it" in found.advice
    assert look_ahead(points, [], least_gain=0.0).signal is Signal.GO_ON


@pytest.mark.parametrize("points", [[], curve(50), curve(50, 100), [*curve(50, 100), *curve(100)]])
def test_too_few_versions_say_nothing(points: list[CurvePoint]) -> None:
    """A curve needs three versions of different size."""
    found = look_ahead(points, [])
    assert (found.signal, found.gain) == (Signal.TOO_EARLY, None)
    assert "too early to say" in found.advice


def test_odd_curves_stay_within_bounds() -> None:
    """A falling curve promises nothing, a perfect one no more than perfection."""
    falling = [CurvePoint(str(n), n * 100, 0.8 - n / 50, 50) for n in range(1, 6)]
    found = look_ahead(falling, [])
    assert found.gain is not None
    assert 0 <= found.gain < 0.005
    perfect = [CurvePoint(str(n), n * 100, 1.0, 50) for n in range(1, 6)]
    assert look_ahead(perfect, []).expected_f1 == 1.0


@pytest.mark.parametrize("support", [0, 30])
def test_nothing_found_yet_is_no_reason_to_stop(support: int) -> None:
    """Versions that find nothing, or had nothing to find, promise no gain and yet do not say stop."""
    nothing = [CurvePoint(str(n), n * 100, 0.0, support) for n in range(1, 6)]
    found = look_ahead(nothing, [])
    assert found.signal is Signal.TOO_EARLY
    assert found.advice.startswith("too early to say, go on: ")


def test_minutes_are_the_median() -> None:
    """Open pages and missing times do not count."""
    assert minutes_per_text([30, 60, 90, 7200, 0]) == 1.0
    assert minutes_per_text([]) is None
    assert look_ahead([], [60.0]).hours_for_next == pytest.approx(100 / 60)
    assert "for about 1.7 hours of work" in look_ahead(curve(50, 100, 150), [60.0]).advice
    assert "for about 25 minutes of work" in look_ahead(curve(50, 100, 150), [15.0]).advice


def test_the_pace_grows_with_the_text() -> None:
    """Seconds follow from characters, once there are enough times."""
    assert measure_pace([(100, 10.0)] * 5) is None
    pace = measure_pace([(length, 5 + length / 10) for length in range(10, 400, 10)])
    assert pace is not None
    assert pace.seconds(100) == pytest.approx(15, abs=1)


def test_long_texts_must_promise_more() -> None:
    """By gain per second a long text comes after a short one of the same score, and after none that is surer to pay."""
    pace = measure_pace([(length, 5 + length / 10) for length in range(10, 400, 10)])
    assert pace is not None
    scores = [gain_per_second(score, length, pace) for score, length in ((0.2, 50), (0.2, 400), (1.0, 50))]
    assert scores == sorted(scores)
    assert all(0 < score <= 1 for score in scores)
