"""Rehearsal: what a base model's own predictions may teach beside gold spans, and where nobody has annotated."""

from __future__ import annotations

from training.learning.corpus import Example
from training.learning.rehearsal import add_spans, find_rivals
from training.spans import Span


def test_rehearsal_adds_what_is_free_of_gold_spans() -> None:
    """A gold span comes first: what was found on it is left out, what was found beside it is added."""
    example = Example("Card 4111 of Ada", (Span(5, 9, "CARD"),))
    (joined,) = add_spans([example], [[Span(5, 9, "DATE"), Span(13, 16, "PERSON")]])
    assert joined == Example(example.text, (Span(5, 9, "CARD"), Span(13, 16, "PERSON")))


def test_rivals_touch_a_twentieth_of_one_labels_spans() -> None:
    """A rival may be rare among all gold spans; what touches less than a twentieth of each label's is none."""
    cards = [Example("Card 4111 of Ada", (Span(5, 9, "CARD"),))] * 21
    towns = [Example("in Oslo", (Span(3, 7, "TOWN"),))] * 400
    found: list[list[Span]] = [[Span(0, 9, "DATE"), Span(13, 16, "PERSON")]] * 2 + [[Span(5, 9, "TIME")]]
    found += [[]] * (len(cards) + len(towns) - len(found))
    assert find_rivals([*cards, *towns], found) == {"DATE"}


def test_rivals_need_gold_spans() -> None:
    """Where nothing is annotated no label is anyone's rival."""
    assert find_rivals([Example("in Oslo", ())], [[Span(3, 7, "GPE")]]) == frozenset()
