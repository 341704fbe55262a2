"""Entities as applications write them: found where their text stands, or refused with the reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import SpanInvalid
from training.entities import GivenEntity, name_left_out, read_entities, read_taxonomy, refuse_problems
from training.spans import Span

TEXT = "Ann met Ann Lee. Lee paid with 4111."
TAXONOMY = read_taxonomy(
    [
        {"name": "PERSON", "group": "PII", "aliases": ["PER"]},
        {"name": "CREDIT_CARD", "group": "FINANCIAL"},
    ]
)


def read(*entities: GivenEntity, text: str = TEXT) -> tuple[list[tuple[int, int, str]], list[str], list[str]]:
    """The spans, and the paths of warnings and of problems."""
    found = read_entities(text, entities, TAXONOMY, path="entities")
    spans = [(span.start, span.end, span.label) for span in found.spans]
    return spans, [one.path for one in found.warnings], [one.path for one in found.problems]


def test_entities_stay_where_their_text_stands() -> None:
    """Offsets that fit are taken as they are, even where the same words stand elsewhere too."""
    assert read(GivenEntity(8, 11, "Ann", "PII", "PERSON")) == ([(8, 11, "PERSON")], [], [])


@pytest.mark.parametrize(("start", "place"), [(0, 0), (1, 0), (3, 0), (5, 8), (9, 8), (30, 8), (500, 8)])
def test_entities_move_to_the_nearest_occurrence(start: int, place: int) -> None:
    """Where the slice differs, the nearest place of the entity's text is taken, also from outside the text."""
    spans, warnings, problems = read(GivenEntity(start, start + 3, "Ann", "PII", "PERSON"))
    assert spans == [(place, place + 3, "PERSON")]
    assert (warnings, problems) == ([] if start == place else ["entities.0.start"], [])


def test_entities_count_code_points() -> None:
    """An emoji counts once; a client that counts UTF-16 units is put right by the entity's text."""
    text = "😀😀 Ann"
    assert read(GivenEntity(3, 6, "Ann", "PERSON"), text=text)[0] == [(3, 6, "PERSON")]
    assert read(GivenEntity(5, 8, "Ann", "PERSON"), text=text)[:2] == ([(3, 6, "PERSON")], ["entities.0.start"])


def test_entities_without_a_text_go_by_their_offsets() -> None:
    """Offsets alone are believed, as long as they lie in the text and hold more than white space."""
    assert read(GivenEntity(0, 3, None, "PERSON"))[0] == [(0, 3, "PERSON")]
    assert read(GivenEntity(30, 99, None, "PERSON"))[2] == ["entities.0.end"]
    assert read(GivenEntity(3, 4, None, "PERSON"))[2] == ["entities.0.end"]


@pytest.mark.parametrize(
    ("label", "sublabel"), [("PII", "person"), ("PERSON", None), ("per", None), (None, "PER"), ("pii", "PER")]
)
def test_entities_find_their_leaf(label: str | None, sublabel: str | None) -> None:
    """The leaf is known by name or alias, in any case, in `sublabel` or else in `label`."""
    assert read(GivenEntity(0, 3, None, label, sublabel)) == ([(0, 3, "PERSON")], [], [])


def test_entities_warn_of_a_group_that_is_not_the_leafs() -> None:
    """A leaf under a wrong group is taken, and said."""
    assert read(GivenEntity(0, 3, None, "FINANCIAL", "PERSON"))[:2] == ([(0, 3, "PERSON")], ["entities.0.label"])


def test_entities_with_an_unknown_label_are_told_the_known_ones() -> None:
    """The message lists the leaves; for a group, those of that group."""
    found = read_entities(
        TEXT, [GivenEntity(0, 3, None, "X"), GivenEntity(4, 7, None, "financial")], TAXONOMY, path="e"
    )
    assert [problem.path for problem in found.problems] == ["e.0.label", "e.1.label"]
    assert "PERSON, CREDIT_CARD" in found.problems[0].message
    assert found.problems[1].message.endswith("one of CREDIT_CARD")


def test_entities_must_not_collide() -> None:
    """Of entities that overlap or are the same, each later one is named; neighbours are fine."""
    assert read(GivenEntity(0, 7, None, "PERSON"), GivenEntity(4, 5, None, "PERSON"))[2] == ["entities.1"]
    assert read(GivenEntity(8, 15, None, "PERSON"), GivenEntity(8, 15, None, "CREDIT_CARD"))[2] == ["entities.0"]
    inside = [GivenEntity(0, 20, None, "PERSON"), GivenEntity(2, 5, None, "PERSON"), GivenEntity(8, 11, None, "PERSON")]
    assert read(*inside)[2] == ["entities.1", "entities.2"]
    assert read(GivenEntity(0, 3, None, "PERSON"), GivenEntity(3, 7, None, "PERSON"))[2] == []


def test_entities_that_are_wrong_are_refused_all_at_once() -> None:
    """One error names everything that is wrong, in whatever list it stands."""
    wrong = read_entities(TEXT, [GivenEntity(5, 2, None, "X")], TAXONOMY, path="entities")
    also = read_entities(TEXT, [GivenEntity(0, 3, "Bob", "PERSON")], TAXONOMY, path="corrected_entities")
    with pytest.raises(SpanInvalid, match="and 2 more") as raised:
        refuse_problems(wrong, also)
    paths = [problem["path"] for problem in raised.value.details["problems"]]
    assert paths == ["entities.0.end", "entities.0.label", "corrected_entities.0.text"]


def test_entities_left_out_of_the_full_set_are_named() -> None:
    """Each predicted span that the correction lacks gets a warning; a moved one counts as left out."""
    shown = [Span(0, 3, "PERSON"), Span(8, 15, "PERSON")]
    assert len(name_left_out(shown, [Span(8, 15, "PERSON")])) == 1
    assert "0 to 3" in name_left_out(shown, [Span(0, 4, "PERSON"), Span(8, 15, "PERSON")])[0].message
    assert name_left_out(shown, shown) == []


@given(
    st.text(max_size=40),
    st.integers(0, 60),
    st.integers(0, 60),
    st.one_of(st.none(), st.text(max_size=5)),
    st.sampled_from(["PERSON", "PER", "X", ""]),
)
def test_entities_are_never_read_as_anything_but_what_they_say(
    text: str, start: int, end: int, said: str | None, label: str
) -> None:
    """Whatever comes in, a span that comes out lies in the text and cuts out the entity's words."""
    found = read_entities(text, [GivenEntity(start, end, said, label)], TAXONOMY, path="entities")
    for span in found.spans:
        assert 0 <= span.start < span.end <= len(text)
        assert said is None or text[span.start : span.end] == said
    assert bool(found.spans) is not bool(found.problems)
