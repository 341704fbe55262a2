"""What an export writes: verified examples, and the list of what a format cannot hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from training.spans import Span, parse_spans
from training.store.verified import VerifiedText

NOT_HELD_FILE = "not-held.jsonl"


@dataclass(frozen=True, slots=True)
class ExportExample:
    """A verified text with its spans, sorted and each once, all of them within the text."""

    id: str
    text: str
    part: str
    spans: tuple[Span, ...]
    source: str
    verified_at: datetime | None

    @property
    def meta(self) -> dict[str, str]:
        """What is known of the example beside its text and spans."""
        return {"id": self.id, "part": self.part, "source": self.source}


@dataclass(frozen=True, slots=True)
class NotHeld:
    """A span, or with None a whole example, that the written files do not hold, and why."""

    span: Span | None
    reason: str


def open_example(found: VerifiedText) -> tuple[ExportExample, list[NotHeld]]:
    """The example of a stored row, and those of its spans that no format can hold."""
    spans = sorted(set(parse_spans(found.entities)))
    outside = [span for span in spans if not 0 <= span.start < span.end <= len(found.text)]
    example = ExportExample(
        id=found.example_id,
        text=found.text,
        part=found.part,
        spans=tuple(span for span in spans if span not in outside),
        source=found.source,
        verified_at=found.verified_at,
    )
    return example, [NotHeld(span, "does not lie in the text") for span in outside]


class NotHeldList:
    """The list of what is not held, as JSON lines; the file is made when the first entry comes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NOT_HELD_FILE
        self.spans = 0
        self.texts = 0
        self.reasons: Counter[str] = Counter()
        self._file: TextIO | None = None

    def add(self, example: ExportExample, missing: Iterable[NotHeld]) -> None:
        """Note what of an example is not held."""
        for entry in missing:
            self._write(example, entry)
            self.reasons[entry.reason] += 1
            self.spans += entry.span is not None
            self.texts += entry.span is None

    def _write(self, example: ExportExample, entry: NotHeld) -> None:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        row: dict[str, Any] = {
            "id": example.id,
            "part": example.part,
            "span": entry.span.to_json() if entry.span else None,
            "reason": entry.reason,
        }
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
