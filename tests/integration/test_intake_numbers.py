"""Numbers given twice: on SQLite, Label Studio's import takes up those of the last tasks and annotations deleted."""

from __future__ import annotations

from datetime import datetime

from tests.integration.rows import LABELS, Desk, later, shown, span_of
from training.examples.intake import SeenTask, record_task
from training.prediction.pipeline import PipelineSpec
from training.store.tables.annotations import PredictionKind, PushedPrediction
from training.store.tables.texts import Task
from training.store.unit_of_work import Store
from training.versions.registry import register_base

OLD, NEW = "Ada Byron lives in Paris", "Call Bob tomorrow"
ADA, BOB = span_of(OLD, "Ada Byron", "PERSON"), span_of(NEW, "Bob", "PERSON")


def see_task(desk: Desk, task_id: int, text: str, *, created: datetime, at: float) -> Task:
    """A task of this number, made at that time."""
    with desk.store.write() as uow:
        project = uow.projects.lock(desk.project_id)
        seen = SeenTask(task_id, text, None, False, later(at), created_at=created)
        task = record_task(uow, project, seen, now=later(at))
        uow.commit()
    return task


def test_a_task_made_after_a_deletion_is_another_one(store: Store) -> None:
    """A number that was deleted and given again is a new task: it is mirrored, and its annotations count."""
    desk = Desk(store)
    see_task(desk, 1, OLD, created=later(0), at=0)
    desk.annotate(1, 1, ADA)
    desk.delete_tasks(1, at=100)
    task = see_task(desk, 1, NEW, created=later(101), at=101)
    assert task.deleted_at is None
    assert desk.annotate(2, 1, BOB, at=102, created_at=later(102))
    example = desk.example(NEW)
    assert example is not None
    assert example.verified
    gone = desk.example(OLD)
    assert gone is not None
    assert not gone.verified


def test_a_deleted_task_stays_deleted_whatever_is_said_of_it_later(store: Store) -> None:
    """News of the task that was deleted, however late, does not bring it back."""
    desk = Desk(store)
    see_task(desk, 1, OLD, created=later(0), at=0)
    desk.delete_tasks(1, 2, at=100)
    assert see_task(desk, 1, NEW, created=later(0), at=200).deleted_at == later(100)
    assert see_task(desk, 2, NEW, created=later(50), at=200).deleted_at == later(100)


def test_a_new_task_of_an_old_number_waits_for_its_prelabel(store: Store) -> None:
    """The predictions that were pushed for the old task are not taken for the new one's."""
    desk = Desk(store)
    see_task(desk, 1, OLD, created=later(0), at=0)
    push(store, desk.project_id)
    desk.delete_tasks(1, at=100)
    see_task(desk, 1, NEW, created=later(101), at=101)
    with store.read() as uow:
        assert uow.texts.pushed_task_ids(desk.project_id, "spanloop-v0") == set()
        assert uow.texts.count_unpushed(desk.project_id, "spanloop-v0") == 1


def push(store: Store, project_id: int) -> None:
    """Note that task 1 has a prediction of version 0."""
    with store.write() as uow:
        base = PipelineSpec(base="blank:en", language="en", labels=LABELS, label_mapping={})
        register_base(uow, uow.projects.get(project_id), base, now=later(0))
        model = uow.models.of_project(project_id)[0]
        row = PushedPrediction(
            project_id=project_id,
            task_id=1,
            model_id=model.id,
            version=model.version,
            kind=PredictionKind.MODEL,
            spans=[],
            score=0.5,
            pushed_at=later(1),
        )
        uow.texts.add_pushed([row])
        uow.commit()


def test_an_annotation_made_after_a_deletion_is_another_one(store: Store) -> None:
    """A number that was deleted and given again is a new annotation, and nothing of the old one's feedback stays."""
    desk = Desk(store)
    desk.task(1, OLD)
    desk.task(2, NEW)
    desk.annotate(1, 1, ADA, **shown(11, ADA))
    desk.delete(1, at=100)
    assert desk.annotate(1, 2, BOB, at=402, created_at=later(401))
    feedback, example = desk.feedback(1), desk.example(NEW)
    assert feedback is not None
    assert (feedback.result_id, feedback.is_correct, feedback.withdrawn) == (None, None, False)
    assert feedback.created_at == later(401)
    assert example is not None
    assert example.verified


def test_a_late_deletion_does_not_take_what_was_made_after_it(store: Store) -> None:
    """A deletion that comes in late, from before an annotation of this number was made, speaks of another one."""
    desk = Desk(store)
    desk.task(2, NEW)
    desk.annotate(1, 2, BOB, at=402, created_at=later(401))
    assert desk.delete(1, at=100) == 0
    example = desk.example(NEW)
    assert example is not None
    assert example.verified


def test_a_deletion_drained_late_leaves_what_was_made_meanwhile(store: Store) -> None:
    """Of an annotation that nobody told of comes its deletion alone; the next one of its number was made after that."""
    desk = Desk(store)
    desk.task(2, NEW)
    desk.delete(1, at=100, drained=500)
    assert not desk.annotate(1, 2, ADA, at=501, created_at=later(50))
    assert desk.annotate(1, 2, BOB, at=502, created_at=later(401))
    example = desk.example(NEW)
    assert example is not None
    assert example.verified
