"""Keeps what follows from feedback and examples in step with them, at each flush or insert, whoever changed them.

For feedback that is the text's part, the version that was judged and how each leaf fared; for examples the groups
they belong to; for both the running counts that statistics and lists read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, event, insert, inspect, select
from sqlalchemy.orm import Session

from training.spans import parse_spans
from training.store.tables.annotations import PredictionKind
from training.store.tables.base import new_id
from training.store.tables.examples import ExampleGroup, TrainingDataset
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult
from training.store.tables.projects import Project
from training.store.tables.texts import TextRow
from training.store.tallies import Entry, Tallies, TallyName

Counts = Counter[Entry]
VERDICTS = {True: "correct", False: "incorrect", None: "unjudged"}
ON_PROPOSAL = "proposal_"
INCORPORATED, PENDING = "incorporated", "pending"
VERIFIED, UNVERIFIED = "verified", "unverified"
_FLUSHED = "spanloop_counts_of_this_flush"
_OF_EXAMPLES = frozenset({TallyName.EXAMPLE, TallyName.EXAMPLE_PART})
_OF_FEEDBACK = frozenset(name for name in TallyName if name.startswith(("feedback", "label_")))


class CountingSession(Session):
    """A session that keeps the counts in step. A savepoint in it that may be rolled back holds one flush alone."""


class _Feedback(NamedTuple):
    """The columns of a feedback row that counts depend on."""

    project_id: int
    contributor_id: int | None
    created_at: datetime
    withdrawn: bool
    is_correct: bool | None
    incorporated_in_training: bool
    part: str
    model_version: str
    kind: str
    label_counts: dict[str, list[int]]


class _Example(NamedTuple):
    """The columns of an example that counts depend on."""

    project_id: int
    verified: bool
    source: str
    groups: list[str]
    part: str
    counted_run_id: str | None


def verdict_of(kind: str, is_correct: bool | None) -> str:
    """How feedback counts; what was said of a proposal says nothing of a model (rule 4)."""
    return (ON_PROPOSAL if kind == PredictionKind.PROPOSAL else "") + VERDICTS[is_correct]


def state_of(incorporated: bool) -> str:
    """Whether a run has taken it in."""
    return INCORPORATED if incorporated else PENDING


def _count_feedback(row: _Feedback) -> Counts:
    if row.withdrawn:
        return Counter()
    verdict, state = verdict_of(row.kind, row.is_correct), state_of(row.incorporated_in_training)
    day = row.created_at.astimezone(UTC).date().isoformat()
    counts: Counts = Counter(
        {
            (row.project_id, TallyName.FEEDBACK, str(row.contributor_id or 0), f"{verdict}.{state}"): 1,
            (row.project_id, TallyName.FEEDBACK_DAY, day, verdict): 1,
            (row.project_id, TallyName.FEEDBACK_VERSION, row.model_version, verdict): 1,
            (row.project_id, TallyName.FEEDBACK_PART, row.part, state): 1,
        }
    )
    for leaf, numbers in row.label_counts.items():
        for name, number in zip(_LABEL_NAMES, numbers, strict=True):
            counts[row.project_id, name, row.model_version, leaf] += number
    return counts


_LABEL_NAMES = (TallyName.LABEL_SHOWN, TallyName.LABEL_KEPT, TallyName.LABEL_WANTED)


def _count_example(row: _Example) -> Counts:
    verified = VERIFIED if row.verified else UNVERIFIED
    state = state_of(row.counted_run_id is not None)
    counts = Counter({(row.project_id, TallyName.EXAMPLE, f"{verified}.{row.source}", g): 1 for g in ("", *row.groups)})
    counts[row.project_id, TallyName.EXAMPLE_PART, row.part, f"{verified}.{state}"] = 1
    return counts


def count_labels(shown: Iterable[dict[str, Any]], wanted: Iterable[dict[str, Any]]) -> dict[str, list[int]]:
    """For each leaf how many spans were shown, how many of those were kept, and how many are right."""
    before, after = set(parse_spans(shown)), set(parse_spans(wanted))
    leaves = sorted({span.label for span in before | after})
    return {
        leaf: [sum(span.label == leaf for span in spans) for spans in (before, before & after, after)]
        for leaf in leaves
    }


@event.listens_for(CountingSession, "before_flush")
def _prepare(session: Session, _context: object, _instances: object) -> None:
    """Fill in what follows from changed rows, and note what their counts come to."""
    counts: Counts = Counter()
    session.info[_FLUSHED] = counts
    for row in [*session.new, *(row for row in session.dirty if session.is_modified(row))]:
        _take_in(session, row, counts)
    for row in session.deleted:
        if isinstance(row, ClassificationFeedback):
            counts.subtract(_count_feedback(_before(row, _Feedback)))
        elif isinstance(row, TrainingDataset):
            counts.subtract(_count_example(_before(row, _Example)))
            session.execute(delete(ExampleGroup).where(ExampleGroup.example_id == row.id))


def _take_in(session: Session, row: object, counts: Counts) -> None:
    if isinstance(row, ClassificationFeedback):
        _fill_feedback(session, row)
        _note(counts, row, _count_feedback, _Feedback)
    elif isinstance(row, TrainingDataset):
        _fill_example(session, row)
        _note(counts, row, _count_example, _Example)


@contextmanager
def count_new(session: Session, row: object) -> Iterator[None]:
    """Fill in and count a new row that is put in within, past the flush."""
    counts: Counts = Counter()
    _take_in(session, row, counts)
    yield
    Tallies(session).add(counts)
    if isinstance(row, TrainingDataset):
        _write_groups(session, [row])


@event.listens_for(CountingSession, "after_flush")
def _write(session: Session, _context: object) -> None:
    """Take over the counts, and write the groups of examples, now that their rows are there."""
    changed = [row for row in [*session.new, *session.dirty] if isinstance(row, TrainingDataset)]
    regrouped = [row for row in changed if _changed(row, "groups", "verified", "source")]
    if old := [row.id for row in regrouped if row not in session.new]:
        session.execute(delete(ExampleGroup).where(ExampleGroup.example_id.in_(old)))
    _write_groups(session, regrouped)
    Tallies(session).add(session.info.pop(_FLUSHED, Counter()))


@event.listens_for(CountingSession, "before_commit")
def _write_counts(session: Session) -> None:
    session.flush()
    Tallies(session).write()


@event.listens_for(CountingSession, "after_rollback")
def _drop_counts(session: Session) -> None:
    Tallies(session).drop()


def _note(counts: Counts, row: Any, count: Any, kind: Any) -> None:
    state = inspect(row)
    if state.persistent:
        counts.subtract(count(_before(row, kind)))
    else:
        # What was never set would have no history when it is set later.
        for column in set(kind._fields) - set(state.dict):
            setattr(row, column, None)
    counts.update(count(kind._make(getattr(row, column) for column in kind._fields)))


def _before(row: Any, kind: Any) -> Any:
    """The columns as the database holds them."""
    state = inspect(row)

    def value(column: str) -> Any:
        replaced = state.attrs[column].history.deleted
        return replaced[0] if replaced else getattr(row, column)

    return kind._make(map(value, kind._fields))


def _changed(row: Any, *columns: str) -> bool:
    state = inspect(row)
    return not state.persistent or any(state.attrs[column].history.has_changes() for column in columns)


def _fill_feedback(session: Session, row: ClassificationFeedback) -> None:
    if not _changed(row, "text_id", "result_id", "corrected_entities", "is_correct"):
        return
    text = session.get_one(TextRow, row.text_id)
    result = session.get_one(MLClassificationResult, row.result_id) if row.result_id else None
    row.part = text.part
    row.model_version = result.model_version if result else ""
    row.kind = result.kind if result else PredictionKind.MODEL
    judged = result is not None and row.is_correct is not None and row.kind == PredictionKind.MODEL
    row.label_counts = count_labels(result.entities, row.corrected_entities) if result and judged else {}


def _fill_example(session: Session, row: TrainingDataset) -> None:
    row.id = row.id or new_id()
    if _changed(row, "text_id"):
        row.part = session.get_one(TextRow, row.text_id).part
    if _changed(row, "entities", "classification_type"):
        row.groups = _groups_of(session.get_one(Project, row.project_id), row)


def _groups_of(project: Project, row: TrainingDataset) -> list[str]:
    """The groups in one spelling each, whatever case a type was given in: the taxonomy's, else lower case."""
    group_of = {label["name"]: label.get("group", "") for label in project.taxonomy}
    spelling = {group.casefold(): group for group in group_of.values()}
    given = row.classification_type.casefold()
    groups = {group_of.get(span["label"], "") for span in row.entities} | {spelling.get(given, given)}
    return sorted(groups - {""})


def _write_groups(session: Session, examples: Sequence[TrainingDataset]) -> None:
    rows = [
        {
            "project_id": row.project_id,
            "name": name,
            "created_at": row.created_at,
            "example_id": row.id,
            "verified": row.verified,
            "source": row.source,
        }
        for row in examples
        for name in row.groups
    ]
    if rows:
        session.connection().execute(_INSERT_GROUP, rows)


_INSERT_GROUP = insert(ExampleGroup)


FEEDBACK_COLUMNS = tuple(getattr(ClassificationFeedback, column) for column in _Feedback._fields)


def count_incorporated(session: Session, changed: Iterable[Row[Any]], *, now_incorporated: bool) -> None:
    """Count anew the feedback whose mark of incorporation was turned; `changed` holds its FEEDBACK_COLUMNS."""
    counts: Counts = Counter()
    for row in changed:
        turned = _Feedback._make(row)._replace(incorporated_in_training=now_incorporated)
        counts.subtract(_count_feedback(turned._replace(incorporated_in_training=not now_incorporated)))
        counts.update(_count_feedback(turned))
    Tallies(session).add(counts)


def rebuild_counts(session: Session, project_id: int) -> None:
    """Count a project's feedback and examples anew from their rows, after these were written past the session."""
    Tallies(session).clear(project_id, _OF_FEEDBACK | _OF_EXAMPLES)
    counts: Counts = Counter()
    feedback = select(*FEEDBACK_COLUMNS).where(ClassificationFeedback.project_id == project_id)
    for row in session.execute(feedback, execution_options={"yield_per": 5000}):
        counts.update(_count_feedback(_Feedback._make(row)))
    columns = [getattr(TrainingDataset, column) for column in _Example._fields]
    examples = select(*columns).where(TrainingDataset.project_id == project_id)
    for row in session.execute(examples, execution_options={"yield_per": 5000}):
        counts.update(_count_example(_Example._make(row)))
    Tallies(session).add(counts)
