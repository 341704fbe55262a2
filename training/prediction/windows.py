"""Cutting long texts into windows that fit the memory at hand, without cutting through what must stay whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from training.spans import Span

# In characters; about 800 words of English. Nothing that is shorter is ever cut.
WINDOW_CHARS = 4_000

_SEAMS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n\s*\n\s*",  # between paragraphs
        r"\n\s*",  # between lines
        r"[.!?。！？…]+[\"'”’)\]]*(?:\s+|(?<=[。！？]))",  # between sentences
        r"\s+",  # between words
    )
)


# Read beyond a cut, since a name may go on there: even after a full stop ("St. | Gallen") and a line's end.
MARGIN_CHARS = 200


# What is read between two looks whether to go on: a second of work, however long the texts are.
PORTION_TEXTS, PORTION_CHARS = 64, 50_000

Item = TypeVar("Item")


def in_portions(
    items: Iterable[Item], text_of: Callable[[Item], str], *, most: int = PORTION_TEXTS, chars: int = PORTION_CHARS
) -> Iterator[list[Item]]:
    """The items in order, so many at a time, and no more characters of their texts; a longer text comes alone."""
    portion: list[Item] = []
    taken = 0
    for item in items:
        length = len(text_of(item))
        if portion and (len(portion) >= most or taken + length > chars):
            yield portion
            portion, taken = [], 0
        portion.append(item)
        taken += length
    if portion:
        yield portion


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a text, `start` to `end`, and what of the text is read to say what stands there."""

    start: int
    end: int
    read_from: int
    read_to: int


def cut_reading_windows(text: str, *, size: int = WINDOW_CHARS) -> list[Window]:
    """The windows of `cut_windows`, each read together with its surroundings."""
    return [
        Window(start, end, _word_start(text, start), min(len(text), end + MARGIN_CHARS))
        for start, end in cut_windows(text, size=size)
    ]


def _word_start(text: str, before: int) -> int:
    """Where the first whole word of the margin before a cut begins."""
    earliest = max(0, before - MARGIN_CHARS)
    found = re.search(r"\s\S", text[earliest:before]) if earliest else None
    return earliest + found.start() + 1 if found else earliest


def cut_windows(text: str, *, size: int = WINDOW_CHARS, whole: Sequence[Span] = ()) -> list[tuple[int, int]]:
    """The windows (start, end) that cover the text without gap or overlap, each of at most `size` characters.

    A cut falls after a paragraph, else a line, a sentence or a word, and only where there is none of these anywhere.
    It never falls inside one of the `whole` spans, unless that span alone is longer than a window.
    """
    windows = []
    start = 0
    while len(text) - start > size:
        end = _find_cut(text, start, size=size, whole=whole)
        windows.append((start, end))
        start = end
    windows.append((start, len(text)))
    return windows


def _find_cut(text: str, start: int, *, size: int, whole: Sequence[Span]) -> int:
    limit = start + size
    blocked = [span for span in whole if span.start < limit and span.end > start]
    for end in _candidates(text, start + size // 2, limit):
        if not any(span.start < end < span.end for span in blocked):
            return end
    across = [span.start for span in blocked if span.start < limit < span.end]
    return min(across) if across and min(across) > start else limit


def _candidates(text: str, earliest: int, limit: int) -> Iterator[int]:
    for seam in _SEAMS:
        yield from reversed([match.end() for match in seam.finditer(text, earliest, limit)])
