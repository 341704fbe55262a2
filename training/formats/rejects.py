"""The rejects file: every row that was left out, as JSON lines with line, reason and offending value."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from config.errors import ConfigurationError
from training.formats.rows import RejectedRow

SUFFIX = ".rejects.jsonl"


def rejects_path(source: Path) -> Path:
    """Where the rejects of an import file go unless somebody says otherwise: beside it."""
    return source.parent / f"{source.name}{SUFFIX}"


class RejectsFile:
    """Takes rejected rows as they are met; the file is made, in place of an older one, when the first comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._file: TextIO | None = None

    def write(self, rejected: RejectedRow) -> None:
        """Add a row. Raises ConfigurationError where the file cannot be written."""
        try:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8")
            self._file.write(json.dumps(asdict(rejected), ensure_ascii=False) + "\n")
        except OSError as error:
            raise ConfigurationError(
                f"the rejects file {self.path} cannot be written: {error.strerror}; name another by --rejects"
            ) from error
        self.rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
