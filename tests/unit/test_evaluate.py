from __future__ import annotations

import pytest

from training.metrics.evaluate import Scores, score_spans
from training.spans import Span


def test_evaluate_counts_a_span_only_when_start_end_and_label_are_right() -> None:
    """A span with one wrong end or a wrong label is both a miss and a false find."""
    gold = [{Span(0, 4, "PERSON"), Span(10, 14, "CITY")}]
    predicted = [{Span(0, 4, "PERSON"), Span(10, 13, "CITY")}]
    scores = score_spans(gold, predicted)
    assert (scores.precision, scores.recall, scores.f1) == (0.5, 0.5, 0.5)
    assert scores.per_label["CITY"].f1 == 0.0
    assert scores.per_label["PERSON"].f1 == 1.0


def test_evaluate_scores_are_micro_averages_over_all_texts() -> None:
    """Counts are summed over texts and labels before anything is divided."""
    gold = [[Span(0, 1, "A"), Span(2, 3, "A"), Span(4, 5, "B")], []]
    predicted = [[Span(0, 1, "A")], [Span(0, 1, "B")]]
    scores = score_spans(gold, predicted)
    assert scores.texts == 2
    assert scores.support == 3
    assert scores.precision == 0.5
    assert scores.recall == pytest.approx(1 / 3)
    assert scores.f1 == pytest.approx(0.4)
    assert scores.per_label["B"].support == 1
    assert scores.per_label["B"].predicted == 1


def test_evaluate_without_any_span_is_zero_not_an_error() -> None:
    """Where nothing is gold and nothing is found every figure is 0."""
    scores = score_spans([[]], [[]])
    assert (scores.precision, scores.recall, scores.f1, scores.per_label) == (0.0, 0.0, 0.0, {})


def test_evaluate_refuses_lists_of_different_length() -> None:
    """Gold and predicted must speak of the same texts."""
    with pytest.raises(ValueError, match="shorter"):
        score_spans([[], []], [[]])


def test_evaluate_scores_come_back_from_json_unchanged() -> None:
    """What is stored beside a model is what was measured."""
    scores = score_spans([[Span(0, 1, "A")]], [[Span(0, 1, "A"), Span(2, 3, "B")]])
    assert Scores.from_json(scores.to_json()) == scores
