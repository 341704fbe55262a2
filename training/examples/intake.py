"""What comes in becomes rows: tasks, annotations, deletions. The one way in, for webhooks and pulls alike.

Every function runs within the caller's unit of work, which holds the project's lock, and may run twice without harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from training.examples.marks import Mark, read_marks, settle_marks
from training.examples.partition import ensure_text
from training.examples.verification import refresh_example
from training.feedback import judge_correct, revision_of
from training.policy import parse_settings
from training.spans import ScoredSpan, Span, SpanProblem, find_problems, find_text_fault, parse_spans
from training.store.tables.annotations import Annotation, PredictionKind
from training.store.tables.examples import Source
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult
from training.store.tables.projects import Project
from training.store.tables.texts import Task
from training.store.unit_of_work import UnitOfWork
from training.versions.ab_testing import note_speaker

CLOCK_SKEW = timedelta(minutes=1)
"""How far Label Studio's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class SeenTask:
    """A task as Label Studio holds it; `text` is None where it has no usable text, and `problem` says why."""

    id: int
    text: str | None
    problem: str | None
    is_labeled: bool
    updated_at: datetime
    created_at: datetime | None = None
    marks: str = ""


@dataclass(frozen=True, slots=True)
class SeenPrediction:
    """The prediction an annotator started from."""

    id: int
    version: str
    spans: tuple[ScoredSpan, ...]
    score: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Who annotated: a key that stays, and a name to show."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class SeenAnnotation:
    """An annotation as Label Studio holds it; `parent` is what `parent_prediction` names, if it could be had.

    `on_behalf_of` is the contributor for whom we made it ourselves; None says nothing of that.
    """

    id: int
    task_id: int
    spans: tuple[Span, ...]
    problems: tuple[SpanProblem, ...]
    was_cancelled: bool
    ground_truth: bool
    lead_time: float | None
    person: Person | None
    parent_prediction: int | None
    parent: SeenPrediction | None
    created_at: datetime
    updated_at: datetime
    on_behalf_of: int | None = None


def record_task(uow: UnitOfWork, project: Project, seen: SeenTask, *, now: datetime) -> Task:
    """Mirror a task, giving its text a part at first sight."""
    problem = seen.problem or (find_text_fault(seen.text) if seen.text is not None else None)
    usable = seen.text is not None and problem is None
    text_id = ensure_text(uow, project, seen.text or "", now=now).row.id if usable else None
    task = uow.texts.find_task(project.id, seen.id)
    is_new = task is None or _is_another(task, seen)
    if task is None:
        task = uow.texts.add_task(
            Task(
                project_id=project.id,
                id=seen.id,
                text_id=text_id,
                problem=problem,
                proposal=_find_proposal(uow, project, text_id),
                is_labeled=seen.is_labeled,
                marks="",
                updated_at=seen.updated_at,
                deleted_at=None,
            )
        )
        _queue_proposal(uow, project, task, seen, now=now)
    elif is_new:
        task.deleted_at, task.text_id, task.proposal = None, text_id, _find_proposal(uow, project, text_id)
        uow.texts.forget_pushed(project.id, task.id)
    elif task.deleted_at is not None or seen.updated_at < task.updated_at:
        return task
    task.is_labeled, task.updated_at, task.problem = seen.is_labeled, seen.updated_at, problem
    task.shown_marks = seen.marks
    if task.text_id != text_id:
        _move_to_text(uow, project, task, text_id, now=now)
    if text_id is not None and (is_new or task.proposal is not None or task.marks):
        settle_marks(uow, project, text_id)
    return task


def _queue_proposal(uow: UnitOfWork, project: Project, task: Task, seen: SeenTask, *, now: datetime) -> None:
    """Let the proposal come to a task that somebody else made; one that shows it already says so in its data."""
    if task.text_id is None or task.proposal is None or Mark.TO_VERIFY in read_marks(seen.marks):
        return
    example = uow.examples.of_text(project.id, task.text_id)
    if example is not None:
        uow.proposals.queue(project.id, task.text_id, revision=example.revision, at=now)


def _is_another(known: Task, seen: SeenTask) -> bool:
    # On SQLite, Label Studio's import gives the number of the last task again once that one is deleted.
    return known.deleted_at is not None and seen.created_at is not None and seen.created_at > known.deleted_at


def _find_proposal(uow: UnitOfWork, project: Project, text_id: int | None) -> list[dict[str, Any]] | None:
    """What somebody proposed for the text before its task was seen, as long as no annotator has settled it."""
    example = uow.examples.of_text(project.id, text_id) if text_id is not None else None
    if example is None or example.annotation_id is not None or example.source == Source.LABEL_STUDIO:
        return None
    return example.entities


def _move_to_text(uow: UnitOfWork, project: Project, task: Task, text_id: int | None, *, now: datetime) -> None:
    # Somebody edited the task's data: its annotations speak of the new text from now on, its proposal of none.
    old, task.text_id, task.proposal = task.text_id, text_id, None
    for annotation in uow.annotations.of_task(project.id, task.id):
        _move_annotation(uow, project, annotation, text_id)
    uow.session.flush()
    for changed in (old, text_id):
        if changed is not None:
            refresh_example(uow, project, changed, now=now)


def _move_annotation(uow: UnitOfWork, project: Project, annotation: Annotation, text_id: int | None) -> None:
    spans = parse_spans(annotation.spans)
    outdated = [problem.to_json() for problem in _problems_in(uow, project, annotation.text_id, spans)]
    found = [problem.to_json() for problem in _problems_in(uow, project, text_id, spans)]
    annotation.problems = [row for row in annotation.problems if row not in outdated] + found
    annotation.text_id = text_id
    feedback = uow.feedback.of_annotation(project.id, annotation.id)
    if feedback is not None and text_id is not None:
        feedback.text_id = text_id


def record_annotation(uow: UnitOfWork, project: Project, seen: SeenAnnotation, *, now: datetime) -> bool:
    """Mirror an annotation and what follows from it; False where a newer state or a deletion is known already.

    Its task has been recorded before. The newest `updated_at` wins; a deletion is final (rule 2). What was made after
    the one of its number that was deleted is another annotation: on SQLite, Label Studio gives numbers again.
    """
    known = uow.annotations.find(project.id, seen.id)
    task = uow.texts.find_task(project.id, seen.task_id)
    if task is not None and task.deleted_at is not None:
        return False
    another = known is not None and known.deleted and seen.created_at > known.created_at
    if known is not None and not another and (known.deleted or known.updated_at > seen.updated_at):
        if task is not None:
            # The late news calls the task finished by what does not stand any more.
            recount_finished(uow, project, task)
        return False
    text_id = task.text_id if task else None
    row = known or Annotation(project_id=project.id, id=seen.id)
    row.deleted, row.created_at = False, seen.created_at
    if another:
        row.on_behalf_of_id = None
    _fill_annotation(uow, project, row, seen, text_id)
    if known is None:
        uow.annotations.add(row)
    uow.session.flush()
    if another:
        _forget_former(uow, project, seen)
    if task is not None:
        recount_finished(uow, project, task)
    if text_id is not None:
        _record_feedback(uow, project, row, seen, task, text_id=text_id)
        refresh_example(uow, project, text_id, now=now)
    return True


def _forget_former(uow: UnitOfWork, project: Project, seen: SeenAnnotation) -> None:
    # What was said of the deleted annotation that had this number before.
    feedback = uow.feedback.of_annotation(project.id, seen.id)
    if feedback is not None:
        feedback.result_id, feedback.is_correct, feedback.notes = None, None, ""
        feedback.incorporated_in_training, feedback.created_at = False, seen.created_at


def _fill_annotation(
    uow: UnitOfWork, project: Project, row: Annotation, seen: SeenAnnotation, text_id: int | None
) -> None:
    reported = {(problem.span, problem.problem) for problem in seen.problems}
    found = _problems_in(uow, project, text_id, seen.spans)
    problems = [*seen.problems, *(p for p in found if (p.span, p.problem) not in reported)]
    person = seen.person
    row.task_id, row.text_id = seen.task_id, text_id
    annotator = uow.projects.contributor("annotator", person.key, person.name).id if person else None
    row.on_behalf_of_id = seen.on_behalf_of or row.on_behalf_of_id
    row.contributor_id = row.on_behalf_of_id or annotator
    row.spans = [span.to_json() for span in seen.spans]
    row.problems = [problem.to_json() for problem in problems]
    row.was_cancelled, row.ground_truth, row.lead_time = seen.was_cancelled, seen.ground_truth, seen.lead_time
    row.parent_prediction, row.updated_at = seen.parent_prediction, seen.updated_at
    row.revision = revision_of(seen.spans, was_cancelled=seen.was_cancelled, ground_truth=seen.ground_truth)


def _problems_in(uow: UnitOfWork, project: Project, text_id: int | None, spans: Sequence[Span]) -> list[SpanProblem]:
    return [] if text_id is None else find_problems(uow.texts.get_text(text_id).text, spans, project.labels)


def recount_finished(uow: UnitOfWork, project: Project, task: Task) -> None:
    """Note whether as many people submitted the task as the project's verification rule asks for."""
    needed = parse_settings(project.settings).rule.annotators
    standing = [a for a in uow.annotations.of_task(project.id, task.id) if not a.was_cancelled]
    task.is_labeled = len(standing) >= needed


def _record_feedback(
    uow: UnitOfWork,
    project: Project,
    annotation: Annotation,
    seen: SeenAnnotation,
    task: Task | None,
    *,
    text_id: int,
) -> None:
    result = _keep_result(uow, project, annotation, seen, seen.parent, task) if seen.parent else None
    row = uow.feedback.of_annotation(project.id, annotation.id)
    shown = [span.span for span in seen.parent.spans] if seen.parent else None
    if row is None:
        row = uow.feedback.add(
            ClassificationFeedback(
                project_id=project.id,
                annotation_id=annotation.id,
                text_id=text_id,
                is_correct=None,
                corrected_entities=[],
                notes="",
                incorporated_in_training=False,
                created_at=seen.created_at,
                updated_at=seen.updated_at,
                withdrawn=False,
            )
        )
    elif seen.parent is None and row.result_id is not None and seen.parent_prediction is not None:
        # The prediction is gone from Label Studio by now; what it showed was kept at the first submit.
        shown = list(parse_spans(uow.feedback.get_result(row.result_id).entities))
    row.result_id = result.id if result else row.result_id
    row.task_id, row.text_id, row.contributor_id = annotation.task_id, text_id, annotation.contributor_id
    row.is_correct = judge_correct(seen.spans, shown, was_cancelled=seen.was_cancelled)
    row.corrected_entities = annotation.spans
    row.lead_time, row.updated_at, row.withdrawn = seen.lead_time, seen.updated_at, False


def _keep_result(
    uow: UnitOfWork,
    project: Project,
    annotation: Annotation,
    seen: SeenAnnotation,
    shown: SeenPrediction,
    task: Task | None,
) -> MLClassificationResult:
    known = uow.feedback.find_result(project.id, shown.id)
    if known is not None:
        return known
    model = uow.models.by_version(project.id, shown.version)
    proposed = task is not None and task.proposal is not None
    result = uow.feedback.add_result(
        MLClassificationResult(
            project_id=project.id,
            text_id=annotation.text_id,
            task_id=annotation.task_id,
            prediction_id=shown.id,
            model_id=model.id if model else None,
            model_version=shown.version,
            kind=PredictionKind.PROPOSAL if proposed else PredictionKind.MODEL,
            entities=[span.to_json() for span in shown.spans],
            score=shown.score,
            contributor_id=annotation.contributor_id,
            processing_time_ms=None,
            created_at=shown.created_at,
        )
    )
    note_speaker(uow, result, submitted_at=seen.created_at, lead_time=seen.lead_time or 0.0)
    return result


def record_deletions(
    uow: UnitOfWork,
    project: Project,
    annotation_ids: Iterable[int],
    *,
    now: datetime,
    told_at: datetime | None = None,
) -> int:
    """Mark annotations as deleted, for good, also ones not seen before; returns how many stood.

    `told_at` is when the news of it came, where it came as news: what was made after that has the number since, and
    stands. Without it, Label Studio has just been seen not to hold them.
    """
    standing = 0
    for annotation_id in annotation_ids:
        row = uow.annotations.find(project.id, annotation_id)
        if row is None:
            uow.annotations.add(_tombstone(project.id, annotation_id, told_at or now))
        elif not row.deleted and (told_at is None or row.created_at <= told_at + CLOCK_SKEW):
            standing += 1
            _delete_annotation(uow, project, row, now=now)
    return standing


def _tombstone(project_id: int, annotation_id: int, now: datetime) -> Annotation:
    return Annotation(
        project_id=project_id,
        id=annotation_id,
        spans=[],
        problems=[],
        was_cancelled=False,
        ground_truth=False,
        revision="",
        created_at=now,
        updated_at=now,
        deleted=True,
    )


def _delete_annotation(uow: UnitOfWork, project: Project, row: Annotation, *, now: datetime) -> None:
    row.deleted = True
    feedback = uow.feedback.of_annotation(project.id, row.id)
    if feedback is not None:
        feedback.withdrawn, feedback.updated_at = True, now
    uow.session.flush()
    task = uow.texts.find_task(project.id, row.task_id) if row.task_id is not None else None
    if task is not None:
        recount_finished(uow, project, task)
    if row.text_id is not None:
        refresh_example(uow, project, row.text_id, now=now)


def record_task_deletions(uow: UnitOfWork, project: Project, task_ids: Iterable[int], *, now: datetime) -> int:
    """Mark tasks and their annotations as deleted, for good, also tasks not seen before; returns how many stood."""
    standing = 0
    for task_id in task_ids:
        task = uow.texts.find_task(project.id, task_id)
        if task is None:
            uow.texts.add_task(
                Task(project_id=project.id, id=task_id, is_labeled=False, updated_at=now, deleted_at=now)
            )
        elif task.deleted_at is None:
            standing += 1
            record_deletions(uow, project, [a.id for a in uow.annotations.of_task(project.id, task_id)], now=now)
            task.deleted_at = now
    return standing
