from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from training.prediction.compose import Evidence, compose
from training.prediction.scoring import Calibration
from training.spans import ScoredSpan


def evidence(
    model: tuple[ScoredSpan, ...] = (),
    patterns: tuple[ScoredSpan, ...] = (),
    missed: tuple[float, ...] = (0.0,) * 10,
    *,
    blind: bool = False,
) -> Evidence:
    """What was found in a text of ten tokens of one character each, with a space after each."""
    starts = np.arange(0, 2 * len(missed), 2)
    return Evidence(model, patterns, np.array(missed, np.float32), starts, starts + 1, blind=blind)


def found(start: int, end: int, label: str, score: float, origin: str = "model") -> ScoredSpan:
    return ScoredSpan(start, end, label, score, origin)


def shown(seen: Evidence, **serving: str) -> list[tuple[int, int, str]]:
    prediction = compose(seen, serving=serving, calibration=Calibration())
    return [(span.start, span.end, span.label) for span in prediction.spans]


def test_compose_lets_a_checksum_win() -> None:
    """A validated card number beats a surer and longer span of the model."""
    seen = evidence((found(0, 9, "ORG", 0.999999),), (found(2, 7, "CARD", 1.0, "pattern"),))
    assert shown(seen) == [(2, 7, "CARD")]


def test_compose_lets_the_higher_score_win_without_a_checksum() -> None:
    """Without proof the surer of two overlapping spans stands, whoever found it."""
    assert shown(evidence((found(0, 9, "ORG", 0.9999),), (found(2, 7, "PHONE", 0.5, "pattern"),))) == [(0, 9, "ORG")]
    assert shown(evidence((found(0, 9, "ORG", 0.4),), (found(2, 7, "PHONE", 0.5, "pattern"),))) == [(2, 7, "PHONE")]


def test_compose_shows_a_span_once_that_both_found() -> None:
    """The same span from model and pattern is one span."""
    seen = evidence((found(0, 5, "PHONE", 0.8),), (found(0, 5, "PHONE", 0.8, "pattern"),))
    prediction = compose(seen, serving={}, calibration=Calibration())
    assert [span.origin for span in prediction.spans] == ["pattern"]


def test_compose_does_not_depend_on_the_order_of_what_was_found() -> None:
    """Any order of the same candidates gives the same prediction."""
    spans = [found(0, 5, "A", 0.5), found(4, 9, "B", 0.5), found(2, 7, "C", 0.5), found(0, 5, "D", 0.5)]
    outcomes = {compose(evidence(tuple(order)), serving={}, calibration=Calibration()) for order in permutations(spans)}
    assert len(outcomes) == 1


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("model", [(0, 3, "PHONE")]),
        ("pattern", [(6, 9, "PHONE")]),
        ("both", [(0, 3, "PHONE"), (6, 9, "PHONE")]),
    ],
)
def test_compose_follows_what_serves_each_label(way: str, expected: list[tuple[int, int, str]]) -> None:
    """A label is shown from the model, from its patterns, or from both, as its version says."""
    seen = evidence((found(0, 3, "PHONE", 0.9),), (found(6, 9, "PHONE", 0.6, "pattern"),))
    assert shown(seen, PHONE=way) == expected


def test_compose_scores_a_text_lower_where_something_may_be_missing() -> None:
    """Evidence of an entity outside of what is shown lowers the task's score; under a shown span it does not."""
    span = (found(0, 3, "A", 0.9),)
    calm = compose(evidence(span), serving={}, calibration=Calibration()).score
    covered = compose(evidence(span, missed=(0.9, 0.9, *[0.0] * 8)), serving={}, calibration=Calibration()).score
    outside = compose(evidence(span, missed=(0.0, 0.0, 0.9, *[0.0] * 7)), serving={}, calibration=Calibration()).score
    assert calm == covered
    assert outside < calm / 2


def test_compose_scores_a_text_lower_where_an_unserved_source_found_more() -> None:
    """What a pattern found and its label does not serve is a disagreement that the score knows of."""
    serving = {"PHONE": "model"}
    calm = compose(evidence(), serving=serving, calibration=Calibration()).score
    seen = evidence((), (found(6, 9, "PHONE", 0.6, "pattern"),))
    contested = compose(seen, serving=serving, calibration=Calibration())
    assert contested.spans == ()
    assert contested.score < calm / 2


@pytest.mark.parametrize("other", [(0, 3, "MAIL"), (0, 6, "PHONE"), (2, 5, "PHONE")])
def test_compose_scores_a_text_lower_where_patterns_and_model_disagree(other: tuple[int, int, str]) -> None:
    """Another label, or other borders, from the other source cast doubt on what is shown; the same span does not."""
    span = (found(0, 3, "PHONE", 0.99999),)
    calm = compose(evidence(span), serving={}, calibration=Calibration())
    agreed = evidence(span, (found(0, 3, "PHONE", 0.3, "pattern"),))
    contested = compose(evidence(span, (found(*other, 0.3, "pattern"),)), serving={}, calibration=Calibration())
    assert compose(agreed, serving={}, calibration=Calibration()) == calm
    assert contested.spans == calm.spans
    assert contested.score < calm.score * 0.9


def test_compose_lets_a_checksum_stand_without_doubt() -> None:
    """What the model says where a checksum holds tells nothing of the text."""
    card = found(2, 7, "CARD", 1.0, "pattern")
    calm = compose(evidence((), (card,)), serving={}, calibration=Calibration())
    assert compose(evidence((found(0, 9, "ORG", 0.9),), (card,)), serving={}, calibration=Calibration()) == calm


def test_compose_is_never_sure_of_an_untrained_pipeline() -> None:
    """Where no recognizer looked, finding nothing proves nothing."""
    assert compose(evidence(missed=(), blind=True), serving={}, calibration=Calibration()).score < 0.6


def test_compose_of_very_many_spans_is_quick() -> None:
    """A long document with twenty thousand candidates is put together in well under a second or two."""
    spans = tuple(found(10 * n, 10 * n + 5, "A", 0.9) for n in range(20_000))
    patterns = tuple(found(10 * n + 3, 10 * n + 8, "B", 0.5, "pattern") for n in range(20_000))
    seen = evidence(spans, patterns, missed=(0.1,) * 100_000)
    assert len(compose(seen, serving={}, calibration=Calibration()).spans) == 20_000
