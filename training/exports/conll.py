"""CoNLL-2003 with BIO tags: token, -X-, white space, tag; one text a sentence, each in a document of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.exports.examples import NotHeld
from training.exports.tokens import TokenizedExample
from training.exports.writing import NO_TOKENS
from training.formats.conll import DOCUMENT_START, Spacing

FIRST_LINE = f"{DOCUMENT_START} -X- -X- O\n\n"
ONLY_SPACE = "it holds nothing but white space"
TAKEN_WORD = f"it holds {DOCUMENT_START}, which parts documents"
LABEL_WITH_SPACE = "its label holds white space, which parts the columns"


class ConllWriter:
    """Overlaps, spans that cut a token, and labels with white space cannot be held."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.conll"
        self._file = self._path.open("w", encoding="utf-8", newline="\n")

    def write(self, example: TokenizedExample) -> list[NotHeld]:
        """Add an example as one sentence."""
        if not example.fits:
            return [NotHeld(None, NO_TOKENS)]
        words = [token.text for token in example.doc if not token.is_space]
        if not words:
            return [NotHeld(None, ONLY_SPACE)]
        if any(word.startswith(DOCUMENT_START) for word in words):
            return [NotHeld(None, TAKEN_WORD)]
        offered = {found.span.label for found in example.tagged if not _has_space(found.span.label)}
        self._file.write(FIRST_LINE)
        self._file.writelines(_lines(example, sorted(offered)))
        self._file.write("\n")
        refused = [NotHeld(t.span, LABEL_WITH_SPACE) for t in example.tagged if t.span.label not in offered]
        return [*refused, *example.untagged, *example.unaligned]

    def close(self) -> list[Path]:
        """Finish the file."""
        self._file.close()
        return [self._path]


def _has_space(label: str) -> bool:
    return any(character.isspace() for character in label)


def _lines(example: TokenizedExample, offered: list[str]) -> Iterator[str]:
    """A line for each token that is not white space, which its neighbours' columns tell of."""
    text = example.example.text
    tags = example.tags(offered)
    tokens = [token for token in example.doc if not token.is_space]
    ends = [*(token.idx for token in tokens[1:]), len(text)]
    for number, (token, end) in enumerate(zip(tokens, ends, strict=True), 1):
        before = text[: token.idx] if number == 1 else ""
        spacing = Spacing(before, after=text[token.idx + len(token.text) : end])
        yield f"{token.text} -X- {spacing.to_column(last=number == len(tokens))} {tags[token.i]}\n"
