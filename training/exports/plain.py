"""Formats that hold every span of a text on characters: JSON lines, CSV, and Label Studio's JSON."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from training.exports.examples import ExportExample, NotHeld
from training.exports.writing import Controls, Layout
from training.spans import Span

CSV_COLUMNS = ("text", "spans", "id", "part", "source")


class JsonLinesWriter:
    """One object a line: text, spans, and meta with id, part and source."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.jsonl"
        self._file = self._path.open("w", encoding="utf-8", newline="\n")

    def write(self, example: ExportExample) -> list[NotHeld]:
        """Add an example."""
        row = {"text": example.text, "spans": [span.to_json() for span in example.spans], "meta": example.meta}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        return []

    def close(self) -> list[Path]:
        """Finish the file."""
        self._file.close()
        return [self._path]


class CsvWriter:
    """One text a row, its spans as JSON in one column; quoted as RFC 4180 says."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.csv"
        self._file = self._path.open("w", encoding="utf-8", newline="")
        self._rows = csv.DictWriter(self._file, CSV_COLUMNS)
        self._rows.writeheader()

    def write(self, example: ExportExample) -> list[NotHeld]:
        """Add an example."""
        spans = json.dumps([span.to_json() for span in example.spans], ensure_ascii=False)
        self._rows.writerow({"text": example.text, "spans": spans, **example.meta})
        return []

    def close(self) -> list[Path]:
        """Finish the file."""
        self._file.close()
        return [self._path]


class LabelStudioWriter:
    """A list of tasks, each with one starred annotation and no predictions (https://labelstud.io/guide/tasks)."""

    def __init__(self, folder: Path, name: str, layout: Layout) -> None:
        self._path = folder / f"{name}.json"
        self._file = self._path.open("w", encoding="utf-8", newline="\n")
        self._controls = layout.controls
        self._before = "[\n"

    def write(self, example: ExportExample) -> list[NotHeld]:
        """Add an example."""
        regions = [_region(span, example.text, self._controls) for span in example.spans]
        task = {
            "data": _data(example.text, self._controls.text_key),
            "meta": example.meta,
            "annotations": [{"result": regions, "ground_truth": True, "was_cancelled": False}],
        }
        self._file.write(self._before + json.dumps(task, ensure_ascii=False))
        self._before = ",\n"
        return []

    def close(self) -> list[Path]:
        """Finish the list."""
        self._file.write("[]\n" if self._before == "[\n" else "\n]\n")
        self._file.close()
        return [self._path]


def _region(span: Span, text: str, controls: Controls) -> dict[str, Any]:
    piece = text[span.start : span.end]
    return {
        "id": hashlib.sha256(f"{span.start}:{span.end}:{span.label}".encode()).hexdigest()[:10],
        "from_name": controls.control_of(span.label),
        "to_name": controls.to_name,
        "type": "labels",
        "value": {"start": span.start, "end": span.end, "text": piece, "labels": [span.label]},
    }


def _data(text: str, text_key: str) -> dict[str, Any]:
    """A task's data with the text under its key, of which `a.b` lies within an object."""
    value: Any = text
    for name in reversed(text_key.split(".")):
        value = {name: value}
    return dict(value)
