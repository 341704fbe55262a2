"""What every writer of a format has in common: it takes examples one by one, and holds few of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

from training.exports.examples import NotHeld

Example = TypeVar("Example", contravariant=True)
NO_TOKENS = "the tokenizer's tokens do not add up to the text"


class ExportFormat(StrEnum):
    """What verified data can be written as."""

    SPACY = "spacy"
    CONLL = "conll"
    JSONL = "jsonl"
    CSV = "csv"
    HUGGINGFACE = "huggingface"
    LABEL_STUDIO = "label-studio"


@dataclass(frozen=True, slots=True)
class Controls:
    """Where Label Studio shows text and labels: the task's field, the <Text>, and the <Labels> of each label.

    `elsewhere` names the control of labels that do not stand in `from_name`.
    """

    text_key: str = "text"
    to_name: str = "text"
    from_name: str = "label"
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def control_of(self, label: str) -> str:
        """The <Labels> control that offers this label."""
        return self.elsewhere.get(label, self.from_name)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a writer needs to know of its project: the leaves, and the names of Label Studio's controls."""

    labels: tuple[str, ...]
    controls: Controls


class Writer(Protocol[Example]):
    """Writes examples, or examples on tokens, to the files of one part in one format."""

    def write(self, example: Example) -> Iterable[NotHeld]:
        """Add an example; gives what of it the format cannot hold."""

    def close(self) -> list[Path]:
        """Finish; the files, in order. None where nothing was written."""
