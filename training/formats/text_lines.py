"""Plain text: one text a line, blank lines left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from config.errors import InvalidInput
from training.formats.rows import RejectedRow, Row, check_text, read_lines, reject

BYTES_PER_CHARACTER = 4


def read_text_lines(file: BinaryIO, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Each line that is not blank as a text without spans."""
    for number, line in read_lines(file, longest=BYTES_PER_CHARACTER * max_chars + 3):
        if isinstance(line, InvalidInput):
            yield reject(number, line)
        elif line.strip():
            yield _read_line(number, line, max_chars)


def _read_line(number: int, line: str, max_chars: int) -> Row | RejectedRow:
    try:
        return Row(number, check_text(line, max_chars=max_chars))
    except InvalidInput as error:
        return reject(number, error)
