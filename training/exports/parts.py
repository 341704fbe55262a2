"""The files of an export: a writer for each part that turns up, or one for all, and what is counted on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from training.exports.card import Tally
from training.exports.conll import ConllWriter
from training.exports.docbin import DocBinWriter
from training.exports.examples import ExportExample, NotHeld, NotHeldList, open_example
from training.exports.plain import CsvWriter, JsonLinesWriter, LabelStudioWriter
from training.exports.tokens import TokenizedExample, Tokenizer
from training.exports.writing import ExportFormat, Layout, Writer
from training.store.verified import VerifiedText

PLAIN_WRITERS: dict[ExportFormat, Callable[[Path, str, Layout], Writer[ExportExample]]] = {
    ExportFormat.JSONL: lambda folder, name, _: JsonLinesWriter(folder, name),
    ExportFormat.CSV: lambda folder, name, _: CsvWriter(folder, name),
    ExportFormat.LABEL_STUDIO: LabelStudioWriter,
}


def _write_parquet(folder: Path, name: str, layout: Layout) -> Writer[TokenizedExample]:
    # Only this format needs pyarrow, which takes a third of a second and 60 MB.
    from training.exports.parquet import ParquetWriter

    return ParquetWriter(folder, name, layout)


TOKEN_WRITERS: dict[ExportFormat, Callable[[Path, str, Layout], Writer[TokenizedExample]]] = {
    ExportFormat.SPACY: lambda folder, name, _: DocBinWriter(folder, name),
    ExportFormat.CONLL: lambda folder, name, _: ConllWriter(folder, name),
    ExportFormat.HUGGINGFACE: _write_parquet,
}


class _OnTokens:
    """Hands examples on with their tokens."""

    def __init__(self, writer: Writer[TokenizedExample], tokenizer: Tokenizer) -> None:
        self._writer, self._tokenizer = writer, tokenizer

    def write(self, example: ExportExample) -> Iterable[NotHeld]:
        return self._writer.write(self._tokenizer.tokenize(example))

    def close(self) -> list[Path]:
        return self._writer.close()


class PartWriters:
    """Takes batches of verified texts; `files` are there after the end.

    `whole` is the name of the one file that takes every part; with None each part gets its own. Raises
    ModelUnavailable where the format needs tokens and spaCy lacks the language.
    """

    def __init__(self, folder: Path, to: ExportFormat, layout: Layout, *, language: str, whole: str | None) -> None:
        self._folder, self._to, self._layout, self._whole = folder, to, layout, whole
        self._tokenizer = Tokenizer(language) if to in TOKEN_WRITERS else None
        self._writers: dict[str, Writer[ExportExample]] = {}
        self.tally = Tally()
        self.not_held = NotHeldList(folder)
        self.files: list[tuple[str, Path]] = []

    def write(self, batch: Sequence[VerifiedText]) -> None:
        """Write a batch."""
        with self._tokenizer.batch() if self._tokenizer else nullcontext():
            for found in batch:
                example, outside = open_example(found)
                missing = self._writer_of(self._whole or example.part).write(example)
                self.not_held.add(example, [*outside, *missing])
                self.tally.add(example, found.opinions)

    def _writer_of(self, name: str) -> Writer[ExportExample]:
        if name not in self._writers:
            self._writers[name] = self._open(name)
        return self._writers[name]

    def _open(self, name: str) -> Writer[ExportExample]:
        if self._to in PLAIN_WRITERS:
            return PLAIN_WRITERS[self._to](self._folder, name, self._layout)
        assert self._tokenizer is not None, "every format is in one of the two tables"
        return _OnTokens(TOKEN_WRITERS[self._to](self._folder, name, self._layout), self._tokenizer)

    def _close(self, name: str) -> None:
        self.files += [(name, path) for path in self._writers[name].close()]

    def __enter__(self) -> Self:
        self.not_held.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Each is closed, whatever becomes of the others.
        with ExitStack() as stack:
            stack.push(self.not_held)
            for name in self._writers:
                stack.callback(self._close, name)
        self.files.sort()
