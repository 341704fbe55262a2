"""Training texts as spaCy's own corpus files.

Gold spans live on characters, spaCy's recognizer on tokens. A span that cuts through a token is trained on all of that
token and listed; one that would then share a token with a longer span is listed as left out. None vanishes unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spacy.tokens import DocBin

from training.intervals import Taken
from training.prediction.windows import cut_windows
from training.spans import Span, drop_overlaps

# Shorter than in prediction: an update sees more places of a long document, and memory stays small.
WINDOW_CHARS = 1_000


@dataclass(frozen=True)
class Example:
    """A text with its gold spans, characters as annotated."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Misalignment:
    """A gold span that tokens cannot hold: of which example, and what is trained instead (None: nothing)."""

    example: int
    span: Span
    trained_as: Span | None


@dataclass(frozen=True)
class Corpus:
    """Gold docs, the number of gold spans they were made from, and the spans that did not fit the tokens."""

    docs: tuple[Any, ...]
    spans: int
    misaligned: tuple[Misalignment, ...]

    @property
    def tokens(self) -> int:
        """The number of tokens in all docs."""
        return sum(len(doc) for doc in self.docs)

    def join(self, other: Corpus) -> Corpus:
        """This corpus with another one's docs after its own; spans are counted of this one alone."""
        return replace(self, docs=self.docs + other.docs)

    def head(self, count: int) -> Corpus:
        """The first docs alone."""
        return replace(self, docs=self.docs[:count])

    def hide(self, labels: Collection[str]) -> Corpus:
        """The docs with entities of these labels unknown: spaCy's scorer says nothing of what is found there."""
        return replace(self, docs=tuple(_hide(doc, labels) for doc in self.docs))

    def write(self, path: Path) -> None:
        """Write the docs as a .spacy file, as `spacy train` reads it."""
        DocBin(docs=self.docs, attrs=["ORTH", "SPACY", "ENT_IOB", "ENT_TYPE"]).to_disk(path)


def _hide(doc: Any, labels: Collection[str]) -> Any:
    hidden = doc.copy()
    entities = [hidden.char_span(ent.start_char, ent.end_char, label=ent.label_) for ent in doc.ents]
    hidden.set_ents(
        [ent for ent in entities if ent.label_ not in labels], missing=[ent for ent in entities if ent.label_ in labels]
    )
    return hidden


def build_corpus(
    nlp: Any, examples: Iterable[Example], *, rest: str = "outside", on_step: Callable[[], None] = lambda: None
) -> Corpus:
    """Gold docs of the pipeline's tokenizer, long texts cut into windows that leave every gold span whole.

    `rest` says what tokens beside the spans are: "outside" of all entities, or "missing", which is unknown.
    What `on_step` raises, text by text, ends the building.
    """
    docs: list[Any] = []
    misaligned: list[Misalignment] = []
    spans = 0
    for number, example in enumerate(examples):
        on_step()
        spans += len(example.spans)
        left = set(example.spans)
        for start, end in cut_windows(example.text, size=WINDOW_CHARS, whole=example.spans):
            doc = nlp.make_doc(example.text[start:end])
            inside = {span for span in left if start <= span.start and span.end <= end}
            left -= inside
            misaligned += _label(doc, inside, offset=start, example=number, rest=rest)
            docs += [doc] if len(doc) else []
        # Longer than a window, or outside of the text.
        misaligned += [Misalignment(number, span, None) for span in sorted(left)]
    return Corpus(tuple(docs), spans, tuple(misaligned))


def _label(doc: Any, spans: Iterable[Span], *, offset: int, example: int, rest: str) -> Iterator[Misalignment]:
    taken = Taken()
    entities = []
    longest_first = sorted(spans, key=lambda span: (span.start - span.end, span.start, span.label))
    for span in longest_first:
        entity = _expand(doc, span, offset)
        if entity is None or not taken.take(entity.start, entity.end):
            yield Misalignment(example, span, None)
            continue
        entities.append(entity)
        text = doc.text[span.start - offset : span.end - offset]
        if entity.text != text.strip():
            trained_as = Span(entity.start_char + offset, entity.end_char + offset, span.label)
            yield Misalignment(example, span, trained_as)
    doc.set_ents(entities, default=rest)


def is_aligned(doc: Any, span: Span) -> bool:
    """Whether the span, white space at its edges aside, lies on whole tokens of the doc of its text."""
    entity = _expand(doc, span, 0)
    return entity is not None and entity.text == doc.text[span.start : span.end].strip()


def _expand(doc: Any, span: Span, offset: int) -> Any | None:
    """The tokens that the span touches, without white space at its edges."""
    start, end = span.start - offset, span.end - offset
    piece = doc.text[start:end]
    start, end = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
    return doc.char_span(start, end, label=span.label, alignment_mode="expand") if start < end else None


def sound_examples(examples: Iterable[Example], labels: Iterable[str]) -> list[Example]:
    """The examples with only the spans that can be trained: known label, inside the text, no overlaps."""
    known = set(labels)
    return [
        Example(
            example.text,
            drop_overlaps(
                span
                for span in example.spans
                if span.label in known and 0 <= span.start < span.end <= len(example.text)
            ),
        )
        for example in examples
    ]
