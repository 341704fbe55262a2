"""Annotations that models contradict."""

from __future__ import annotations

import random

import pytest

from training.quality.label_errors import AuditedText, Doubt, DoubtKind, find_doubts
from training.spans import Span

NAMES = ("Ada Byron", "Jane Doe", "Bob Miller", "Eve Stone")
TOWNS = ("London", "Paris", "Berlin", "Oslo")


def make(number: int, *, label: str = "PERSON", town: bool = True) -> AuditedText:
    """A text about somebody in a town."""
    name, place = NAMES[number % 4], TOWNS[number // 4 % 4]
    text = f"Yesterday {name} went to {place} by train."
    start, end = text.index(name), text.index(place)
    spans = [Span(start, start + len(name), label)]
    if town:
        spans.append(Span(end, end + len(place), "CITY"))
    return AuditedText(text, tuple(spans), number)


def doubts_of(texts: list[AuditedText], number: int) -> list[Doubt]:
    return [doubt for doubt in find_doubts(texts) if doubt.text == number]


def test_a_flipped_label_is_found_first() -> None:
    """A name that somebody called a town is the most suspicious of all, and what it should be is said."""
    texts = [make(n) for n in range(60)]
    texts[17] = make(17, label="CITY")
    (first, *_) = find_doubts(texts)
    assert (first.text, first.kind, first.suggested) == (17, DoubtKind.LABEL, "PERSON")
    assert 0 < first.suspicion <= 1


def test_a_missing_span_is_found() -> None:
    """A town that nobody marked is proposed where it stands."""
    texts = [make(n) for n in range(60)]
    texts[23] = make(23, town=False)
    missing = [doubt for doubt in doubts_of(texts, 23) if doubt.kind is DoubtKind.MISSING]
    assert [(texts[23].text[d.span.start : d.span.end], d.suggested) for d in missing] == [(TOWNS[1], "CITY")]


def test_a_span_too_many_is_found() -> None:
    """A word that is never marked elsewhere is doubted, and nothing is proposed instead."""
    texts = [make(n) for n in range(60)]
    start = texts[5].text.index("train")
    texts[5] = AuditedText(texts[5].text, (*texts[5].spans, Span(start, start + 5, "CITY")), 5)
    found = [doubt for doubt in doubts_of(texts, 5) if doubt.span.start == start]
    assert [(doubt.kind, doubt.suggested) for doubt in found] == [(DoubtKind.EXTRA, None)]


def test_the_same_texts_give_the_same_doubts() -> None:
    """The seed decides."""
    texts = [make(n, label=random.Random(n).choice(("PERSON", "CITY"))) for n in range(40)]
    assert find_doubts(texts, seed=3) == find_doubts(texts, seed=3)


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [AuditedText("", (), 1)],
        [AuditedText("no span at all", (), n) for n in range(10)],
        [AuditedText("x", (Span(0, 1, "ONE"),), n) for n in range(10)],
        [make(n) for n in range(1)],
    ],
)
def test_where_nothing_can_be_learnt_nothing_is_doubted(texts: list[AuditedText]) -> None:
    """No text, no span, one label for everything, one text: there are no doubts, and no error."""
    assert find_doubts(texts) == []


def test_one_label_is_enough() -> None:
    """With a single label, missing spans can still be found."""
    texts = [
        AuditedText(one.text, tuple(s for s in one.spans if s.label == "PERSON"), n)
        for n in range(60)
        for one in [make(n)]
    ]
    texts[9] = AuditedText(texts[9].text, (), 9)
    assert {doubt.kind for doubt in doubts_of(texts, 9)} == {DoubtKind.MISSING}


def test_test_texts_teach_nobody() -> None:
    """What only a test text says is known to no model: so the same words elsewhere are in no doubt."""
    texts = [make(n) for n in range(40)]
    odd = [
        AuditedText(f"The zeppelin number {n} landed.", (Span(4, 12, "CITY"),), 100 + n, trains=False)
        for n in range(20)
    ]
    plain = AuditedText("The zeppelin number 99 landed.", (), 200)
    assert [d for d in find_doubts([*texts, *odd, plain]) if d.text == 60 and d.kind is DoubtKind.MISSING] == []
