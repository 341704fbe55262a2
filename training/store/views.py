"""Reads for lists: pages of feedback and of examples, newest first, in one stable order.

Counts come from the tallies; a page deep in a list is read from whichever end is nearer, along an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, not_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from training.store.counting import INCORPORATED, ON_PROPOSAL, PENDING, VERDICTS
from training.store.tables.annotations import Contributor
from training.store.tables.examples import ExampleGroup, TrainingDataset
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult
from training.store.tables.texts import TextRow
from training.store.tallies import TallyName
from training.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class FeedbackFilter:
    """Which feedback; None leaves a column open."""

    is_correct: bool | None = None
    incorporated: bool | None = None
    contributor_id: int | None = None


@dataclass(frozen=True, slots=True)
class FeedbackLine:
    """One line of the list of feedback: the row, its text, what was shown, and who gave it."""

    feedback: ClassificationFeedback
    text: str
    shown: list[dict[str, Any]] | None
    username: str | None


@dataclass(frozen=True, slots=True)
class ExampleFilter:
    """Which examples; None leaves a column open. `group`, in any case, matches the type and every span's group."""

    verified: bool | None = None
    source: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ExampleLine:
    """One line of the list of training examples: the row with its text."""

    example: TrainingDataset
    text: TextRow


def count_feedback(uow: UnitOfWork, project_id: int, wanted: FeedbackFilter) -> int:
    """How much standing feedback the filter lets through."""
    key = None if wanted.contributor_id is None else str(wanted.contributor_id)
    counts = uow.tallies.sum_labels(project_id, TallyName.FEEDBACK, key=key)
    states = {None: (INCORPORATED, PENDING), True: (INCORPORATED,), False: (PENDING,)}[wanted.incorporated]
    total = 0
    for label, count in counts.items():
        verdict, _, state = label.partition(".")
        fits = wanted.is_correct is None or verdict.removeprefix(ON_PROPOSAL) == VERDICTS[wanted.is_correct]
        total += count if fits and state in states else 0
    return total


def list_feedback(
    uow: UnitOfWork, project_id: int, wanted: FeedbackFilter, *, count: int, limit: int, offset: int
) -> list[FeedbackLine]:
    """A page of the standing feedback; `count` is how much the filter lets through."""
    row = ClassificationFeedback
    query = select(row.id).where(row.project_id == project_id, not_(row.withdrawn))
    if wanted.is_correct is not None:
        query = query.where(row.is_correct == wanted.is_correct)
    if wanted.incorporated is not None:
        query = query.where(row.incorporated_in_training == wanted.incorporated)
    if wanted.contributor_id is not None:
        query = query.where(row.contributor_id == wanted.contributor_id)
    ids = _page_of_ids(uow.session, query, (row.created_at, row.id), count=count, limit=limit, offset=offset)
    lines = uow.session.execute(
        select(row, TextRow.text, MLClassificationResult.entities, Contributor.username)
        .join(TextRow, row.text_id == TextRow.id)
        .outerjoin(MLClassificationResult, row.result_id == MLClassificationResult.id)
        .outerjoin(Contributor, row.contributor_id == Contributor.id)
        .where(row.id.in_(ids))
    )
    found = {feedback.id: FeedbackLine(feedback, text, shown, name) for feedback, text, shown, name in lines}
    return [found[feedback_id] for feedback_id in ids if feedback_id in found]


def count_examples(uow: UnitOfWork, project_id: int, wanted: ExampleFilter) -> int:
    """How many examples the filter lets through."""
    spellings = _find_spellings(uow, project_id, wanted.group)
    if len(spellings) > 1:
        # An example may be of several of them, so that their counts do not add up.
        query, _ = _select_examples(project_id, wanted, spellings)
        return uow.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    total = 0
    for (key, group), count in uow.tallies.read(project_id, TallyName.EXAMPLE).items():
        verified, _, source = key.partition(".")
        fits = (
            (wanted.verified is None or (verified == "verified") == wanted.verified)
            and wanted.source in (None, source)
            and group in spellings
        )
        total += count if fits else 0
    return total


def list_examples(
    uow: UnitOfWork, project_id: int, wanted: ExampleFilter, *, count: int, limit: int, offset: int
) -> list[ExampleLine]:
    """A page of the project's examples; `count` is how many the filter lets through."""
    query, order = _select_examples(project_id, wanted, _find_spellings(uow, project_id, wanted.group))
    ids = _page_of_ids(uow.session, query, order, count=count, limit=limit, offset=offset)
    return _read_examples(uow.session, TrainingDataset.id.in_(ids), ids)


def _find_spellings(uow: UnitOfWork, project_id: int, group: str | None) -> list[str]:
    """How examples spell the group, whatever the case; without one the empty string, which counts them all."""
    names = {name for _, name in uow.tallies.read(project_id, TallyName.EXAMPLE)}
    return sorted(name for name in names if name.casefold() == (group or "").casefold())


def _select_examples(
    project_id: int, wanted: ExampleFilter, spellings: Sequence[str]
) -> tuple[Select[str], tuple[InstrumentedAttribute[Any], InstrumentedAttribute[Any]]]:
    """The ids of the examples that the filter lets through, each once, and the columns that order them."""
    row: type[TrainingDataset] | type[ExampleGroup] = TrainingDataset
    query, order = select(TrainingDataset.id), (TrainingDataset.created_at, TrainingDataset.id)
    if wanted.group is not None:
        row, order = ExampleGroup, (ExampleGroup.created_at, ExampleGroup.example_id)
        query = select(ExampleGroup.example_id).where(ExampleGroup.name.in_(spellings))
        if len(spellings) > 1:
            query = query.group_by(*order)
    query = query.where(row.project_id == project_id)
    if wanted.verified is not None:
        query = query.where(row.verified == wanted.verified)
    if wanted.source is not None:
        query = query.where(row.source == wanted.source)
    return query, order


def find_example(uow: UnitOfWork, example_id: str) -> ExampleLine | None:
    """The example with its text, or None."""
    found = _read_examples(uow.session, TrainingDataset.id == example_id, [example_id])
    return found[0] if found else None


def _read_examples(session: Session, which: ColumnElement[bool], ids: Sequence[str]) -> list[ExampleLine]:
    lines = session.execute(
        select(TrainingDataset, TextRow).join(TextRow, TrainingDataset.text_id == TextRow.id).where(which)
    )
    found = {example.id: ExampleLine(example, text) for example, text in lines}
    return [found[example_id] for example_id in ids if example_id in found]


def _page_of_ids(
    session: Session,
    query: Select[str],
    order: tuple[InstrumentedAttribute[Any], InstrumentedAttribute[Any]],
    *,
    count: int,
    limit: int,
    offset: int,
) -> list[str]:
    """The ids of a page, newest first."""
    limit = min(limit, count - offset)
    if limit <= 0:
        return []
    left = count - offset - limit
    if offset <= left:
        newest_first = query.order_by(*(column.desc() for column in order))
        return list(session.scalars(newest_first.limit(limit).offset(offset)))
    oldest_first = query.order_by(*order)
    return list(session.scalars(oldest_first.limit(limit).offset(left)))[::-1]
