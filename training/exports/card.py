"""The data card: what an export holds and where it comes from, counted while it is written.

Annotators go by their number in this project, not by name: a card may be published.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from training.exports.examples import ExportExample
from training.spans import Span, parse_spans
from training.store.verified import Opinion

UNKNOWN_ANNOTATOR = "unknown"


@dataclass(slots=True)
class PartFigures:
    """Texts, spans, and spans by label of one part."""

    texts: int = 0
    spans: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """The figures, labels by frequency."""
        return {"texts": self.texts, "spans": self.spans, "labels": dict(self.labels.most_common())}


@dataclass(slots=True)
class Agreement:
    """How far annotators agree on the texts that several of them labelled."""

    texts: int = 0
    identical: int = 0
    pairs: int = 0
    f1_sum: float = 0.0

    def add(self, opinions: Sequence[Opinion]) -> None:
        """Take the annotators' spans of one text into account."""
        if len(opinions) < 2:
            return
        sets = [frozenset(parse_spans(opinion.spans)) for opinion in opinions]
        self.texts += 1
        self.identical += len(set(sets)) == 1
        for one, other in combinations(sets, 2):
            self.pairs += 1
            self.f1_sum += _f1(one, other)

    def to_json(self) -> dict[str, Any] | None:
        """The figures; None where no text was labelled by several."""
        if not self.texts:
            return None
        return {
            "texts": self.texts,
            "identical": round(self.identical / self.texts, 4),
            "span_f1": round(self.f1_sum / self.pairs, 4),
        }


def _f1(one: frozenset[Span], other: frozenset[Span]) -> float:
    """Exact spans of one annotator against another's; two who found nothing agree."""
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


@dataclass(slots=True)
class Tally:
    """What the card counts, example by example, in constant memory."""

    parts: dict[str, PartFigures] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    annotators: Counter[str] = field(default_factory=Counter)
    agreement: Agreement = field(default_factory=Agreement)
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, example: ExportExample, opinions: Sequence[Opinion]) -> None:
        """Count an example."""
        part = self.parts.setdefault(example.part, PartFigures())
        part.texts += 1
        part.spans += len(example.spans)
        part.labels.update(span.label for span in example.spans)
        self.sources[example.source] += 1
        self.annotators.update(str(opinion.contributor_id or UNKNOWN_ANNOTATOR) for opinion in opinions)
        self.agreement.add(opinions)
        spans = [[span.start, span.end, span.label] for span in example.spans]
        self._digest.update(json.dumps([example.part, example.text, spans]).encode())

    @property
    def texts(self) -> int:
        """All texts."""
        return sum(part.texts for part in self.parts.values())

    @property
    def spans(self) -> int:
        """All spans."""
        return sum(part.spans for part in self.parts.values())

    @property
    def content_hash(self) -> str:
        """SHA-256 over part, text and spans of every example in order: the same data, whatever the format."""
        return str(self._digest.hexdigest())

    def to_json(self) -> dict[str, Any]:
        """The figures of the card."""
        labels = sum((part.labels for part in self.parts.values()), Counter[str]())
        return {
            "content_hash": self.content_hash,
            "texts": self.texts,
            "spans": self.spans,
            "labels": dict(labels.most_common()),
            "parts": {name: figures.to_json() for name, figures in sorted(self.parts.items())},
            "sources": dict(self.sources.most_common()),
            "annotators": dict(self.annotators.most_common()),
            "agreement": self.agreement.to_json(),
        }
