"""The one tokenization of an export: that of the project's language, from spaCy, and how spans lie on its tokens.

Which of the spans that tokens can hold stand in a plain sequence of tags follows rule 5, as in training: of overlaps
the longest, and none of several labels on one region.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from training.exports.examples import ExportExample, NotHeld
from training.prediction.base import BLANK, load_base
from training.spans import Span, drop_overlaps

CUTS_A_TOKEN = "its edges do not fall on the edges of tokens"
WHITE_EDGE = "begins or ends with white space"
SEVERAL_LABELS = "one region with several labels"
OVERLAP = "overlaps a longer span"
# spaCy's tables keep the places of forgotten words, some 32 bytes each; after so many characters it begins anew.
LARGEST_VOCABULARY = 10_000_000


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """A span on tokens: `first` to `end` (exclusive)."""

    first: int
    end: int
    span: Span


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """An example on tokens. `doc` is spaCy's, None where its tokens do not add up to the text.

    `tagged` are the spans that a sequence of tags can hold, `aligned` all that lie on tokens, `unaligned` the others;
    `untagged` are those of `aligned` that are not in `tagged`, with the reason.
    """

    example: ExportExample
    doc: Any
    tagged: tuple[TokenSpan, ...]
    aligned: tuple[TokenSpan, ...]
    untagged: tuple[NotHeld, ...]
    unaligned: tuple[NotHeld, ...]

    @property
    def fits(self) -> bool:
        """Whether the tokens add up to the text."""
        return self.doc is not None

    def tags(self, offered: Collection[str] | None = None) -> list[str]:
        """The tags of the tokens in BIO (IOB2), spans of labels that are not `offered` left out."""
        tags = ["O"] * len(self.doc)
        for found in self.tagged:
            if offered is None or found.span.label in offered:
                tags[found.first] = f"B-{found.span.label}"
                tags[found.first + 1 : found.end] = [f"I-{found.span.label}"] * (found.end - found.first - 1)
        return tags


class Tokenizer:
    """Tokenizes with the rules of a language. Raises ModelUnavailable where spaCy does not have the language."""

    def __init__(self, language: str) -> None:
        self._name = f"{BLANK}{language}"
        self._load()

    def _load(self) -> None:
        self._nlp, self._characters = load_base(self._name), 0

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is tokenized within is forgotten at its end; otherwise every new word would stay in memory."""
        if self._characters > LARGEST_VOCABULARY:
            self._load()
        with self._nlp.memory_zone():
            yield

    def tokenize(self, example: ExportExample) -> TokenizedExample:
        """The example on tokens."""
        self._characters += len(example.text)
        # Not make_doc, which refuses texts of a million characters for the sake of components that are not here.
        doc = self._nlp.tokenizer(example.text)
        if doc.text != example.text:
            return TokenizedExample(example, None, (), (), (), ())
        return align(example, doc)


def align(example: ExportExample, doc: Any) -> TokenizedExample:
    """Lay the example's spans on the doc's tokens."""
    aligned, unaligned = [], []
    for span in example.spans:
        found = doc.char_span(span.start, span.end)
        if found is not None and not found[0].is_space and not found[-1].is_space:
            aligned.append(TokenSpan(found.start, found.end, span))
        else:
            unaligned.append(NotHeld(span, _why_unaligned(example.text[span.start : span.end])))
    tagged, untagged = _choose(aligned)
    return TokenizedExample(example, doc, tagged, tuple(aligned), untagged, tuple(unaligned))


def _why_unaligned(piece: str) -> str:
    return WHITE_EDGE if piece != piece.strip() else CUTS_A_TOKEN


def _choose(aligned: Sequence[TokenSpan]) -> tuple[tuple[TokenSpan, ...], tuple[NotHeld, ...]]:
    places = Counter((found.first, found.end) for found in aligned)
    single = [found.span for found in aligned if places[found.first, found.end] == 1]
    kept = set(drop_overlaps(single))
    tagged = tuple(found for found in aligned if found.span in kept)
    left_out = [found for found in aligned if found.span not in kept]
    alone = set(single)
    return tagged, tuple(NotHeld(found.span, OVERLAP if found.span in alone else SEVERAL_LABELS) for found in left_out)
