from __future__ import annotations

from typing import Any

import pytest
import spacy

from training.learning.corpus import Example, build_corpus
from training.learning.tokenizers import BOUNDARIES, OWN, WANTED_SHARE, choose_tokenizer, measure_fit
from training.spans import Span

GLUED = [("ID:A-42x/7", "A-42x/7"), ("call tel.030-12 now", "030-12"), ("Age:45y.", "45"), ("Age:45y.", "45y")]


@pytest.fixture
def nlp() -> Any:
    return spacy.blank("en")


def example(text: str, *parts: str) -> Example:
    spans = (Span(text.index(part), text.index(part) + len(part), "ID") for part in parts)
    return Example(text, tuple(spans))


GLUED_EXAMPLES = [example(*row) for row in GLUED]


def test_tokenizer_stays_where_the_labels_fit_it(nlp: Any) -> None:
    """A language's own tokens are kept as long as gold spans lie on them."""
    own = nlp.tokenizer
    assert choose_tokenizer(nlp, [example("Ada Brandt called twice.", "Ada Brandt")]) == OWN
    assert nlp.tokenizer is own


@pytest.mark.parametrize(("odd", "chosen"), [(1, OWN), (2, BOUNDARIES)])
def test_tokenizer_is_cut_finer_beyond_half_a_percent(nlp: Any, odd: int, chosen: str) -> None:
    """Up to 0.5 % of gold spans may cut through tokens; where more do, the finer tokenizer comes in."""
    plain = [example("Ada called", "Ada")] * (200 - odd)
    assert choose_tokenizer(nlp, [*plain, *GLUED_EXAMPLES[2:3] * odd]) == chosen


def test_tokenizer_parts_codes_that_are_glued_to_words(nlp: Any) -> None:
    """Codes inside of words lie on whole tokens afterwards, and are trained exactly as annotated."""
    assert measure_fit(nlp, GLUED_EXAMPLES).share < WANTED_SHARE
    assert choose_tokenizer(nlp, GLUED_EXAMPLES) == BOUNDARIES
    corpus = build_corpus(nlp, GLUED_EXAMPLES)
    assert [entity.text for doc in corpus.docs for entity in doc.ents] == [part for _, part in GLUED]
    assert corpus.misaligned == ()


def test_tokenizer_that_no_cut_helps_stays(nlp: Any) -> None:
    """Spans inside of plain words fit neither tokenizer; then the language's own stays."""
    assert choose_tokenizer(nlp, [example("Haustür", "tür")]) == OWN


def test_tokenizer_of_boundaries_keeps_every_character(nlp: Any) -> None:
    """Whatever the text, its tokens add up to it, and are the same after the tokenizer was saved and read."""
    choose_tokenizer(nlp, GLUED_EXAMPLES)
    again = spacy.blank("en")
    again.tokenizer.from_bytes(nlp.tokenizer.to_bytes())
    for text in ("  a_b\n\n:-) don't e.g. 5.00€ y. http://x.org/ü9ß? ", "", "東京2024年", "a\tb\u00a0c\u200bd"):
        assert nlp.make_doc(text).text == text
        assert [token.text for token in again.make_doc(text)] == [token.text for token in nlp.make_doc(text)]


@pytest.mark.parametrize("language", ["de", "xx", "fr", "ru"])
def test_tokenizer_parts_in_other_languages(language: str) -> None:
    """The boundaries are those of Unicode's letters and digits, whatever the language."""
    nlp = spacy.blank(language)
    assert (
        choose_tokenizer(nlp, [example("Straße:Köln50672a", "Köln", "50672"), example("год2024г", "2024")])
        == BOUNDARIES
    )
