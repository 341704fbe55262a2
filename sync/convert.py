"""Regions of a labelling result, and spans. Shape of a region: https://labelstud.io/tags/labels (result)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sync.labelling import LabellingConfig
from training.spans import Problem, ScoredSpan, Span, SpanProblem


@dataclass(frozen=True, slots=True)
class Converted:
    """The spans of a result, sorted, and what is wrong with its regions."""

    spans: tuple[Span, ...]
    problems: tuple[SpanProblem, ...]


def spans_of(result: object, config: LabellingConfig, text: str) -> Converted:
    """The spans of a result's regions; never raises, whatever the result holds.

    A region with several labels is one span per label, and reported. Where the region's own text differs from its
    characters, the offsets hold, and it is reported. Regions of other controls are left out.
    """
    spans: list[Span] = []
    problems: list[SpanProblem] = []
    if not isinstance(result, list):
        return Converted((), (SpanProblem(None, Problem.NOT_A_SPAN, f"the result is a {type(result).__name__}"),))
    for index, region in enumerate(result):
        if not _is_ours(region, config):
            continue
        found, faults = _read_region(index, region, text)
        spans += found
        problems += faults
    return Converted(tuple(sorted(spans)), tuple(problems))


def to_regions(spans: Iterable[ScoredSpan], config: LabellingConfig, text: str) -> list[dict[str, Any]]:
    """The regions for predicted spans, each with its score; the same span always gets the same region id.

    Labels that the config does not offer and spans outside the text are left out: Label Studio would drop the task's
    whole prediction for one of them.
    """
    offered = frozenset(config.labels)
    return [
        {
            "id": _region_id(span),
            "from_name": config.control_of(span.label),
            "to_name": config.to_name,
            "type": "labels",
            "value": {
                "start": span.start,
                "end": span.end,
                "text": text[span.start : span.end],
                "labels": [span.label],
            },
            "score": span.score,
        }
        for span in sorted(spans)
        if span.label in offered and 0 <= span.start < span.end <= len(text)
    ]


def _is_ours(region: object, config: LabellingConfig) -> bool:
    if not isinstance(region, Mapping) or region.get("type") != "labels":
        return False
    return region.get("to_name") == config.to_name and region.get("from_name") in config.from_names


def _read_region(index: int, region: Mapping[str, Any], text: str) -> tuple[list[Span], list[SpanProblem]]:
    value = region.get("value")
    value = value if isinstance(value, Mapping) else {}
    start, end, labels = value.get("start"), value.get("end"), value.get("labels")
    if type(start) is not int or type(end) is not int:
        detail = f"region {index} has start {_name(start)} and end {_name(end)}, not two integers"
        return [], [SpanProblem(None, Problem.NOT_A_SPAN, detail)]
    names = [name for name in labels if isinstance(name, str) and name] if isinstance(labels, list) else []
    if not names:
        return [], [SpanProblem(None, Problem.NO_LABEL, f"region {index}, {start} to {end}, carries no label")]
    spans = [Span(start, end, name) for name in dict.fromkeys(names)]
    problems: list[SpanProblem] = []
    if len(spans) > 1:
        detail = f"one region, labels {', '.join(sorted(span.label for span in spans))}"
        problems += [SpanProblem(span, Problem.SEVERAL_LABELS, detail) for span in spans]
    quoted = value.get("text")
    if isinstance(quoted, str) and 0 <= start <= end <= len(text) and quoted != text[start:end]:
        detail = f"characters {start} to {end} are not the {len(quoted)} characters that the region quotes"
        problems += [SpanProblem(span, Problem.TEXT_MISMATCH, detail) for span in spans]
    return spans, problems


def _region_id(span: ScoredSpan) -> str:
    return hashlib.sha256(f"{span.start}:{span.end}:{span.label}".encode()).hexdigest()[:10]


def _name(value: object) -> str:
    return repr(value) if isinstance(value, int | float) else type(value).__name__
