"""Reads for exports: every verified text with what its annotators said, batch by batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from training.store.tables.annotations import Annotation
from training.store.tables.examples import TrainingDataset
from training.store.tables.texts import TextRow
from training.store.unit_of_work import OpenUnitOfWork, UnitOfWork

FIRST_BATCH = 100
LARGEST_BATCH = 1000
BATCH_CHARS = 2_000_000
"""About as many characters of texts are held at a time, whether texts are tweets or books."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one annotator said of a text: the newest of theirs that stands."""

    contributor_id: int | None
    spans: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class VerifiedText:
    """A verified example with its text, its part, and its annotators' opinions."""

    example_id: str
    text_id: int
    text: str
    part: str
    entities: list[dict[str, Any]]
    source: str
    verified_at: datetime | None
    opinions: tuple[Opinion, ...]


def iter_verified(
    read: OpenUnitOfWork, project_id: int, *, part: str | None = None
) -> Iterator[Sequence[VerifiedText]]:
    """Batches of the project's verified texts (of one part, or of all), in order of the texts' ids.

    Each batch is a transaction of its own: however long the reader takes, no transaction waits for it.
    """
    after, limit = 0, FIRST_BATCH
    while True:
        with read() as uow:
            batch = read_verified(uow, project_id, part=part, after=after, limit=limit)
        if not batch:
            return
        yield batch
        after = batch[-1].text_id
        characters = sum(len(found.text) for found in batch)
        limit = max(1, min(LARGEST_BATCH, BATCH_CHARS * len(batch) // max(characters, 1)))


def read_verified(uow: UnitOfWork, project_id: int, *, part: str | None, after: int, limit: int) -> list[VerifiedText]:
    """Up to `limit` verified texts with ids over `after`, by id."""
    query = (
        select(
            TrainingDataset.id,
            TrainingDataset.text_id,
            TextRow.text,
            TextRow.part,
            TrainingDataset.entities,
            TrainingDataset.source,
            TrainingDataset.verified_at,
        )
        .join(TextRow, TrainingDataset.text_id == TextRow.id)
        .where(TrainingDataset.project_id == project_id, TrainingDataset.text_id > after)
        # As a bare column it would draw SQLite to an index that holds no text id, and make it sort for each batch.
        .where(func.coalesce(TrainingDataset.verified, False))
        .order_by(TrainingDataset.text_id)
        .limit(limit)
    )
    if part is not None:
        query = query.where(TextRow.part == part)
    rows = uow.session.execute(query).all()
    opinions = _read_opinions(uow, project_id, after=after, until=rows[-1].text_id) if rows else {}
    return [VerifiedText(*row, opinions=tuple(opinions.get(row.text_id, ()))) for row in rows]


def _read_opinions(uow: UnitOfWork, project_id: int, *, after: int, until: int) -> dict[int | None, list[Opinion]]:
    query = (
        select(Annotation.text_id, Annotation.contributor_id, Annotation.id, Annotation.spans)
        .where(Annotation.project_id == project_id, Annotation.text_id > after, Annotation.text_id <= until)
        .where(Annotation.deleted.is_(False), Annotation.was_cancelled.is_(False))
        .order_by(Annotation.text_id, Annotation.updated_at, Annotation.id)
    )
    newest: dict[int | None, dict[object, Opinion]] = defaultdict(dict)
    for text_id, contributor_id, annotation_id, spans in uow.session.execute(query):
        # Whoever is not known counts as somebody else each time.
        who = contributor_id if contributor_id is not None else f"annotation {annotation_id}"
        newest[text_id][who] = Opinion(contributor_id, spans)
    return {text_id: list(by_annotator.values()) for text_id, by_annotator in newest.items()}
