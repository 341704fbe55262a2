"""Training examples that people add, change and take out by hand; an annotator's answer stands above all of it.

Every function runs within the caller's unit of work, which holds the project's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from config.errors import Conflict, NotFound
from training.examples.proposals import record_proposal
from training.examples.verification import classification_type
from training.spans import Span, hash_text, parse_spans
from training.store.tables.examples import Source, TrainingDataset
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be changed of an example; None leaves it."""

    spans: tuple[Span, ...] | None = None
    given_type: str | None = None


def get_example(uow: UnitOfWork, example_id: str) -> TrainingDataset:
    """The example of a project that is there. Raises NotFound."""
    example = uow.examples.find(example_id)
    if example is None:
        raise NotFound(f"there is no training example {example_id}")
    uow.projects.get(example.project_id)
    return example


def add_example(
    uow: UnitOfWork, project: Project, text: str, spans: Sequence[Span], *, given_type: str | None, now: datetime
) -> TrainingDataset:
    """Propose spans for a text by hand. Raises Conflict where an annotator has given other spans."""
    example = uow.examples.of_hash(project.id, hash_text(text))
    if example is None:
        return record_proposal(uow, project, text, spans, source=Source.MANUAL, given_type=given_type, now=now)
    change_example(uow, project, example, text, Changes(tuple(spans), given_type), now=now)
    return example


def change_example(
    uow: UnitOfWork, project: Project, example: TrainingDataset, text: str, changes: Changes, *, now: datetime
) -> None:
    """Change an example's proposed spans, or its type. Raises Conflict where an annotator has given other spans."""
    spans = changes.spans
    if spans is not None and set(spans) != set(parse_spans(example.entities)):
        _check_open(example)
        record_proposal(
            uow, project, text, spans, source=Source(example.source), given_type=changes.given_type, now=now
        )
    elif changes.given_type is not None:
        set_type(project, example, changes.given_type, now=now)


def set_type(project: Project, example: TrainingDataset, given_type: str, *, now: datetime) -> None:
    """Say what type of text an example is; an empty type lets it follow from the spans again."""
    example.given_type = given_type or None
    example.classification_type = given_type or classification_type(project, parse_spans(example.entities))
    example.updated_at = now


def check_removable(uow: UnitOfWork, example: TrainingDataset) -> None:
    """Raise Conflict where the example is an annotator's, or stands in the record of a run."""
    _check_open(example)
    run_id = uow.runs.last_run_with(example.id)
    if run_id is not None:
        raise Conflict(f"run {run_id} took this example in, and its record keeps it; unverified, it trains no more")


def remove_example(uow: UnitOfWork, example: TrainingDataset) -> None:
    """Take an example out. Raises Conflict as `check_removable` does; its text keeps the part it got."""
    check_removable(uow, example)
    uow.examples.remove(example)


def _check_open(example: TrainingDataset) -> None:
    if example.annotation_id is not None:
        raise Conflict(
            f"annotation {example.annotation_id} in Label Studio says what holds for this text; change it there"
        )
