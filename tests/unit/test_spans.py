"""What can be learnt from a text's spans, and what is reported instead (rule 5)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import SpanInvalid
from training.spans import (
    Prediction,
    Problem,
    ScoredSpan,
    Span,
    drop_overlaps,
    find_problems,
    hash_text,
    parse_spans,
    trainable_spans,
    with_finite_scores,
)

LABELS = ("PERSON", "CITY")
TEXT = "Ada Byron lives in  London"

some_spans = st.lists(
    st.builds(Span, st.integers(-2, 30), st.integers(-2, 30), st.sampled_from(["PERSON", "CITY", "MOON"])), max_size=8
)


def problems(*spans: Span) -> list[Problem]:
    """The problems of these spans in the text above."""
    return [found.problem for found in find_problems(TEXT, spans, LABELS)]


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        (Span(0, 99, "PERSON"), Problem.OUT_OF_TEXT),
        (Span(-1, 3, "PERSON"), Problem.OUT_OF_TEXT),
        (Span(5, 2, "PERSON"), Problem.OUT_OF_TEXT),
        (Span(4, 4, "PERSON"), Problem.EMPTY),
        (Span(18, 20, "CITY"), Problem.WHITESPACE),
        (Span(0, 9, "MOON"), Problem.UNKNOWN_LABEL),
    ],
)
def test_spans_that_cannot_be_learnt_from_are_reported(span: Span, problem: Problem) -> None:
    """A span that its text or project cannot hold is reported with its reason, and not trained."""
    assert problems(span) == [problem]
    assert trainable_spans(TEXT, [span], LABELS) == ()


def test_spans_overlapping_train_the_longest() -> None:
    """Of spans that overlap the longest trains, and the others are reported."""
    whole, part = Span(0, 9, "PERSON"), Span(4, 9, "PERSON")
    assert problems(part, whole) == [Problem.OVERLAP]
    assert trainable_spans(TEXT, [part, whole], LABELS) == (whole,)


def test_spans_of_one_region_with_several_labels_train_none() -> None:
    """A region with two labels is reported once a label, and trains neither."""
    two = [Span(0, 9, "PERSON"), Span(0, 9, "CITY")]
    assert problems(*two) == [Problem.SEVERAL_LABELS] * 2
    assert trainable_spans(TEXT, two, LABELS) == ()


def test_spans_of_a_region_with_two_labels_do_not_hide_a_shorter_one() -> None:
    """A region that cannot be trained does not take the place of a span within it."""
    inner = Span(0, 3, "PERSON")
    assert trainable_spans(TEXT, [Span(0, 9, "PERSON"), Span(0, 9, "CITY"), inner], LABELS) == (inner,)


def test_spans_given_twice_train_once() -> None:
    """A span that stands twice is reported, and trains once."""
    twice = [Span(0, 9, "PERSON"), Span(0, 9, "PERSON")]
    assert problems(*twice) == [Problem.DUPLICATE]
    assert trainable_spans(TEXT, twice, LABELS) == (twice[0],)


@given(some_spans)
def test_spans_are_trained_or_reported(spans: list[Span]) -> None:
    """No span vanishes: each one trains, or is reported."""
    trained = set(trainable_spans(TEXT, spans, LABELS))
    reported = {found.span for found in find_problems(TEXT, spans, LABELS) if found.problem != Problem.DUPLICATE}
    assert trained | reported == set(spans)
    assert not trained & reported


@given(some_spans)
def test_spans_that_train_have_no_problem_left(spans: list[Span]) -> None:
    """What trains is free of every problem, so that training it anew changes nothing."""
    trained = trainable_spans(TEXT, spans, LABELS)
    assert find_problems(TEXT, trained, LABELS) == []
    assert trainable_spans(TEXT, trained, LABELS) == trained


@given(st.lists(st.builds(Span, st.integers(0, 20), st.integers(21, 40), st.just("PERSON"))))
def test_spans_without_overlaps_keep_a_longest_one(spans: list[Span]) -> None:
    """Of spans that all overlap one remains, and none is longer."""
    kept = drop_overlaps(spans)
    assert len(kept) == min(1, len(spans))
    assert all(span.end - span.start <= kept[0].end - kept[0].start for span in spans)


@given(some_spans)
def test_spans_that_were_dropped_overlap_one_that_stayed(spans: list[Span]) -> None:
    """Kept spans never overlap, come in order, and each dropped one overlaps a kept one at least as long."""
    sound = [span for span in spans if span.start < span.end]
    kept = drop_overlaps(sound)
    assert list(kept) == sorted(kept)
    assert all(one.end <= two.start for one, two in pairwise(kept))
    for span in set(sound) - set(kept):
        assert any(
            other.start < span.end and span.start < other.end and other.end - other.start >= span.end - span.start
            for other in kept
        )


def test_spans_by_the_ten_thousand_are_sorted_out_at_once() -> None:
    """A long document with very many spans takes time by their number, not by its square."""
    many = [Span(at, at + 3, "PERSON") for at in range(0, 100_000, 2)]
    assert len(drop_overlaps(many)) == 25_000
    assert len(find_problems("x" * 100_010, many, LABELS)) == 25_000


@pytest.mark.parametrize(
    "row", [{}, {"start": 0, "end": 3}, {"start": "0", "end": 3, "label": "A"}, {"start": True, "end": 3, "label": "A"}]
)
def test_spans_of_a_wrong_type_are_refused(row: dict[str, Any]) -> None:
    """A stored span without whole numbers and a label is refused with its place."""
    with pytest.raises(SpanInvalid, match="span 1 needs"):
        parse_spans([{"start": 0, "end": 1, "label": "A"}, row])


@given(st.lists(st.builds(Span, st.integers(), st.integers(), st.text())))
def test_spans_survive_their_storage(spans: list[Span]) -> None:
    """Stored spans come back sorted and otherwise as they were."""
    assert parse_spans(span.to_json() for span in spans) == tuple(sorted(spans))


def test_spans_texts_are_known_by_their_hash() -> None:
    """The hash tells texts apart by every character, and takes half a character too."""
    assert hash_text("a") != hash_text("a ")
    assert len(hash_text("\ud800")) == 64


def test_scores_that_are_no_numbers_become_nil() -> None:
    """Neither JSON nor a queue can hold them; what is a number stays."""
    spans = (ScoredSpan(0, 1, "A", float("nan")), ScoredSpan(2, 3, "A", 0.5))
    found = with_finite_scores(Prediction(spans, float("inf")))
    assert ([span.score for span in found.spans], found.score) == ([0.0, 0.5], 0.0)
