"""Regions and spans."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.convert import spans_of, to_regions
from sync.labelling import LabellingConfig
from training.spans import Problem, ScoredSpan, Span

CONFIG = LabellingConfig("label", "text", "text", ("PERSON", "SSN"))
TEXT = "Ada 👩‍⚕️ é Byron\r\n\tLovelace"


def region(start: Any, end: Any, labels: Any = ("PERSON",), **changes: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": list(labels) if isinstance(labels, tuple) else labels}
    if isinstance(start, int) and isinstance(end, int):
        value["text"] = TEXT[start:end]
    return {"id": "x", "from_name": "label", "to_name": "text", "type": "labels", "value": value, **changes}


def test_spans_of_reads_regions_sorted() -> None:
    """Each region is one span, in order of place."""
    assert spans_of([region(11, 16, ("SSN",)), region(0, 3)], CONFIG, TEXT).spans == (
        Span(0, 3, "PERSON"),
        Span(11, 16, "SSN"),
    )
    assert spans_of([], CONFIG, TEXT).problems == ()


def test_spans_of_keeps_a_region_with_several_labels_and_says_so() -> None:
    """Several labels on one region are several spans, each reported."""
    found = spans_of([region(0, 3, ("SSN", "PERSON", "SSN"))], CONFIG, TEXT)
    assert found.spans == (Span(0, 3, "PERSON"), Span(0, 3, "SSN"))
    assert {(p.span, p.problem) for p in found.problems} == {(span, Problem.SEVERAL_LABELS) for span in found.spans}


@pytest.mark.parametrize("labels", [[], None, "PERSON", [5], [""]])
def test_spans_of_reports_a_region_without_label(labels: Any) -> None:
    """A region that carries no label is no span, and is reported with its place."""
    found = spans_of([region(0, 3, labels)], CONFIG, TEXT)
    assert found.spans == ()
    assert [p.problem for p in found.problems] == [Problem.NO_LABEL]
    assert "0 to 3" in found.problems[0].detail


def test_spans_of_holds_to_offsets_where_the_quote_differs() -> None:
    """A region whose quoted text differs keeps its offsets; the report quotes nothing."""
    shifted = region(0, 3)
    shifted["value"]["text"] = "Ad"
    found = spans_of([shifted], CONFIG, TEXT)
    assert found.spans == (Span(0, 3, "PERSON"),)
    assert [p.problem for p in found.problems] == [Problem.TEXT_MISMATCH]
    assert "Ad" not in found.problems[0].detail


def test_spans_of_leaves_other_controls_out() -> None:
    """Choices, relations and regions of other controls are neither spans nor faults."""
    others = [
        region(0, 3, from_name="other"),
        region(0, 3, to_name="other"),
        region(0, 3, type="choices"),
        {"type": "relation", "from_id": "a", "to_id": "b"},
    ]
    assert spans_of(others, CONFIG, TEXT) == spans_of([], CONFIG, TEXT)


@pytest.mark.parametrize(
    "result",
    [None, {}, "x", [None], [5], [region("0", 3)], [region(0.5, 3)], [region(True, 3)], [region(None, None)]],
)
def test_spans_of_never_raises(result: Any) -> None:
    """Whatever a result holds, nothing breaks, and no wrong span comes of it."""
    assert spans_of(result, CONFIG, TEXT).spans == ()


def test_spans_of_keeps_offsets_outside_the_text() -> None:
    """A span outside its text is kept as it came; what it is worth is decided where all spans are judged."""
    assert spans_of([region(5, 900), region(-2, 3)], CONFIG, TEXT).spans == (
        Span(-2, 3, "PERSON"),
        Span(5, 900, "PERSON"),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "value", "start", "end", "labels", "text", "from_name"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_spans_of_takes_any_json(result: Any) -> None:
    """No JSON whatever makes it raise."""
    spans_of(result, CONFIG, TEXT)


@given(st.data())
def test_regions_read_back_are_the_spans_they_came_from(data: st.DataObject) -> None:
    """Written as regions and read back, spans are the same, also around emoji and line breaks."""
    places = data.draw(st.lists(st.tuples(st.integers(0, len(TEXT) - 1), st.integers(1, 8)), unique=True))
    spans = {
        ScoredSpan(start, min(start + size, len(TEXT)), label, 0.5)
        for start, size in places
        for label in data.draw(st.lists(st.sampled_from(CONFIG.labels), max_size=1))
    }
    found = spans_of(to_regions(spans, CONFIG, TEXT), CONFIG, TEXT)
    assert set(found.spans) == {s.span for s in spans}
    assert all(p.problem is Problem.SEVERAL_LABELS for p in found.problems) or not found.problems


def test_to_regions_gives_a_span_the_same_id_each_time() -> None:
    """The same span has the same region id in every version's prediction, with its own score."""
    first = to_regions([ScoredSpan(0, 3, "PERSON", 0.9), ScoredSpan(0, 3, "SSN", 0.2)], CONFIG, TEXT)
    second = to_regions([ScoredSpan(0, 3, "PERSON", 0.1)], CONFIG, TEXT)
    assert first[0]["id"] == second[0]["id"] != first[1]["id"]
    assert (first[0]["score"], second[0]["score"]) == (0.9, 0.1)
    assert first[0]["value"] == {"start": 0, "end": 3, "text": "Ada", "labels": ["PERSON"]}


def test_to_regions_leaves_out_what_label_studio_would_refuse() -> None:
    """Labels the config lacks and spans that are empty or outside the text never reach Label Studio."""
    spans = [ScoredSpan(0, 3, "OTHER", 1.0), ScoredSpan(2, 2, "SSN", 1.0), ScoredSpan(0, 900, "SSN", 1.0)]
    assert to_regions(spans, CONFIG, TEXT) == []


def test_to_regions_names_the_control_that_offers_the_label() -> None:
    """Where labels are spread over several controls, each region names its own."""
    config = LabellingConfig("a", "text", "text", ("PERSON", "SSN"), (("SSN", "b"),))
    found = to_regions([ScoredSpan(0, 3, "PERSON", 1.0), ScoredSpan(11, 16, "SSN", 1.0)], config, TEXT)
    assert [r["from_name"] for r in found] == ["a", "b"]
    assert len(spans_of(found, config, TEXT).spans) == 2
