"""Marks: what annotators can filter tasks by in Label Studio, such as "waits for verification".

A task's wanted marks stand in the store; the task's data shows them as soon as a job has written them there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from training.policy import VerifiedBy, parse_settings
from training.store.tables.examples import TrainingDataset
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork

FIELD = "spanloop"
"""The field of a task's data that holds its marks as words; hashes of texts never see it."""


class Mark(StrEnum):
    """One word of the field. None may be a part of another: tabs filter by what the field contains."""

    TO_VERIFY = "to_verify"
    DISAGREEMENT = "disagreement"


SETTLED = frozenset({Mark.TO_VERIFY, Mark.DISAGREEMENT})
"""The marks that follow from a text's annotations and its proposal; the others are set by `mark_only`."""


def read_marks(value: object) -> frozenset[Mark]:
    """The marks in a field's value; words that are none of ours are left out."""
    words = set(value.split()) if isinstance(value, str) else set()
    return frozenset(mark for mark in Mark if mark in words)


def write_marks(marks: Iterable[Mark]) -> str:
    """The field's value for these marks: words in a fixed order."""
    return " ".join(sorted(marks))


def settle_marks(uow: UnitOfWork, project: Project, text_id: int) -> None:
    """Settle anew whether the text's tasks wait for verification, and whether their annotators differ."""
    example = uow.examples.of_text(project.id, text_id)
    verified = example is not None and example.verified
    differ = example is not None and _annotators_differ(uow, project, example)
    for task in uow.texts.tasks_of_text(text_id):
        found = set(read_marks(task.marks)) - SETTLED
        if task.proposal is not None and not verified and not task.is_labeled:
            found.add(Mark.TO_VERIFY)
        if differ:
            found.add(Mark.DISAGREEMENT)
        task.marks = write_marks(found)


def _annotators_differ(uow: UnitOfWork, project: Project, example: TrainingDataset) -> bool:
    """Whether annotators gave different spans, and neither a star nor the agreement that is asked for settles it."""
    if example.conflict is None or example.annotation_id is None:
        return False
    chosen = uow.annotations.find(project.id, example.annotation_id)
    starred = chosen is not None and chosen.ground_truth
    agreed = example.verified and parse_settings(project.settings).rule.by is VerifiedBy.AGREEMENT
    return not (starred or agreed)


def mark_only(uow: UnitOfWork, project_id: int, mark: Mark, task_ids: Collection[int]) -> None:
    """Let exactly these of the project's tasks carry a mark."""
    wanted = set(task_ids)
    for task in uow.texts.with_mark(project_id, mark):
        if task.id not in wanted:
            task.marks = write_marks(read_marks(task.marks) - {mark})
    for task in uow.texts.tasks(project_id, wanted):
        task.marks = write_marks(read_marks(task.marks) | {mark})
