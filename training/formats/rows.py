"""What an import reads, whatever the format: rows, and rows that cannot be used, each with its reason."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from config.errors import InvalidInput
from training.spans import Span

SHOWN_FIELD = "entities"
SPAN_FIELDS = ("spans", "corrected_entities", SHOWN_FIELD)
"""Where a record says its spans: ours and Prodigy's, and two of the REST API; the first that is filled counts."""
LONGEST_VALUE = 200
LONGEST_LABEL = 100
# As JSON writes it, an even number of backslashes before it aside.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Row:
    """One text with its spans (None where the file says nothing of spans), from this line of the file."""

    line: int
    text: str
    spans: tuple[Span, ...] | None = None
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was left out, why, and the offending value, shortened; the value may hold somebody's text."""

    line: int
    reason: str
    value: str


def reject(line: int, error: InvalidInput) -> RejectedRow:
    """The rejected row for an error of this module."""
    return RejectedRow(line, error.message, str(error.details.get("value", "")))


def refuse(reason: str, value: Any) -> InvalidInput:
    """The error for a row with this offending value."""
    shown = value if isinstance(value, str) else repr(value)
    shown = shown.encode("utf-8", "backslashreplace").decode()
    return InvalidInput(reason, value=shown if len(shown) <= LONGEST_VALUE else shown[: LONGEST_VALUE - 1] + "…")


def check_text(text: Any, *, max_chars: int) -> str:
    """The text if it can be labelled and stored. Raises InvalidInput."""
    if not isinstance(text, str):
        raise refuse("text must be a string", text)
    if not text.strip():
        raise refuse("text is empty", text)
    if len(text) > max_chars:
        raise refuse(f"text of {len(text):,} characters is longer than {max_chars:,}", text)
    _check_characters(text, "text")
    return text


def choose_spans(record: Mapping[str, Any]) -> str | None:
    """The field whose spans count, None where none is filled. Raises InvalidInput where only wrong ones are there."""
    name = next((name for name in SPAN_FIELDS if record.get(name) is not None), None)
    if name == SHOWN_FIELD and str(record.get("is_correct", "")).strip().lower() in ("false", "0"):
        raise refuse("is_correct is false: give the right spans in corrected_entities, [] for none", record[name])
    return name


def check_spans(spans: Any, text: str) -> tuple[Span, ...] | None:
    """The spans of a list of objects with start, end and label; None stays None. Raises InvalidInput.

    Offsets are code points, end exclusive. Where a span has a `sublabel`, that is the leaf, and `label` its group, as
    the REST API writes them. Where a span says its text, that must be what the offsets cut out.
    """
    if spans is None:
        return None
    if not isinstance(spans, list):
        raise refuse("spans must be a list", spans)
    return tuple(sorted(_check_span(span, number, text) for number, span in enumerate(spans)))


def _check_span(span: Any, number: int, text: str) -> Span:
    if not isinstance(span, dict):
        raise refuse(f"span {number} must be an object with start, end and label", span)
    start, end, label = span.get("start"), span.get("end"), span.get("sublabel") or span.get("label")
    if type(start) is not int or type(end) is not int:
        raise refuse(f"span {number} needs start and end as whole numbers", span)
    if not isinstance(label, str) or not label.strip() or len(label) > LONGEST_LABEL:
        raise refuse(f"span {number} needs a label of 1 to {LONGEST_LABEL} characters", span)
    _check_characters(label, f"label of span {number}")
    if not 0 <= start < end <= len(text):
        raise refuse(f"span {number} ({start} to {end}) does not lie in the text of {len(text)} characters", span)
    said = span.get("text")
    if isinstance(said, str) and said != text[start:end]:
        raise refuse(f"span {number} ({start} to {end}) says another text than its offsets cut out", span)
    return Span(start, end, label)


def check_meta(meta: Any) -> dict[str, Any]:
    """What else is known of the text, if a database can hold it. Raises InvalidInput."""
    if meta is None:
        return {}
    if not isinstance(meta, dict):
        raise refuse("meta must be an object", meta)
    try:
        stored = json.dumps(meta, allow_nan=False, ensure_ascii=False)
        stored.encode()
    except (ValueError, RecursionError) as error:
        raise refuse("meta holds what cannot be stored (NaN, infinity or half a character)", meta) from error
    if _ESCAPED_NUL.search(stored):
        raise refuse("meta holds a NUL character", meta)
    return meta


def _check_characters(value: str, name: str) -> None:
    if "\x00" in value:
        raise refuse(f"{name} holds a NUL character", value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        reason = f"{name} holds half a character (a lone surrogate) at {error.start}"
        raise refuse(reason, value[error.start : error.end]) from error


def read_lines(file: BinaryIO, *, longest: int) -> Iterator[tuple[int, str | InvalidInput]]:
    """The file's lines with their numbers, without line end and byte order mark; an error for one that is unusable.

    Lines end at LF or CR LF. Of a line over `longest` bytes no more than that is held in memory.
    """
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        if len(line) > longest and not line.endswith(b"\n"):
            while (rest := file.readline(longest)) and not rest.endswith(b"\n"):
                pass
            yield (
                number,
                refuse(f"line is longer than {longest:,} bytes", line[:LONGEST_VALUE].decode(errors="replace")),
            )
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            yield number, line.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            shown = line[max(0, error.start - 40) : error.end + 40].decode(errors="backslashreplace")
            yield number, refuse(f"line is not UTF-8 at byte {error.start}", shown)
