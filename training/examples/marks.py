"""Marks: what annotators can filter tasks by in Label Studio, such as "waits for verification".

A task's wanted marks stand in the store; the task's data shows them as soon as a job has written them there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    LABEL_ERROR = "label_error"
    UNCERTAIN = "uncertain"
    NEW_LABEL = "new_label"


SETTLED = frozenset({Mark.TO_VERIFY, Mark.DISAGREEMENT})
"""The marks that follow from a text's annotations and its proposal; the others are set by `mark_only`."""


def read_marks(value: object) -> frozenset[Mark]:
    """The marks in a field's value; words that are none of ours are left out."""
    return frozenset(read_words(value))


def read_words(value: object) -> dict[Mark, str]:
    """The words in a field's value by their marks: a mark, or a mark with its rank, as in `label_error:0012`."""
    words = value.split() if isinstance(value, str) else []
    return {Mark(name): word for word in words for name in [word.partition(":")[0]] if name in set(Mark)}


def write_marks(words: Iterable[str]) -> str:
    """The field's value for these marks, or their words: in a fixed order."""
    return " ".join(sorted(words))


def settle_marks(uow: UnitOfWork, project: Project, text_id: int) -> None:
    """Settle anew whether the text's tasks wait for verification, and whether their annotators differ."""
    example = uow.examples.of_text(project.id, text_id)
    verified = example is not None and example.verified
    differ = example is not None and _annotators_differ(uow, project, example)
    for task in uow.texts.tasks_of_text(text_id):
        found = {mark: word for mark, word in read_words(task.marks).items() if mark not in SETTLED}
        if Mark.LABEL_ERROR in found and not _is_doubted(uow, example):
            del found[Mark.LABEL_ERROR]
        if task.is_labeled:
            found.pop(Mark.UNCERTAIN, None)
        if task.proposal is not None and not verified and not task.is_labeled:
            found[Mark.TO_VERIFY] = Mark.TO_VERIFY
        if differ:
            found[Mark.DISAGREEMENT] = Mark.DISAGREEMENT
        task.marks = write_marks(found.values())


def _is_doubted(uow: UnitOfWork, example: TrainingDataset | None) -> bool:
    """Whether an audit's doubt is of what the example says now."""
    return example is not None and uow.doubts.holds(example.text_id, example.revision)


def _annotators_differ(uow: UnitOfWork, project: Project, example: TrainingDataset) -> bool:
    """Whether annotators gave different spans, and neither a star nor the agreement that is asked for settles it."""
    if example.conflict is None or example.annotation_id is None:
        return False
    chosen = uow.annotations.find(project.id, example.annotation_id)
    starred = chosen is not None and chosen.ground_truth
    agreed = example.verified and parse_settings(project.settings).rule.by is VerifiedBy.AGREEMENT
    return not (starred or agreed)


def mark_only(uow: UnitOfWork, project_id: int, mark: Mark, task_ids: Sequence[int], *, ranked: bool = False) -> None:
    """Let exactly these of the project's tasks carry a mark; where `ranked`, with their place, by which tabs sort."""
    words = {task_id: f"{mark}:{place:04d}" if ranked else mark.value for place, task_id in enumerate(task_ids, 1)}
    for task in uow.texts.with_mark(project_id, mark):
        if task.id not in words:
            task.marks = write_marks(word for kept, word in read_words(task.marks).items() if kept is not mark)
    for task in uow.texts.tasks(project_id, words):
        task.marks = write_marks({**read_words(task.marks), mark: words[task.id]}.values())
