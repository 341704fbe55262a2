"""The words of a text in any script, without a model: for measures that count words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.spans import Span

OUTSIDE = ""
"""What a word is that no span covers."""
# Scripts without spaces between words are read character by character.
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]+|\d+|\S")


def find_words(text: str) -> list[tuple[int, int]]:
    """Where the words stand: start and end of runs of letters, runs of digits, and all else sign by sign."""
    return [match.span() for match in _WORD.finditer(text)]


def label_words(words: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[str]:
    """Each word's label: of the last span that touches it, or OUTSIDE."""
    labels = [OUTSIDE] * len(words)
    for span in spans:
        for place in touched(words, span):
            labels[place] = span.label
    return labels


def touched(words: Sequence[tuple[int, int]], span: Span) -> list[int]:
    """The places of the words that share a character with the span."""
    return [place for place, (start, end) in enumerate(words) if start < span.end and span.start < end]
