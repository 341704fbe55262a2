"""Pulls that make store and Label Studio agree, whatever webhooks were lost."""

from __future__ import annotations

import random

import pytest

from tests.integration.loop import TEXT, Loop, region
from training.store.unit_of_work import Store

ADA, SSN = ("Ada Byron", "PERSON"), ("536-22-8726", "SSN")


@pytest.fixture
def loop(store: Store) -> Loop:
    """A project between the store and Label Studio, whose webhooks are lost unless delivered."""
    return Loop.start(store)


def test_a_pull_finds_what_no_webhook_told(loop: Loop) -> None:
    """Tasks imported with annotations, and submits whose webhook was lost, come in by the pull."""
    annotated = {"data": {"text": TEXT}, "annotations": [{"result": [region(TEXT, *ADA)], "ground_truth": True}]}
    loop.fake.import_tasks(loop.project_id, [annotated])
    made = loop.annotate(loop.add_task(f"{TEXT}!", ADA), ADA)
    found = loop.reconcile()
    assert (found.tasks, found.annotations) == (2, 2)
    example = loop.example()
    assert example is not None
    assert example.verified
    with loop.store.read() as uow:
        row = uow.feedback.of_annotation(loop.project_id, made.id)
    assert row is not None
    assert row.is_correct is True


def test_a_second_pull_finds_nothing_new(loop: Loop) -> None:
    """A pull after a pull changes nothing, full or not, and moves no example's revision."""
    loop.annotate(loop.add_task(), ADA)
    loop.reconcile()
    before = loop.project().last_change_at
    for full in (False, True):
        found = loop.reconcile(full=full)
        assert (found.tasks, found.annotations, found.deleted_annotations, found.deleted_tasks) == (0, 0, 0, 0)
    assert loop.project().last_change_at == before


def test_a_small_pull_sees_a_lost_change_and_a_lost_deletion(loop: Loop) -> None:
    """A changed and a deleted annotation move their tasks' time, so the small pull finds both."""
    changed, deleted = (loop.annotate(loop.add_task(f"{TEXT} {n}"), ADA) for n in range(2))
    loop.reconcile()
    loop.fake.update_annotation(changed.id, result=[])
    loop.fake.delete_annotation(deleted.id)
    found = loop.reconcile()
    assert (found.annotations, found.deleted_annotations) == (1, 1)
    row = loop.annotation(deleted.id)
    assert row is not None
    assert row.deleted


def test_only_a_full_pull_sees_lost_tasks(loop: Loop) -> None:
    """Tasks whose deletion was not told are found by comparing everything, with their annotations."""
    task_id = loop.add_task()
    made = loop.annotate(task_id, ADA)
    loop.add_task("another")
    loop.reconcile()
    loop.fake.delete_task(task_id)
    assert loop.reconcile().deleted_tasks == 0
    found = loop.reconcile(full=True)
    assert found.deleted_tasks == 1
    row, example = loop.annotation(made.id), loop.example()
    assert row is not None
    assert example is not None
    assert (row.deleted, example.verified) == (True, False)


def test_a_lost_project_is_marked_and_its_data_stays(loop: Loop) -> None:
    """A project that Label Studio does not have any more is marked, once, and its examples stay."""
    loop.annotate(loop.add_task(), ADA)
    loop.reconcile()
    loop.fake.delete_project(loop.project_id)
    assert loop.reconcile().project_deleted
    assert loop.reconcile().project_deleted
    assert loop.project().deleted_at is not None
    example = loop.example()
    assert example is not None
    assert example.verified


def test_our_own_field_in_a_tasks_data_is_no_change_by_an_annotator(loop: Loop) -> None:
    """Writing `spanloop` into a task's data moves its time, and leaves examples and retraining alone."""
    task_id = loop.add_task()
    loop.annotate(task_id, ADA)
    loop.reconcile()
    example, before = loop.example(), loop.project().last_change_at
    assert example is not None
    loop.fake.update_task_data(task_id, {"text": TEXT, "spanloop": "verify"})
    loop.reconcile()
    after = loop.example()
    assert after is not None
    assert (after.revision, after.counted_run_id) == (example.revision, example.counted_run_id)
    assert loop.project().last_change_at == before


def test_a_changed_text_takes_its_annotations_along(loop: Loop) -> None:
    """Where somebody edits a task's text, the old text's example is withdrawn."""
    task_id = loop.add_task()
    loop.annotate(task_id, ADA)
    loop.reconcile()
    loop.fake.update_task_data(task_id, {"text": "Ada Byron of London"})
    loop.reconcile()
    old, new = loop.example(), loop.example("Ada Byron of London")
    assert old is not None
    assert new is not None
    assert (old.verified, new.verified) == (False, True)


def test_after_a_changed_config_everything_is_looked_at_anew(loop: Loop) -> None:
    """A label that the config no longer has becomes a problem of the annotations that use it."""
    made = loop.annotate(loop.add_task(), SSN)
    loop.reconcile()
    loop.fake.update_project(loop.project_id, label_config=loop.project().label_config.replace("SSN", "NUMBER"))
    loop.reconcile()
    row = loop.annotation(made.id)
    assert row is not None
    assert [problem["problem"] for problem in row.problems] == ["unknown_label"]


def test_an_annotation_that_arrives_during_the_pull_is_not_taken_for_deleted(loop: Loop) -> None:
    """What came after the listing began is no proof of a deletion."""
    task_id = loop.add_task()
    loop.annotate(task_id, ADA)
    loop.reconcile()
    listing = loop.fake.iter_tasks

    def list_then_submit(*args: object, **options: object):  # type: ignore[no-untyped-def]
        tasks = list(listing(*args, **options))  # type: ignore[arg-type]
        late.append(loop.annotate(task_id, ADA, SSN))
        loop.sync()
        yield from tasks

    late: list = []  # type: ignore[type-arg]
    loop.fake.iter_tasks = list_then_submit  # type: ignore[method-assign]
    loop.reconcile(full=True)
    row = loop.annotation(late[0].id)
    assert row is not None
    assert not row.deleted


@pytest.mark.parametrize("seed", range(2))
def test_after_a_full_pull_lost_doubled_and_reordered_webhooks_do_not_matter(
    loop: Loop, sqlite_store: Store, seed: int
) -> None:
    """Two stores, one that saw every event in order and one that saw chaos, agree after a full pull."""
    chance = random.Random(seed)
    annotations: list[int] = []
    for step in range(20):
        act = chance.choice(["task", "submit", "submit", "change", "star", "skip", "delete", "drop"])
        tasks = sorted(loop.fake.tasks)
        annotations = [a.id for t in loop.fake.tasks.values() for a in t.annotations]
        if act == "task" or not tasks:
            loop.add_task(f"{TEXT} {step}", ADA)
        elif act == "submit":
            loop.annotate(chance.choice(tasks), *chance.sample([ADA, SSN], chance.randint(0, 2)))
        elif act == "drop" and len(tasks) > 3:
            loop.fake.delete_task(chance.choice(tasks))
        elif annotations and act == "delete":
            loop.fake.delete_annotation(chance.choice(annotations))
        elif annotations and act == "change":
            loop.fake.update_annotation(chance.choice(annotations), result=[region(TEXT, *SSN)])
        elif annotations and act == "star":
            loop.fake.update_annotation(chance.choice(annotations), ground_truth=True)
        elif annotations and act == "skip":
            loop.fake.update_annotation(chance.choice(annotations), was_cancelled=True)
    bodies = list(loop.fake.sent)
    while loop.sync().done:
        pass
    other = Loop.start(sqlite_store)
    other.fake = loop.fake
    chaos = [body for body in bodies for _ in range(chance.randint(0, 2))]
    chance.shuffle(chaos)
    for body in chaos:
        other.deliver(body)
    while other.drain().done:
        pass
    loop.reconcile(full=True)
    other.reconcile(full=True)
    mine, theirs = loop.snapshot(), other.snapshot()
    assert mine == theirs
    assert {i: t.is_labeled for i, t in loop.fake.tasks.items()}.keys() == mine["tasks"].keys()
