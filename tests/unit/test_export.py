"""Exports' pure rules: which spans stand in a sequence of tags, and what the card counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import spacy

from training.exports.card import Agreement, Tally
from training.exports.examples import ExportExample, open_example
from training.exports.readme import render_card
from training.exports.tokens import align
from training.spans import Span
from training.store.verified import Opinion, VerifiedText

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NLP = spacy.blank("en")


def example(text: str, *spans: Span, part: str = "train") -> ExportExample:
    """An example of this text."""
    return ExportExample("e1", text, part, tuple(sorted(spans)), "label_studio", NOW)


def opinion(*spans: Span) -> Opinion:
    """What an annotator said."""
    return Opinion(1, [span.to_json() for span in spans])


def test_export_tags_follow_what_is_trained() -> None:
    """Of overlaps the longest is tagged; neighbours of one label begin anew; each span is tagged or listed."""
    text = "Ada Byron Bob Rome"
    spans = [Span(0, 9, "P"), Span(4, 9, "P"), Span(10, 13, "P"), Span(14, 18, "A"), Span(14, 18, "B"), Span(1, 3, "P")]
    found = align(example(text, *spans), NLP.make_doc(text))
    assert found.tags() == ["B-P", "I-P", "B-P", "O"]
    assert found.tags(offered=["Q"]) == ["O"] * 4
    listed = [entry.span for entry in (*found.untagged, *found.unaligned)]
    assert sorted([*listed, *(tagged.span for tagged in found.tagged)]) == sorted(spans)
    assert {tagged.span for tagged in found.aligned} == set(spans) - {Span(1, 3, "P")}


def test_export_lists_spans_outside_their_text() -> None:
    """No format can hold a span that its text does not reach, so it is listed before anything is written."""
    rows = [Span(0, 3, "P").to_json(), Span(0, 3, "P").to_json(), Span(2, 9, "P").to_json(), Span(1, 1, "P").to_json()]
    stored = VerifiedText("e1", 1, "Ada", "dev", rows, "manual", None, ())
    found, missing = open_example(stored)
    assert found.spans == (Span(0, 3, "P"),)
    assert [entry.span for entry in missing] == [Span(1, 1, "P"), Span(2, 9, "P")]


@pytest.mark.parametrize(
    ("opinions", "expected"),
    [
        ([], None),
        ([opinion(Span(0, 1, "A"))], None),
        ([opinion(), opinion()], {"texts": 1, "identical": 1.0, "span_f1": 1.0}),
        ([opinion(Span(0, 1, "A")), opinion(Span(0, 1, "B"))], {"texts": 1, "identical": 0.0, "span_f1": 0.0}),
        (
            [opinion(Span(0, 1, "A")), opinion(Span(0, 1, "A")), opinion()],
            {"texts": 1, "identical": 0.0, "span_f1": 0.3333},
        ),
    ],
)
def test_export_agreement_is_over_pairs_of_annotators(opinions: list[Opinion], expected: Any) -> None:
    """Where several labelled a text every pair of them counts, by exact spans; two who found nothing agree."""
    agreement = Agreement()
    agreement.add(opinions)
    assert agreement.to_json() == expected


def test_export_content_hash_names_the_data() -> None:
    """The hash changes with part, text and spans, and with nothing else."""

    def hash_of(*given: ExportExample) -> str:
        tally = Tally()
        for one in given:
            tally.add(one, ())
        return tally.content_hash

    plain = hash_of(example("Ada"))
    renamed = ExportExample("other", "Ada", "train", (), "manual", None)
    assert hash_of(renamed) == plain
    changed = [example("Ada", part="dev"), example("Bob"), example("Ada", Span(0, 3, "P"))]
    assert len({plain, *(hash_of(one) for one in changed)}) == 4


def test_export_card_keeps_its_tables_whole() -> None:
    """A title or label with a bar or a line break does not break the page; unknown labels are told apart."""
    tally = Tally()
    tally.add(example("Ada", Span(0, 3, "A|B\nC")), [opinion(), opinion()])
    card = {
        "project": {"id": 1, "title": "T", "language": "en", "verification_rule": "submitted", "labels": []},
        "format": "csv",
        "written_at": NOW.isoformat(),
        "models": [{"version": "v1", "live": True, "trained_at": None, "f1": 0.51234}],
        "files": [{"name": "train.csv", "part": "train", "bytes": 12345, "sha256": "abc"}],
        "not_held": {"file": "not-held.jsonl", "spans": 1, "texts": 0, "reasons": {"overlaps": 1}},
        **tally.to_json(),
    }
    page = render_card(card)
    assert "| A\\|B C | not one of the project's | 1 | 1 |" in page
    assert "| v1 | live | not trained | 0.512 |" in page
    assert "| train.csv | train | 12,345 | `abc` |" in page
    assert "Listed in not-held.jsonl by example id; spans: 1, whole texts: 0." in page
    assert "100.0% of them with identical spans" in page
