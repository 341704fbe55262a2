"""spaCy's DocBin (https://spacy.io/api/docbin): the text and the entities of each doc, on characters.

Read are `doc.ents`, and the span group `sc`, where spaCy's span categorizer keeps spans that may overlap.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from config.errors import InvalidInput
from training.formats.rows import RejectedRow, Row, check_meta, check_spans, check_text, reject

SPAN_GROUP = "sc"
# spaCy holds a file as a whole, and eight megabytes may unpack to eight thousand.
LARGEST_UNPACKED = 1024 * 1024 * 1024
CHUNK = 1024 * 1024
NO_DOCBIN = "the file is no DocBin, as spaCy 3 writes it with the suffix .spacy"
_UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)
"""What spaCy raises for files that are no DocBin, or a broken one."""


def read_docbin(file: BinaryIO, max_chars: int) -> Iterator[Row | RejectedRow]:
    """Each doc as a text with its spans, numbered from 1. Raises InvalidInput for what is no DocBin."""
    content = file.read()
    _check_size(content)
    try:
        docs = DocBin().from_bytes(content).get_docs(Vocab())
    except _UNREADABLE as error:
        raise InvalidInput(NO_DOCBIN) from error
    number = 0
    while True:
        number += 1
        try:
            doc = next(docs)
        except StopIteration:
            return
        except _UNREADABLE as error:
            yield RejectedRow(number, f"this doc and those after it cannot be read: {error}"[:200], "")
            return
        yield _read_doc(number, doc, max_chars)


def _check_size(content: bytes) -> None:
    unpacking, size = zlib.decompressobj(), 0
    try:
        while content and not unpacking.eof:
            size += len(unpacking.decompress(content, CHUNK))
            content = unpacking.unconsumed_tail
            if size > LARGEST_UNPACKED:
                raise InvalidInput(
                    f"the file unpacks to more than {LARGEST_UNPACKED:,} bytes, which spaCy holds all at once; "
                    "save it as several"
                )
    except zlib.error as error:
        raise InvalidInput(NO_DOCBIN) from error


def _read_doc(number: int, doc: Any, max_chars: int) -> Row | RejectedRow:
    try:
        text = check_text(doc.text, max_chars=max_chars)
        return Row(number, text, check_spans(_find_spans(doc), text), check_meta(_find_meta(doc)))
    except InvalidInput as error:
        return reject(number, error)
    except _UNREADABLE as error:
        return RejectedRow(number, f"this doc cannot be read: {error}"[:200], "")


def _find_spans(doc: Any) -> list[dict[str, Any]] | None:
    """The doc's spans, each once; None where nobody has looked for any."""
    group = doc.spans.get(SPAN_GROUP)
    if group is None and not doc.has_annotation("ENT_IOB"):
        return None
    found = {(span.start_char, span.end_char, span.label_) for span in (*doc.ents, *(group or ()))}
    return [{"start": start, "end": end, "label": label} for start, end, label in sorted(found)]


def _find_meta(doc: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in doc.user_data.items()
        if isinstance(name, str) and isinstance(value, str | int | float | bool)
    }
