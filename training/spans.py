"""Texts and spans: what is labelled, and what can be learnt from it. Offsets are code points, end exclusive."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from config.errors import SpanInvalid
from training.intervals import Taken

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A labelled stretch of a text: characters `start` to `end` (exclusive), `label` a leaf."""

    start: int
    end: int
    label: str

    def to_json(self) -> dict[str, Any]:
        """The span as stored: start, end, label."""
        return {"start": self.start, "end": self.end, "label": self.label}


@dataclass(frozen=True, slots=True, order=True)
class ScoredSpan:
    """A predicted span with the confidence (0 to 1) that exactly this span is right, and who found it."""

    start: int
    end: int
    label: str
    score: float
    origin: str = "model"  # model, pattern or proposal

    @property
    def span(self) -> Span:
        """The span without its score."""
        return Span(self.start, self.end, self.label)

    def to_json(self) -> dict[str, Any]:
        """The span as stored: start, end, label, score, origin."""
        return {**self.span.to_json(), "score": self.score, "origin": self.origin}


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a version says of one text: its spans in order, and the confidence (0 to 1) that no edit is needed."""

    spans: tuple[ScoredSpan, ...]
    score: float


def with_finite_scores(prediction: Prediction) -> Prediction:
    """The prediction with 0 for every score that is no number: neither JSON nor a queue can hold one."""
    spans = tuple(span if _is_number(span.score) else replace(span, score=0.0) for span in prediction.spans)
    return Prediction(spans, prediction.score if _is_number(prediction.score) else 0.0)


def _is_number(score: float | None) -> bool:
    return score is not None and math.isfinite(score)


class Problem(StrEnum):
    """Why a span cannot be learnt from as it stands."""

    OUT_OF_TEXT = "out_of_text"
    EMPTY = "empty"
    WHITESPACE = "whitespace"
    UNKNOWN_LABEL = "unknown_label"
    SEVERAL_LABELS = "several_labels"
    NO_LABEL = "no_label"
    OVERLAP = "overlap"
    DUPLICATE = "duplicate"
    TEXT_MISMATCH = "text_mismatch"
    NOT_A_SPAN = "not_a_span"


@dataclass(frozen=True, slots=True)
class SpanProblem:
    """A span that is kept and reported, but not trained, and why."""

    span: Span | None
    problem: Problem
    detail: str

    def to_json(self) -> dict[str, Any]:
        """The problem as stored beside its annotation."""
        return {
            "span": self.span.to_json() if self.span else None,
            "problem": self.problem.value,
            "detail": self.detail,
        }


def hash_text(text: str) -> str:
    """SHA-256 of the text's UTF-8, in hex: the identity of a text within its project."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def find_text_fault(text: str) -> str | None:
    """Why no database can hold this text, or None: a null character, or half of a surrogate pair."""
    found = _UNSTORABLE.search(text)
    if found is None:
        return None
    return f"the text holds the character U+{ord(found[0]):04X} at {found.start()}, which cannot be stored; take it out"


def parse_spans(rows: Iterable[dict[str, Any]]) -> tuple[Span, ...]:
    """Stored spans as objects, sorted. Raises SpanInvalid where a row lacks a field or has a wrong type."""
    spans = []
    for index, row in enumerate(rows):
        start, end, label = row.get("start"), row.get("end"), row.get("label")
        if type(start) is not int or type(end) is not int or not isinstance(label, str):
            raise SpanInvalid(f"span {index} needs integers start and end and a string label, got {row!r:.200}")
        spans.append(Span(start, end, label))
    return tuple(sorted(spans))


def find_problems(text: str, spans: Sequence[Span], labels: Collection[str]) -> list[SpanProblem]:
    """Every reason, span by span, why one of these spans cannot be learnt from (rule 5).

    `labels` are the project's leaves. Of spans that overlap the longest is free of fault, ties go to the first.
    """
    problems: list[SpanProblem] = []
    sound: list[Span] = []
    seen: set[Span] = set()
    for span in spans:
        fault = _fault_of(text, span, labels)
        if fault is None and span in seen:
            fault = SpanProblem(span, Problem.DUPLICATE, "the same span stands twice")
        if fault is None:
            seen.add(span)
            sound.append(span)
        else:
            problems.append(fault)
    by_place: dict[tuple[int, int], list[Span]] = {}
    for span in sound:
        by_place.setdefault((span.start, span.end), []).append(span)
    single = []
    for same in by_place.values():
        if len(same) == 1:
            single.append(same[0])
        else:
            names = ", ".join(sorted(s.label for s in same))
            problems += [SpanProblem(s, Problem.SEVERAL_LABELS, f"one region, labels {names}") for s in same]
    kept = set(drop_overlaps(single))
    for span in single:
        if span not in kept:
            problems.append(SpanProblem(span, Problem.OVERLAP, "overlaps a longer span, which is the one trained"))
    return problems


def _fault_of(text: str, span: Span, labels: Collection[str]) -> SpanProblem | None:
    if not 0 <= span.start <= span.end <= len(text):
        detail = f"{span.start} to {span.end} in a text of {len(text)} characters"
        return SpanProblem(span, Problem.OUT_OF_TEXT, detail)
    if span.start == span.end:
        return SpanProblem(span, Problem.EMPTY, f"starts and ends at {span.start}")
    if text[span.start : span.end].isspace():
        return SpanProblem(span, Problem.WHITESPACE, f"only white space at {span.start} to {span.end}")
    if span.label not in labels:
        return SpanProblem(span, Problem.UNKNOWN_LABEL, f"label {span.label!r} is not one of the project's")
    return None


def trainable_spans(text: str, spans: Sequence[Span], labels: Collection[str]) -> tuple[Span, ...]:
    """The spans that training takes: in the text, known label, one label a region, the longest of overlaps."""
    faulty = {problem.span for problem in find_problems(text, spans, labels) if problem.problem != Problem.DUPLICATE}
    return tuple(sorted({span for span in spans if span not in faulty}))


def drop_overlaps(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The longest spans that do not overlap, ties to the earlier one, sorted by place."""
    taken = Taken()
    longest_first = sorted(set(spans), key=lambda s: (s.start - s.end, s.start, s.label))
    return tuple(sorted(span for span in longest_first if taken.take(span.start, span.end)))
