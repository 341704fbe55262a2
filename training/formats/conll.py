"""CoNLL-2003: one token a line with its tag in the last column, a blank line after each sentence.

Format: https://aclanthology.org/W03-0419 (section 2). One sentence is one text; `-DOCSTART-` lines part sentences and
are no text. Tags may be BIO (IOB2), IOB1, or BIOES and BILOU. Files do not say where white space stood, so tokens are
joined by single spaces, except where the column before the tag says it in the words of CoNLL-U's MISC column
(`SpaceAfter=No`, `SpacesAfter=\\n`, `SpacesBefore=\\s`: https://ufal.mff.cuni.cz/udpipe/2/users-manual), as our own
exports do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from config.errors import InvalidInput
from training.formats.rows import LONGEST_LABEL, RejectedRow, Row, check_spans, check_text, read_lines, refuse, reject

DOCUMENT_START = "-DOCSTART-"
NOTHING_SAID = "_"
LONGEST_LINE = 4 * 1024 * 1024

_TAG = re.compile(r"O|([BIEMLSUW])-(.+)")
_SPACING = re.compile(r"(?:SpaceAfter=No|Spaces(?:After|Before)=\S*)")
_ESCAPED = re.compile(r"\\u([0-9a-f]{4})|\\([strnp\\])")
_LETTERS = {"s": " ", "t": "\t", "r": "\r", "n": "\n", "p": "|", "\\": "\\"}
_ESCAPES = {character: f"\\{letter}" for letter, character in _LETTERS.items()}


@dataclass(frozen=True, slots=True)
class Spacing:
    """The white space around a token; `after` is None where the file does not say."""

    before: str = ""
    after: str | None = None

    def to_column(self, *, last: bool) -> str:
        """The column that says so; unsaid, one space follows a token, and nothing the sentence's last one."""
        parts = [f"SpacesBefore={_escape(self.before)}"] if self.before else []
        if self.after not in (None, _unsaid(last=last)):
            parts.append(f"SpacesAfter={_escape(self.after)}" if self.after else "SpaceAfter=No")
        return "|".join(parts) or NOTHING_SAID

    @classmethod
    def from_column(cls, column: str) -> Spacing:
        """What a column says; nothing where it is about something else."""
        parts = column.split("|")
        if not all(_SPACING.fullmatch(part) for part in parts):
            return cls()
        said = dict(part.split("=", 1) for part in parts)
        after = "" if "SpaceAfter" in said else said.get("SpacesAfter")
        return cls(_unescape(said.get("SpacesBefore", "")), None if after is None else _unescape(after))


def _unsaid(*, last: bool) -> str:
    return "" if last else " "


def _escape(white: str) -> str:
    return "".join(_ESCAPES.get(character) or f"\\u{ord(character):04x}" for character in white)


def _unescape(column: str) -> str:
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else _LETTERS[m[2]], column)


@dataclass(frozen=True, slots=True)
class _Token:
    word: str
    prefix: str
    label: str
    spacing: Spacing


@dataclass(slots=True)
class _Sentence:
    line: int
    tokens: list[_Token] = field(default_factory=list)
    characters: int = 0
    fault: RejectedRow | None = None

    def take(self, columns: list[str], max_chars: int) -> None:
        token = _read_token(columns)
        self.characters += len(token.word)
        if self.characters > max_chars:
            raise refuse(f"sentence is longer than {max_chars:,} characters", token.word)
        self.tokens.append(token)

    def finish(self, max_chars: int) -> Row | RejectedRow:
        if self.fault:
            return self.fault
        try:
            text, places = _join(self.tokens)
            spans = check_spans(_decode(self.tokens, places), check_text(text, max_chars=max_chars))
            return Row(self.line, text, spans)
        except InvalidInput as error:
            return reject(self.line, error)


def read_conll(file: BinaryIO, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Each sentence as a text with its spans; one bad line, which is the one named, leaves out its sentence."""
    sentence: _Sentence | None = None
    for number, line in read_lines(file, longest=LONGEST_LINE):
        if isinstance(line, str) and (not line.strip() or line.startswith(DOCUMENT_START)):
            if sentence is not None:
                yield sentence.finish(max_chars)
            sentence = None
            continue
        try:
            columns = _split(line)
            if columns is None:
                continue
            sentence = sentence or _Sentence(number)
            if sentence.fault is None:
                sentence.take(columns, max_chars)
        except InvalidInput as error:
            sentence = sentence or _Sentence(number)
            sentence.fault, sentence.tokens = sentence.fault or reject(number, error), []
    if sentence is not None:
        yield sentence.finish(max_chars)


def _split(line: str | InvalidInput) -> list[str] | None:
    """A line's columns; None for a comment, which has a # where the token stands and no tag at its end."""
    if isinstance(line, InvalidInput):
        raise line
    columns = line.split("\t") if "\t" in line else line.split()
    if columns[0].startswith("#") and (len(columns) < 2 or not _TAG.fullmatch(columns[-1].strip())):
        return None
    return columns


def _read_token(columns: list[str]) -> _Token:
    if len(columns) < 2:
        raise refuse("line needs a token and a tag", " ".join(columns))
    word, tag = columns[0].strip(), columns[-1].strip()
    found = _TAG.fullmatch(tag)
    if not word or found is None or len(tag) > LONGEST_LABEL:
        raise refuse("line needs a token and a tag such as O, B-LABEL or I-LABEL in its last column", " ".join(columns))
    spacing = Spacing.from_column(columns[-2]) if len(columns) > 2 else Spacing()
    return _Token(word, found[1] or "O", found[2] or "", spacing)


def _join(tokens: list[_Token]) -> tuple[str, list[tuple[int, int]]]:
    """The text, and where in it each token stands."""
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    at = 0
    for number, token in enumerate(tokens, 1):
        start = at + len(token.spacing.before)
        places.append((start, start + len(token.word)))
        said = token.spacing.after
        after = _unsaid(last=number == len(tokens)) if said is None else said
        pieces += [token.spacing.before, token.word, after]
        at = places[-1][1] + len(after)
    return "".join(pieces), places


def _decode(tokens: list[_Token], places: list[tuple[int, int]]) -> list[dict[str, object]]:
    """The spans of the tags. In IOB1 an I begins a span as well, where none of its label is open."""
    spans: list[dict[str, object]] = []
    open_label = ""
    for token, (start, end) in zip(tokens, places, strict=True):
        if token.prefix == "O":
            open_label = ""
            continue
        if open_label == token.label and token.prefix in "IMEL":
            spans[-1]["end"] = end
        else:
            spans.append({"start": start, "end": end, "label": token.label})
        open_label = "" if token.prefix in "ELSUW" else token.label
    return spans
