"""CSV with a header: a column `text`, and its spans in one of two ways; the other columns are meta.

Either a column of JSON as in JSON lines (`spans`; also `corrected_entities` or `entities`, as the REST API writes
them), or the columns `start`, `end` and `label`, `sublabel` or both, with one span a row. Then the rows of one text
count together wherever they stand, and a row without a span says that its text holds none, unless another row has one.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from config.errors import InvalidInput
from training.formats.rows import (
    SPAN_FIELDS,
    RejectedRow,
    Row,
    check_meta,
    check_spans,
    check_text,
    choose_spans,
    refuse,
    reject,
)
from training.spans import Span

DELIMITERS = (",", ";", "\t")
SMALLEST_FIELD_LIMIT = 16 * 1024 * 1024
PLACE_COLUMNS = ("start", "end")
LABEL_COLUMNS = ("label", "sublabel")
OWN_COLUMNS = ("text", *PLACE_COLUMNS, *LABEL_COLUMNS)
# Tables with gaps are often written with floats: 3.0 for 3.
_WHOLE_NUMBER = re.compile(r"(-?\d{1,18})(?:\.0+)?")
# In other words than Python's, where those say little.
_CSV_FAULTS = {"unexpected end of data": "a quote in it is never closed"}

Record = dict[str, str]


def read_csv_table(file: BinaryIO, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Each text with its spans; its line is the one where it starts. Raises InvalidInput without a `text` column.

    Fields stand between commas, semicolons or tabs, whichever the header shows, and may be quoted as RFC 4180 says.
    """
    # The csv module keeps this limit for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), SMALLEST_FIELD_LIMIT, 4 * max_chars))
    # Escaped bytes are told from text record by record, so that one bad record does not end the import.
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _read_table(lines, max_chars)
    finally:
        # The file is its opener's to close.
        lines.detach()


def _read_table(lines: io.TextIOWrapper, max_chars: int) -> Iterator[Row | RejectedRow]:
    header, delimiter = _read_header(lines)
    if _has_span_a_row(header):
        yield from _read_span_a_row(lines, max_chars)
        return
    for number, record in _records(lines, header, delimiter):
        try:
            yield record if isinstance(record, RejectedRow) else _read_record(number, record, max_chars)
        except InvalidInput as error:
            yield reject(number, error)


def _has_span_a_row(header: Sequence[str]) -> bool:
    """Whether places and labels have columns of their own. Raises InvalidInput where they do by half, or twice."""
    in_json = [name for name in SPAN_FIELDS if name in header]
    if set(PLACE_COLUMNS) <= set(header) and set(LABEL_COLUMNS) & set(header):
        if in_json:
            raise InvalidInput(f"the header names spans twice: as start, end, label and as {', '.join(in_json)}")
        return True
    if not in_json and (places := [name for name in header if name.lower() in PLACE_COLUMNS]):
        raise InvalidInput(
            f"the header has {', '.join(places)}, but one span a row takes the columns start, end, and label or "
            f"sublabel, in lower case; name them so, or otherwise where they say no spans: {', '.join(header):.200}"
        )
    return False


def _read_header(lines: io.TextIOWrapper) -> tuple[list[str], str]:
    first = lines.readline()
    for delimiter in DELIMITERS:
        header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        if "text" in header:
            if len(set(header)) < len(header):
                raise InvalidInput(f"the header names a column twice: {', '.join(header):.200}")
            return header, delimiter
    raise InvalidInput(f"the header has no column named text: {first.strip()!r:.200}")


def _records(
    lines: io.TextIOWrapper, header: Sequence[str], delimiter: str
) -> Iterator[tuple[int, Record | RejectedRow]]:
    """The records after the header that are not blank, with the lines where they start; each line of a broken one."""
    taken: list[str] = []
    records = csv.reader(_keep(lines, taken), delimiter=delimiter, strict=True)
    while True:
        number = records.line_num + 2
        taken.clear()
        try:
            record = next(records)
            if record:
                yield number, dict(_match(header, record))
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"record of line {number} cannot be read: {_CSV_FAULTS.get(str(error), error)}"
            for line, content in enumerate(taken, number):
                yield line, reject(line, refuse(reason, content.rstrip("\r\n")))
        except InvalidInput as error:
            yield number, reject(number, error)


def _keep(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """The lines, each put into `taken` as it goes by."""
    for line in lines:
        taken.append(line)
        yield line


def _match(header: Sequence[str], record: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(record) != len(header):
        raise refuse(f"record has {len(record)} fields, the header {len(header)}", ", ".join(record))
    for name, value in zip(header, record, strict=True):
        if any("\udc80" <= character <= "\udcff" for character in value):
            raise refuse(f"column {name} is not UTF-8", value)
        yield name, value


def _read_record(number: int, record: Record, max_chars: int) -> Row:
    text = check_text(record.pop("text"), max_chars=max_chars)
    cells = {name: value for name in SPAN_FIELDS if (value := record.pop(name, "")).strip()}
    name = choose_spans({**record, **cells})
    spans = check_spans(_read_json(name, cells[name]), text) if name else None
    return Row(number, text, spans, _read_meta(record))


def _read_meta(record: Mapping[str, str]) -> dict[str, Any]:
    return check_meta({name: value for name, value in record.items() if name and value})


def _read_json(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise refuse(f"column {name} is not JSON", value) from error


@dataclass(slots=True)
class _Gathered:
    """What the rows met so far say of one text."""

    text: str
    meta: dict[str, Any] = field(default_factory=dict)
    spans: set[Span] = field(default_factory=set)
    lines: list[int] = field(default_factory=list)
    faults: dict[int, RejectedRow] = field(default_factory=dict)

    def finish(self) -> Iterator[Row | RejectedRow]:
        """The text with its spans; where a row is bad the text is left out, since its spans would be incomplete."""
        if not self.faults:
            yield Row(self.lines[0], self.text, tuple(sorted(self.spans)), self.meta)
            return
        bad = min(self.faults)
        for line in self.lines:
            yield self.faults.get(line) or reject(
                line, refuse(f"left out with its text, since line {bad} cannot be used", self.text)
            )


def _read_span_a_row(lines: io.TextIOWrapper, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Two passes: the first learns where each text's last row stands, so that the second holds few texts at a time."""
    last: dict[int, int] = {}
    for number, record in _records_again(lines):
        if not isinstance(record, RejectedRow):
            last[hash(record["text"])] = number
    gathered: dict[str, _Gathered] = {}
    for number, record in _records_again(lines):
        if isinstance(record, RejectedRow):
            yield record
            continue
        text = record["text"]
        try:
            check_text(text, max_chars=max_chars)
        except InvalidInput as error:
            yield reject(number, error)
            continue
        _take_record(gathered.setdefault(text, _Gathered(text)), number, record)
        if last[hash(text)] == number:
            yield from gathered.pop(text).finish()
    # Two texts of one hash: the earlier one's last row went by unnoticed.
    for rest in gathered.values():
        yield from rest.finish()


def _records_again(lines: io.TextIOWrapper) -> Iterator[tuple[int, Record | RejectedRow]]:
    lines.seek(0)
    header, delimiter = _read_header(lines)
    return _records(lines, header, delimiter)


def _take_record(gathered: _Gathered, number: int, record: Record) -> None:
    first = not gathered.lines
    gathered.lines.append(number)
    try:
        if first:
            gathered.meta = _read_meta({n: v for n, v in record.items() if n not in OWN_COLUMNS})
        gathered.spans.update(_read_span(record, gathered.text))
    except InvalidInput as error:
        gathered.faults[number] = reject(number, error)


def _read_span(record: Record, text: str) -> tuple[Span, ...]:
    cells = {name: record.get(name, "").strip() for name in (*PLACE_COLUMNS, *LABEL_COLUMNS)}
    if not any(cells.values()):
        return ()
    return check_spans([{**cells, **{name: _read_number(cells, name) for name in PLACE_COLUMNS}}], text) or ()


def _read_number(cells: Record, name: str) -> int:
    found = _WHOLE_NUMBER.fullmatch(cells[name])
    if found is None:
        raise refuse(f"column {name} must hold a whole number", cells[name])
    return int(found.group(1))
