"""Proposals: spans that somebody from outside says are right, unverified until an annotator submits them (rule 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from training.examples.marks import settle_marks
from training.examples.partition import ensure_text
from training.examples.verification import classification_type, new_example
from training.feedback import example_revision
from training.spans import Prediction, ScoredSpan, Span, find_problems, parse_spans
from training.store.tables.examples import Source, TrainingDataset
from training.store.tables.projects import Project
from training.store.tables.texts import Task
from training.store.unit_of_work import UnitOfWork

# Label Studio serves the lowest score first: what somebody proposed waits for a person, not for a model.
PROPOSAL_SCORE = 0.0


def propose(rows: Sequence[dict[str, Any]]) -> Prediction:
    """What a proposal of these spans shows: each certain, and the score that brings its task up first."""
    spans = (ScoredSpan(s.start, s.end, s.label, 1.0, "proposal") for s in parse_spans(rows))
    return Prediction(tuple(spans), PROPOSAL_SCORE)


def record_proposal(
    uow: UnitOfWork,
    project: Project,
    text: str,
    spans: Iterable[Span],
    *,
    source: Source,
    given_type: str | None = None,
    now: datetime,
    hold: timedelta = timedelta(0),
) -> TrainingDataset:
    """Keep proposed spans as the unverified example of their text; a text that annotators have settled stays as it is.

    `given_type` is the classification type where somebody says one; without, it follows from the spans. Tasks that
    hold the text carry the proposal from now on, or from their first sight on (`training.examples.intake`), whoever
    brings them. What Label Studio does not show yet is queued for it, to be taken up after `hold`.
    """
    placed = ensure_text(uow, project, text, now=now)
    known = None if placed.is_new else uow.examples.of_text(project.id, placed.row.id)
    if known is not None and known.annotation_id is not None:
        return known
    example = known or new_example(project, placed.row.id, source, now=now)
    found = sorted(set(spans))
    example.source, example.updated_at = source, now
    example.entities = [span.to_json() for span in found]
    example.problems = [problem.to_json() for problem in find_problems(text, found, project.labels)]
    example.given_type = given_type or example.given_type
    example.classification_type = example.given_type or classification_type(project, found)
    example.revision = example_revision(found, verified=False)
    kept = known or uow.examples.add(example)
    tasks = [] if placed.is_new else uow.texts.tasks_of_text(placed.row.id)
    _queue(uow, project, kept, tasks, at=now + hold)
    return kept


def record_withdrawal(uow: UnitOfWork, project: Project, text_id: int) -> None:
    """Take what was proposed for a text off its tasks, which show nothing any more; a model speaks for them again."""
    proposed = [task for task in uow.texts.tasks_of_text(text_id) if task.proposal is not None]
    for task in proposed:
        task.proposal = None
        uow.texts.forget_pushed(project.id, task.id)
    uow.queue.forget_tasks(project.id, [task.id for task in proposed])
    settle_marks(uow, project, text_id)


def _queue(uow: UnitOfWork, project: Project, example: TrainingDataset, tasks: Sequence[Task], *, at: datetime) -> None:
    changed = [task for task in tasks if not task.is_labeled and task.proposal != example.entities]
    for task in changed:
        task.proposal = example.entities
    if changed:
        uow.queue.forget_tasks(project.id, [task.id for task in changed])
    if tasks:
        settle_marks(uow, project, example.text_id)
    if changed or not tasks:
        uow.proposals.queue(project.id, example.text_id, revision=example.revision, at=at)
