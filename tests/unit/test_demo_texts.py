"""Texts made up for demonstrations."""

from __future__ import annotations

from collections import Counter

import pytest

from config.errors import InvalidInput
from training.demo.templates import PLAIN, TEMPLATES
from training.demo.texts import FILLINGS, generate
from training.spans import find_problems
from training.taxonomy import load_taxonomy

MADE = list(generate(1500, seed=7))


def test_demo_texts_have_spans_that_can_be_learnt() -> None:
    """Each span lies where its value was put, under a label of the default taxonomy, and none has a problem."""
    labels = load_taxonomy(None).names
    assert all(not find_problems(made.text, made.spans, labels) for made in MADE)
    assert all(span.start == 0 or not made.text[span.start].isspace() for made in MADE for span in made.spans)


def test_demo_texts_cover_the_default_taxonomy() -> None:
    """Every shipped leaf occurs, often enough to be learnt from."""
    seen = Counter(span.label for made in MADE for span in made.spans)
    assert set(seen) == set(load_taxonomy(None).names)
    assert min(seen.values()) >= 10


def test_demo_texts_vary() -> None:
    """No text comes twice, there are many templates, and some texts hold no entity."""
    assert len({made.text for made in MADE}) == len(MADE)
    assert len(set(TEMPLATES)) >= 60
    assert len({made.template for made in MADE}) == len(TEMPLATES) + len(PLAIN)
    assert 0.05 < sum(not made.spans for made in MADE) / len(MADE) < 0.2


def test_demo_texts_are_the_same_for_a_seed() -> None:
    """A seed always gives the same texts, another seed others."""
    assert list(generate(50, seed=7)) == MADE[:50]
    assert list(generate(50, seed=8)) != MADE[:50]


def test_demo_texts_have_a_filling_for_each_leaf() -> None:
    """Whoever adds a leaf to the shipped taxonomy adds a filling."""
    assert set(load_taxonomy(None).names) <= set(FILLINGS)


def test_demo_texts_in_an_unknown_language_are_refused() -> None:
    """A language without templates is refused at once, with those that there are."""
    with pytest.raises(InvalidInput, match="there are some in en"):
        generate(1, seed=1, language="tlh")
