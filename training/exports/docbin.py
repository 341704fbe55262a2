"""spaCy's DocBin: spans as `doc.ents`; where spans overlap all that lie on tokens stand in the span group `sc` too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spacy.tokens import DocBin, Span
from srsly import msgpack

from training.exports.examples import NotHeld
from training.exports.tokens import TokenizedExample
from training.exports.writing import NO_TOKENS
from training.formats.docbin import SPAN_GROUP

ATTRIBUTES = ("ORTH", "SPACY", "ENT_IOB", "ENT_TYPE")
# A DocBin is read and written as a whole: so many tokens take about 100 MB when it is.
LARGEST_FILE = 500_000
NOT_IN_ENTS = "not in doc.ents, but in doc.spans['sc']: "


class DocBinWriter:
    """`NAME.spacy`, or where one file would be too large for memory a folder NAME of several, as `spacy train` takes.

    `doc.user_data` holds the example's id, part and source.
    """

    def __init__(self, folder: Path, name: str, *, largest_file: int = LARGEST_FILE) -> None:
        self._folder, self._name, self._largest_file = folder, name, largest_file
        self._files: list[Path] = []
        # One for all docs: each new packer looks for encoders in all installed packages, which takes a millisecond.
        self._packer = msgpack.Packer(use_bin_type=True)
        self._start()

    def _start(self) -> None:
        self._docs = DocBin(attrs=ATTRIBUTES)
        self._tokens = 0

    def write(self, example: TokenizedExample) -> list[NotHeld]:
        """Add an example."""
        if not example.fits:
            return [NotHeld(None, NO_TOKENS)]
        if len(self._docs) and self._tokens + len(example.doc) > self._largest_file:
            self._flush()
        self._docs.add(_label(example))
        self._docs.user_data.append(self._packer.pack(example.example.meta))
        self._tokens += len(example.doc)
        return [*(NotHeld(entry.span, NOT_IN_ENTS + entry.reason) for entry in example.untagged), *example.unaligned]

    def _flush(self) -> None:
        (self._folder / self._name).mkdir(exist_ok=True)
        self._files.append(self._folder / self._name / f"{len(self._files) + 1:04}.spacy")
        self._docs.store_user_data = True
        self._docs.to_disk(self._files[-1])
        self._start()

    def close(self) -> list[Path]:
        """Write what is left; a single file loses its folder."""
        if len(self._docs):
            self._flush()
        if len(self._files) == 1:
            self._files = [self._files[0].replace(self._folder / f"{self._name}.spacy")]
            (self._folder / self._name).rmdir()
        return self._files


def _label(example: TokenizedExample) -> Any:
    doc = example.doc
    spans = {found: Span(doc, found.first, found.end, label=found.span.label) for found in example.aligned}
    doc.set_ents([spans[found] for found in example.tagged], default="outside")
    if example.untagged:
        doc.spans[SPAN_GROUP] = list(spans.values())
    return doc
