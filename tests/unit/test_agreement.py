"""How far annotators agree."""

from __future__ import annotations

import pytest

from training.quality.agreement import AnsweredText, judge_alpha, krippendorff_alpha, measure_agreement
from training.spans import Span

TEXT = "Ada Byron lives in London"
ADA, LONDON = Span(0, 9, "PERSON"), Span(19, 25, "CITY")


def answered(text_id: int = 1, **answers: list[Span]) -> AnsweredText:
    people = {"ada": 1, "bob": 2, "eve": 3}
    return AnsweredText(text_id, TEXT, {people[name]: frozenset(spans) for name, spans in answers.items()})


def test_alpha_is_that_of_the_literature() -> None:
    """Krippendorff's own example of nominal data with four observers and gaps has an alpha of 0.743."""
    observers = (
        "1 2 3 3 2 1 4 1 2 * * *",
        "1 2 3 3 2 2 4 1 2 5 * 3",
        "* 3 3 3 2 3 4 2 2 5 1 *",
        "1 2 3 3 2 4 4 1 2 5 1 *",
    )
    units = [[v for v in unit if v != "*"] for unit in zip(*(row.split() for row in observers), strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.001)


@pytest.mark.parametrize(
    ("alpha", "said"),
    [(0.93, "reliable (0.8"), (0.7, "careful conclusions"), (0.5, "not reliable"), (-0.2, "not reliable")],
)
def test_alpha_is_put_into_words(alpha: float, said: str) -> None:
    """Who reads the figure is told what it is good for."""
    assert said in judge_alpha(alpha)


def test_alpha_says_nothing_where_nothing_varies() -> None:
    """Without two values to compare, or with one value alone, there is no alpha."""
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([["a"], ["b"]]) is None
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None


def test_perfect_agreement() -> None:
    """Who says the same agrees fully, and nobody is asked again."""
    found = measure_agreement([answered(ada=[ADA, LONDON], bob=[ADA, LONDON])])
    assert (found.texts, found.annotators, found.f1, found.alpha) == (1, 2, 1.0, 1.0)
    assert found.ask_again == ()


def test_agreement_by_pair_and_label() -> None:
    """Each pair and each label has its own figures; a text of one annotator counts for none."""
    texts = [
        answered(1, ada=[ADA, LONDON], bob=[ADA], eve=[ADA, LONDON]),
        answered(2, ada=[LONDON], bob=[LONDON]),
        answered(3, ada=[]),
    ]
    found = measure_agreement(texts)
    assert found.texts == 2
    assert [(p.first, p.second, p.texts) for p in found.pairs] == [(1, 2, 2), (1, 3, 1), (2, 3, 1)]
    assert [p.f1 for p in found.pairs] == [pytest.approx(0.8), 1.0, pytest.approx(2 / 3)]
    assert {one.label: one.f1 for one in found.labels} == {"PERSON": 1.0, "CITY": pytest.approx(2 / 3)}
    city = next(one for one in found.labels if one.label == "CITY")
    assert city.spans == 2
    assert city.alpha is not None
    assert city.alpha < 1


def test_the_outvoted_is_asked_again() -> None:
    """Against a majority its opponent is named; where all differ, nobody is."""
    found = measure_agreement([answered(1, ada=[ADA], bob=[], eve=[ADA]), answered(2, ada=[ADA], bob=[LONDON])])
    assert [(ask.text_id, ask.outvoted) for ask in found.ask_again] == [(2, ()), (1, (2,))]


def test_nothing_to_agree_on() -> None:
    """Without a shared text there are no figures; two empty answers agree that there is nothing."""
    assert measure_agreement([]).f1 is None
    found = measure_agreement([answered(ada=[], bob=[])])
    assert (found.texts, found.f1, found.alpha, found.ask_again) == (1, None, None, ())
