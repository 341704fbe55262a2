"""CSV with a header: a column `text`, optionally `spans` (JSON, as in JSON lines); the other columns are meta."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from config.errors import InvalidInput
from training.formats.rows import RejectedRow, Row, check_meta, check_spans, check_text, refuse, reject

DELIMITERS = (",", ";", "\t")
SMALLEST_FIELD_LIMIT = 16 * 1024 * 1024


def read_csv_table(file: BinaryIO, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Each record that is not blank; its line is the one where it starts. Raises InvalidInput without a `text` column.

    Fields stand between commas, semicolons or tabs, whichever the header shows, and may be quoted as RFC 4180 says.
    """
    # The csv module keeps this limit for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), SMALLEST_FIELD_LIMIT, 4 * max_chars))
    # Escaped bytes are told from text record by record, so that one bad record does not end the import.
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    header, delimiter = _read_header(lines)
    records = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = records.line_num + 2
        try:
            record = next(records)
            if record:
                yield _read_record(number, dict(_match(header, record)), max_chars)
        except StopIteration:
            return
        except csv.Error as error:
            yield RejectedRow(number, f"record cannot be read: {error}", "")
        except InvalidInput as error:
            yield reject(number, error)


def _read_header(lines: io.TextIOWrapper) -> tuple[list[str], str]:
    first = lines.readline()
    for delimiter in DELIMITERS:
        header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        if "text" in header:
            if len(set(header)) < len(header):
                raise InvalidInput(f"the header names a column twice: {', '.join(header):.200}")
            return header, delimiter
    raise InvalidInput(f"the header has no column named text: {first.strip()!r:.200}")


def _match(header: Sequence[str], record: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(record) != len(header):
        raise refuse(f"record has {len(record)} fields, the header {len(header)}", ", ".join(record))
    for name, value in zip(header, record, strict=True):
        if any("\udc80" <= character <= "\udcff" for character in value):
            raise refuse(f"column {name} is not UTF-8", value)
        yield name, value


def _read_record(number: int, record: dict[str, str], max_chars: int) -> Row:
    text = check_text(record.pop("text"), max_chars=max_chars)
    spans = check_spans(_read_json(record.pop("spans", "")), text)
    return Row(number, text, spans, check_meta({name: value for name, value in record.items() if name and value}))


def _read_json(value: str) -> Any:
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise refuse("column spans is not JSON", value) from error
