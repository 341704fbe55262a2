from __future__ import annotations

from typing import Any

import pytest
import spacy
from spacy.scorer import get_ner_prf
from spacy.training import Example as SpacyExample

from training.learning.corpus import Example, Misalignment, build_corpus, sound_examples
from training.spans import Span


@pytest.fixture(scope="module")
def nlp() -> Any:
    return spacy.blank("en")


def entities(doc: Any) -> list[tuple[str, str]]:
    return [(entity.text, entity.label_) for entity in doc.ents]


def test_corpus_holds_each_gold_span_as_an_entity(nlp: Any) -> None:
    """Spans that fit the tokens become entities, and none is reported."""
    corpus = build_corpus(nlp, [Example("Ada met Bo in Rome.", (Span(0, 3, "P"), Span(8, 10, "P"), Span(14, 18, "C")))])
    assert entities(corpus.docs[0]) == [("Ada", "P"), ("Bo", "P"), ("Rome", "C")]
    assert (corpus.spans, corpus.misaligned) == (3, ())


def test_corpus_of_a_text_without_spans_teaches_that_there_are_none(nlp: Any) -> None:
    """A text without spans is an example of nothing, not a text that nobody looked at."""
    [doc] = build_corpus(nlp, [Example("nothing here", ())]).docs
    assert {token.ent_iob_ for token in doc} == {"O"}


def test_corpus_trains_a_span_through_a_token_on_the_whole_token(nlp: Any) -> None:
    """A span that begins or ends inside a token is widened to it, and listed with what is trained instead."""
    corpus = build_corpus(nlp, [Example("x", ()), Example("code A42xB7 here", (Span(6, 9, "ID"),))])
    assert entities(corpus.docs[1]) == [("A42xB7", "ID")]
    assert corpus.misaligned == (Misalignment(1, Span(6, 9, "ID"), Span(5, 11, "ID")),)


def test_corpus_lists_a_span_that_loses_its_token_to_a_longer_one(nlp: Any) -> None:
    """Of two spans that need the same token the longer trains; the other is listed as left out."""
    corpus = build_corpus(nlp, [Example("A42xB7z9", (Span(0, 5, "ID"), Span(5, 7, "KEY")))])
    assert entities(corpus.docs[0]) == [("A42xB7z9", "ID")]
    assert Misalignment(0, Span(5, 7, "KEY"), None) in corpus.misaligned


def test_corpus_trims_white_space_from_spans(nlp: Any) -> None:
    """White space at a span's ends is no part of the entity, and no fault."""
    corpus = build_corpus(nlp, [Example("to  Rome \n now", (Span(2, 10, "C"),))])
    assert entities(corpus.docs[0]) == [("Rome", "C")]
    assert corpus.misaligned == ()


def test_corpus_cuts_a_long_text_and_keeps_its_spans(nlp: Any) -> None:
    """The windows of a long text hold all its entities, none cut in two."""
    sentence = "Ada Brandt lives in San Tarin now. "
    spans = tuple(
        span for n in range(300) for span in (Span(n * 35, n * 35 + 10, "P"), Span(n * 35 + 20, n * 35 + 29, "C"))
    )
    corpus = build_corpus(nlp, [Example(sentence * 300, spans)])
    assert len(corpus.docs) > 2
    found = [entity for doc in corpus.docs for entity in entities(doc)]
    assert found == [("Ada Brandt", "P"), ("San Tarin", "C")] * 300
    assert corpus.misaligned == ()


def test_corpus_lists_a_span_that_fits_no_window(nlp: Any) -> None:
    """A span longer than any window cannot train, and is listed."""
    text = "word " * 2000
    corpus = build_corpus(nlp, [Example(text, (Span(0, len(text), "LONG"),))])
    assert corpus.misaligned == (Misalignment(0, Span(0, len(text), "LONG"), None),)


def test_corpus_takes_only_spans_that_can_train() -> None:
    """Unknown labels, spans outside of the text and the shorter of overlapping ones are left out beforehand."""
    example = Example("Ada Brandt", (Span(0, 10, "P"), Span(4, 10, "P"), Span(0, 3, "X"), Span(5, 11, "P")))
    assert sound_examples([example], ["P"]) == [Example("Ada Brandt", (Span(0, 10, "P"),))]


def test_corpus_hides_labels_from_the_scorer(nlp: Any) -> None:
    """Where a label is hidden, a prediction counts neither as right nor as wrong; all others count as before."""
    corpus = build_corpus(nlp, [Example("Ada in Oslo", (Span(0, 3, "PERSON"), Span(7, 11, "GPE")))])
    hidden = corpus.hide({"GPE"})
    for found, f1 in (((), 0.0), (((0, 3, "PERSON"),), 1.0), (((0, 3, "PERSON"), (7, 11, "GPE")), 1.0)):
        doc = nlp.make_doc("Ada in Oslo")
        doc.set_ents([doc.char_span(start, end, label=label) for start, end, label in found])
        assert get_ner_prf([SpacyExample(doc, hidden.docs[0])])["ents_f"] == f1
    assert [ent.label_ for ent in corpus.docs[0].ents] == ["PERSON", "GPE"]
