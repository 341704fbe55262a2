"""Hugging Face `datasets`: Parquet with its features in the schema's metadata (key `huggingface`).

Columns: id, text, part, source, spans (start, end, label: every span of the text, on characters), tokens, and
ner_tags, which are BIO tags as numbers of a ClassLabel over the project's leaves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training.exports.examples import NotHeld
from training.exports.tokens import TokenizedExample
from training.exports.writing import NO_TOKENS, Layout

FOLDER = "data"
# About 10,000 short texts, which as Python objects take some 50 MB until they are written.
ROW_GROUP_CHARS = 1_000_000
NOT_IN_TAGS = "not in ner_tags, but in spans: "
UNKNOWN_LABEL = "its label is not one of the project's"


def tag_names(labels: Sequence[str]) -> list[str]:
    """The names of the tags, in the order of their numbers: O first, then B and I of each leaf."""
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


class ParquetWriter:
    """`data/NAME.parquet`, in row groups of bounded size."""

    def __init__(self, folder: Path, name: str, layout: Layout) -> None:
        (folder / FOLDER).mkdir(exist_ok=True)
        self._path = folder / FOLDER / f"{name}.parquet"
        names = tag_names(layout.labels)
        self._labels = frozenset(layout.labels)
        self._number_of = {tag: number for number, tag in enumerate(names)}
        self._schema = _schema(names)
        self._file = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._characters = 0

    def write(self, example: TokenizedExample) -> list[NotHeld]:
        """Add an example."""
        given = example.example
        words = [token.text for token in example.doc] if example.fits else []
        tags = example.tags(self._labels) if example.fits else []
        self._rows.append(
            {
                "id": given.id,
                "text": given.text,
                "part": given.part,
                "source": given.source,
                "spans": [span.to_json() for span in given.spans],
                "tokens": words,
                "ner_tags": [self._number_of[tag] for tag in tags],
            }
        )
        self._characters += len(given.text)
        if self._characters > ROW_GROUP_CHARS:
            self._flush()
        return [NotHeld(entry.span, NOT_IN_TAGS + entry.reason) for entry in self._missing(example)]

    def _missing(self, example: TokenizedExample) -> list[NotHeld]:
        if not example.fits:
            return [NotHeld(None, NO_TOKENS)]
        unknown = [NotHeld(t.span, UNKNOWN_LABEL) for t in example.tagged if t.span.label not in self._labels]
        return [*unknown, *example.untagged, *example.unaligned]

    def _flush(self) -> None:
        self._file.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._characters = [], 0

    def close(self) -> list[Path]:
        """Write what is left."""
        if self._rows:
            self._flush()
        self._file.close()
        return [self._path]


def _schema(names: Sequence[str]) -> Any:
    text, number = pa.string(), pa.int64()
    span = pa.struct([("start", number), ("end", number), ("label", text)])
    columns = [
        ("id", text),
        ("text", text),
        ("part", text),
        ("source", text),
        ("spans", pa.list_(span)),
        ("tokens", pa.list_(text)),
        ("ner_tags", pa.list_(number)),
    ]
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": features(names)}})})


def features(names: Sequence[str]) -> dict[str, Any]:
    """The columns as `datasets` describes them, in words that its versions from 2 on read."""
    text, number = {"dtype": "string", "_type": "Value"}, {"dtype": "int64", "_type": "Value"}
    return {
        "id": text,
        "text": text,
        "part": text,
        "source": text,
        "spans": [{"start": number, "end": number, "label": text}],
        "tokens": {"feature": text, "_type": "Sequence"},
        "ner_tags": {"feature": {"names": [*names], "_type": "ClassLabel"}, "_type": "Sequence"},
    }
