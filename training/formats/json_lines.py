"""JSON lines: `{"text": …, "spans": [{"start", "end", "label"}], "meta": {…}}`, ours and Prodigy's.

In place of `spans` stand `corrected_entities` or `entities` where the REST API wrote the line. Prodigy's other fields
are left alone; a task that its annotator answered with reject or ignore is left out
(https://prodi.gy/docs/api-interfaces).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from config.errors import InvalidInput
from training.formats.rows import (
    RejectedRow,
    Row,
    check_meta,
    check_spans,
    check_text,
    choose_spans,
    read_lines,
    refuse,
    reject,
)

# An escaped character outside the basic plane takes twelve bytes; the rest is for spans and meta.
BYTES_PER_CHARACTER = 12
BYTES_BESIDE_THE_TEXT = 4 * 1024 * 1024


def read_json_lines(file: BinaryIO, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Each line that is not blank as a text with its spans."""
    for number, line in read_lines(file, longest=BYTES_PER_CHARACTER * max_chars + BYTES_BESIDE_THE_TEXT):
        if isinstance(line, InvalidInput):
            yield reject(number, line)
        elif line.strip():
            yield _read_line(number, line, max_chars)


def _read_line(number: int, line: str, max_chars: int) -> Row | RejectedRow:
    try:
        record = _read_object(line)
        if record.get("answer") in ("reject", "ignore"):
            raise refuse(f"its annotator answered {record['answer']}", record["answer"])
        text = check_text(record.get("text"), max_chars=max_chars)
        name = choose_spans(record)
        spans = check_spans(record[name], text) if name else None
        return Row(number, text, spans, check_meta(record.get("meta")))
    except InvalidInput as error:
        return reject(number, error)


def _read_object(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise refuse(f"line is not JSON: {reason}", line) from error
    if not isinstance(record, dict):
        raise refuse("line must hold a JSON object with a text", line)
    return record
