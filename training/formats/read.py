"""Reading a file of texts, whatever its format: one table of readers by suffix."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from config.errors import InvalidInput, NotFound
from training.formats.conll import read_conll
from training.formats.csv_table import read_csv_table
from training.formats.docbin import read_docbin
from training.formats.json_lines import read_json_lines
from training.formats.label_studio_json import read_label_studio_json
from training.formats.rows import RejectedRow, Row
from training.formats.text_lines import read_text_lines

Reader = Callable[[BinaryIO, int], Iterator[Row | RejectedRow]]

READERS: dict[str, Reader] = {
    ".txt": read_text_lines,
    ".csv": read_csv_table,
    ".jsonl": read_json_lines,
    ".json": read_label_studio_json,
    ".spacy": read_docbin,
    ".conll": read_conll,
    ".iob": read_conll,
    ".bio": read_conll,
}
# What a row's number counts, in formats that are not read line by line.
_UNITS = {".json": "task", ".spacy": "doc"}


def read_rows(path: Path, *, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Stream the file's rows; one that cannot be used comes as a RejectedRow, and the rest goes on.

    Raises InvalidInput for a suffix without a reader or another encoding than UTF-8, NotFound for a missing file.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(f"{path} cannot be read: known are files that end in {', '.join(READERS)}")
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise NotFound(f"{path} cannot be opened: {error.strerror}") from error
    if start in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidInput(f"{path.name} is in UTF-16; save it as UTF-8")
    return _stream(path, reader, max_chars)


def unit_of(path: Path) -> str:
    """What the number of a row of this file counts: lines, tasks or docs."""
    return _UNITS.get(path.suffix.lower(), "line")


def _stream(path: Path, reader: Reader, max_chars: int) -> Iterator[Row | RejectedRow]:
    # Opened by the first row that is asked for: who never asks for one has nothing to close.
    with path.open("rb") as file:
        yield from reader(file, max_chars)


def collect_labels(path: Path) -> tuple[str, ...]:
    """The labels of the file's spans, the most frequent first. Raises InvalidInput where there are none."""
    counts: Counter[str] = Counter()
    for row in read_rows(path, max_chars=sys.maxsize // 100):
        if isinstance(row, Row) and row.spans:
            counts.update(span.label for span in row.spans)
    if not counts:
        raise InvalidInput(f"{path.name} holds no usable row with spans, so no labels can be taken from it")
    return tuple(sorted(counts, key=lambda label: (-counts[label], label)))
