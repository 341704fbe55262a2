"""Texts whose right spans are known: read from a file, checked, and fitted to a project's labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from config.errors import InvalidInput
from training.formats.read import read_rows
from training.formats.rows import RejectedRow
from training.spans import Span
from training.taxonomy import Taxonomy, taxonomy_of

SHOWN = 5


@dataclass(frozen=True, slots=True)
class GoldText:
    """A text with its right spans, and the line it stands in."""

    line: int
    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class GoldSet:
    """The usable texts of a file, and a sentence for all that was left out."""

    path: Path
    texts: tuple[GoldText, ...]
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in use, the most frequent first."""
        counts = Counter(span.label for gold in self.texts for span in gold.spans)
        return tuple(sorted(counts, key=lambda label: (-counts[label], label)))


def read_gold(path: Path, *, max_chars: int) -> GoldSet:
    """Read a file whose rows say their spans (`{"text", "spans"}` a line, or CSV).

    A row that cannot be used or says nothing of spans is left out and noted. Raises NotFound or InvalidInput where
    the file cannot be read or no row of it can be used.
    """
    texts: list[GoldText] = []
    unusable: list[str] = []
    for row in read_rows(path, max_chars=max_chars):
        if isinstance(row, RejectedRow):
            unusable.append(f"line {row.line}: {row.reason}")
        elif row.spans is None:
            unusable.append(f"line {row.line}: says nothing of spans, not even an empty list")
        else:
            texts.append(GoldText(row.line, row.text, tuple(sorted(set(row.spans)))))
    if not texts:
        raise InvalidInput(f"{path} holds no usable text{': ' + '; '.join(unusable[:SHOWN]) if unusable else ''}")
    notes = _note(unusable, f"{path}: {len(unusable)} rows cannot be used and are left out")
    return GoldSet(path, tuple(texts), tuple(notes))


def drop_repeated(gold: GoldSet) -> GoldSet:
    """Each text once, as it stands first; what is repeated is noted."""
    first: dict[str, GoldText] = {}
    twins: list[str] = []
    for one in gold.texts:
        known = first.setdefault(one.text, one)
        if known is not one:
            same = "" if known.spans == one.spans else ", with other spans; those of the first are used"
            twins.append(f"line {one.line} repeats line {known.line}{same}")
    notes = _note(twins, f"{gold.path}: {len(twins)} rows repeat a text, which is taken once")
    return replace(gold, texts=tuple(first.values()), notes=(*gold.notes, *notes))


def _note(found: Sequence[str], sentence: str) -> list[str]:
    if not found:
        return []
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return [f"{sentence} ({'; '.join(found[:SHOWN])}{more})"]


def refuse_shared_texts(pool: GoldSet, test: GoldSet) -> None:
    """Raise InvalidInput, with the lines, where a text stands in both; white space makes no difference."""
    in_pool = {_fold(gold.text): gold.line for gold in pool.texts}
    shared = [
        f"line {in_pool[_fold(gold.text)]} of {pool.path} is line {gold.line} of {test.path}"
        for gold in test.texts
        if _fold(gold.text) in in_pool
    ]
    if shared:
        more = f"; and {len(shared) - SHOWN} more" if len(shared) > SHOWN else ""
        raise InvalidInput(
            f"{len(shared)} texts stand in both the pool and the test file, so the scores would not be honest: "
            f"{'; '.join(shared[:SHOWN])}{more}. Take them out of one"
        )


def _fold(text: str) -> str:
    return " ".join(text.split())


def choose_labels(pool: GoldSet, given: Taxonomy | None, known: Taxonomy) -> Taxonomy:
    """The given labels, else those of the pool, with what `known` says of them. Raises InvalidInput for none."""
    if given is not None:
        return given
    if not pool.labels:
        raise InvalidInput(f"{pool.path} holds no span, so it names no label; name the labels with --labels")
    return taxonomy_of(pool.labels, known)


def fit_to_labels(gold: GoldSet, taxonomy: Taxonomy, *, others: Literal["kept", "left out"]) -> GoldSet:
    """The texts with each span under the leaf that its label goes by.

    Spans whose label the taxonomy lacks are noted; `others` says whether they are "kept" or "left out".
    """
    strange: Counter[str] = Counter()
    texts = []
    for text in gold.texts:
        leaves = [(span, taxonomy.resolve(span.label)) for span in text.spans]
        strange.update(span.label for span, leaf in leaves if leaf is None)
        kept = {replace(span, label=leaf or span.label) for span, leaf in leaves if leaf or others == "kept"}
        texts.append(replace(text, spans=tuple(sorted(kept))))
    found = [f"{count} of {label!r}" for label, count in strange.most_common()]
    sentence = f"{gold.path}: {strange.total()} spans bear a label that the project lacks, and are {others}"
    return replace(gold, texts=tuple(texts), notes=(*gold.notes, *_note(found, sentence)))
