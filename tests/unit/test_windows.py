from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.prediction.windows import Window, cut_reading_windows, cut_windows, in_portions
from training.spans import Span


@given(st.text(alphabet="ab .\n。é", max_size=300), st.integers(min_value=4, max_value=50))
def test_windows_cover_a_text_without_gap_or_overlap(text: str, size: int) -> None:
    """Joined again, the windows are the text, and none is longer than asked for."""
    windows = cut_windows(text, size=size)
    assert "".join(text[start:end] for start, end in windows) == text
    assert all(end - start <= size for start, end in windows)
    assert all(end > start for start, end in windows) or text == ""


def test_windows_leave_a_short_text_alone() -> None:
    """A text that fits is one window, an empty one too."""
    assert cut_windows("a b. c", size=6) == [(0, 6)]
    assert cut_windows("", size=6) == [(0, 0)]


def test_windows_part_a_text_at_the_best_seam_there_is() -> None:
    """Paragraphs come before lines, lines before sentences, sentences before words."""
    assert cut_windows("aaaa. bb\n\ncc dd ee ff gg", size=16)[0] == (0, 10)
    assert cut_windows("aaaa bb cc. dd ee ff gg", size=16)[0] == (0, 12)
    assert cut_windows("aaaa bb cc dd ee ff gg", size=16)[0] == (0, 14)
    assert cut_windows("a" * 40, size=16)[0] == (0, 16)


def test_windows_never_cut_through_a_span() -> None:
    """A gold span stays whole, even where it holds the only seam."""
    text = "a" * 10 + " bbb. ccc " + "d" * 20
    name = Span(8, 22, "NAME")
    for start, end in cut_windows(text, size=16, whole=[name]):
        assert end <= name.start or start >= name.end or (start <= name.start and name.end <= end)


def test_windows_cut_through_a_span_only_where_it_fits_no_window() -> None:
    """A span longer than a window does not stop the cutting."""
    windows = cut_windows("a" * 100, size=16, whole=[Span(0, 100, "NAME")])
    assert max(end - start for start, end in windows) <= 16


@pytest.mark.parametrize("text", ["word " * 500, "x" * 2500, "A sentence ends here.\n\n" * 120])
def test_windows_are_read_with_their_surroundings(text: str) -> None:
    """Both sides of a cut see what stands on the other one; a text that fits is read as it is."""
    windows = cut_reading_windows(text, size=1000)
    assert (windows[0].read_from, windows[-1].read_to) == (0, len(text))
    for before, after in pairwise(windows):
        assert before.end == after.start
        assert before.end - 200 <= after.read_from < after.start
        assert before.end < before.read_to
    assert cut_reading_windows(text[:1000], size=1000) == [Window(0, 1000, 0, 1000)]


def test_portions_are_small_and_in_order() -> None:
    """They hold a limited number of texts and of characters, and lose none; one long text goes alone."""
    texts = ["a", "x" * 11, *"bcdefgh"]
    portions = list(in_portions(texts, str, most=4, chars=10))
    assert [len(portion) for portion in portions] == [1, 1, 4, 3]
    assert [text for portion in portions for text in portion] == texts
