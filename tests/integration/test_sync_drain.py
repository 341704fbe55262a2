"""Webhooks, received and worked off."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.errors import Conflict, InvalidInput
from sync.drain import DrainPolicy
from sync.receive import receive
from tests.integration.loop import POLICY, TEXT, Loop, region
from tests.integration.rows import NOW, later
from training.store.tables.annotations import PredictionKind
from training.store.tables.inbox import EventStatus
from training.store.unit_of_work import Store

PAYLOADS = Path(__file__).parents[1] / "payloads"
ADA, SSN = ("Ada Byron", "PERSON"), ("536-22-8726", "SSN")


@pytest.fixture
def loop(store: Store) -> Loop:
    """A project between the store and Label Studio."""
    return Loop.start(store)


def feedback(loop: Loop, annotation_id: int) -> Any:
    with loop.store.read() as uow:
        return uow.feedback.of_annotation(loop.project_id, annotation_id)


def test_a_correction_becomes_feedback_and_a_verified_example(loop: Loop) -> None:
    """What the annotator was shown is kept as a result, what she sent as feedback on it and as a verified example."""
    task_id = loop.add_task(TEXT, ADA)
    made = loop.annotate(task_id, ADA, SSN, lead_time=6.5)
    assert loop.sync().done == 2
    row = feedback(loop, made.id)
    with loop.store.read() as uow:
        result = uow.feedback.get_result(row.result_id)
        (person,) = [uow.projects.contributor("annotator", "1", "")]
    assert (row.is_correct, row.lead_time, row.contributor_id) == (False, 6.5, person.id)
    assert person.username == "annotator@spanloop.test"
    assert [entity["label"] for entity in row.corrected_entities] == ["PERSON", "SSN"]
    assert (result.prediction_id, result.model_version) == (made.parent_prediction, "spanloop-v0")
    assert [entity["label"] for entity in result.entities] == ["PERSON"]
    assert result.kind == PredictionKind.MODEL
    example = loop.example()
    assert example is not None
    assert example.verified
    assert len(example.entities) == 2


def test_a_pre_label_left_as_it_was_is_correct(loop: Loop) -> None:
    """The same spans, whatever their region ids or order, mean that the model was right."""
    task_id = loop.add_task(TEXT, ADA, SSN)
    made = loop.annotate(task_id, SSN, ADA)
    loop.sync()
    assert feedback(loop, made.id).is_correct is True


def test_without_a_pre_label_nothing_is_judged(loop: Loop) -> None:
    """Work from scratch, and a skip, say nothing of the model."""
    task_id = loop.add_task(TEXT, ADA)
    scratch = loop.annotate(task_id, ADA, from_shown=False)
    skip = loop.annotate(task_id, was_cancelled=True)
    loop.sync()
    assert feedback(loop, scratch.id).is_correct is None
    assert feedback(loop, skip.id).is_correct is None


def test_a_star_a_change_and_a_deletion_are_followed(loop: Loop) -> None:
    """The example follows its annotation through updates, and is withdrawn with it."""
    made = loop.annotate(loop.add_task(), ADA)
    loop.sync()
    loop.fake.update_annotation(made.id, result=[region(TEXT, "London", "CITY")], ground_truth=True)
    loop.sync()
    example, row = loop.example(), loop.annotation(made.id)
    assert example is not None
    assert row is not None
    assert [e["label"] for e in example.entities] == ["CITY"]
    assert row.ground_truth
    loop.fake.delete_annotation(made.id)
    loop.sync()
    example, row = loop.example(), loop.annotation(made.id)
    assert example is not None
    assert row is not None
    assert (example.verified, row.deleted) == (False, True)


def test_doubled_and_reordered_events_end_in_the_same_state(loop: Loop, sqlite_store: Store) -> None:
    """Whatever order bodies arrive in, and however often, the newest state stands, and a deletion is final."""
    kept, gone = (loop.annotate(loop.add_task(f"{TEXT} {n}"), ADA) for n in range(2))
    loop.fake.update_annotation(kept.id, result=[])
    loop.fake.delete_annotation(gone.id)
    bodies = list(loop.fake.sent)
    loop.sync()
    other = Loop.start(sqlite_store)
    other.fake = loop.fake
    for body in reversed(bodies):
        other.deliver(body, times=3)
    assert other.drain().done == len(bodies)
    mine, theirs = loop.snapshot(), other.snapshot()
    del mine["tasks"], theirs["tasks"]  # whether a task is finished, bodies tell only in their order
    assert mine == theirs
    assert (loop.annotation(gone.id) or kept).deleted  # type: ignore[union-attr]


def test_the_same_body_is_kept_once(loop: Loop) -> None:
    """A body that comes again is a duplicate, except where each one means something by itself."""
    loop.add_task()
    first, second = loop.deliver(loop.fake.sent[-1], times=2)
    assert (first.duplicate, second.duplicate, second.event_id) == (False, True, None)
    button = {"action": "START_TRAINING", "project": {"id": loop.project_id}}
    assert not loop.deliver(button)[0].duplicate
    loop.now = later(1)
    assert not loop.deliver(button)[0].duplicate


def test_the_training_button_asks_for_a_run(loop: Loop) -> None:
    """Start Training reaches whoever starts runs; that one is under way is no failure."""
    loop.deliver({"action": "START_TRAINING", "project": {"id": loop.project_id}})
    assert loop.drain().done == 1
    assert loop.requested == [loop.project_id]

    def busy(*_: object) -> None:
        raise Conflict("a run is under way")

    loop.now = later(1)
    loop.deliver({"action": "START_TRAINING", "project": {"id": loop.project_id}})
    assert loop.drain(request_training=busy).done == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"\xff\xfe", b"{}", b'{"action": 5}', b"[" * 100_000])
def test_what_is_no_webhook_body_is_refused_at_the_door(sqlite_store: Store, body: bytes) -> None:
    """Malformed bodies are refused at once, and nothing is kept of them."""
    with pytest.raises(InvalidInput):
        receive(sqlite_store, body, 1, now=NOW)
    with sqlite_store.read() as uow:
        assert uow.inbox.count_by_status() == {}


def test_an_event_of_an_unknown_project_is_parked_with_the_way_out(loop: Loop) -> None:
    """It waits, parked, for the project to be adopted, and its reason says how."""
    loop.deliver({"action": "START_TRAINING", "project": {"id": 4711}})
    assert loop.drain().parked == 1
    (event,) = loop.events(EventStatus.PARKED)
    assert "spanloop project adopt 4711" in (event.error or "")


def test_a_broken_event_is_parked_and_holds_up_nobody(loop: Loop) -> None:
    """A body that can never be read is parked at once, with its reason; the others are worked off."""
    task_id = loop.add_task()
    broken = {"action": "ANNOTATION_CREATED", "annotation": {"id": "x"}, "project": {"id": loop.project_id}}
    loop.deliver(broken)
    loop.deliver()
    drained = loop.drain()
    assert (drained.done, drained.parked) == (1, 1)
    with loop.store.read() as uow:
        assert uow.texts.find_task(loop.project_id, task_id) is not None


def test_an_unforeseen_failure_is_tried_again_then_parked(loop: Loop) -> None:
    """A crash comes again after growing pauses, and after some is parked; its reason quotes nothing."""

    def crash(*_: object) -> None:
        raise ZeroDivisionError(TEXT)

    loop.deliver({"action": "START_TRAINING", "project": {"id": loop.project_id}})
    for pause in (5, 10):
        assert loop.drain(request_training=crash).failed == 1
        loop.now += timedelta(seconds=pause - 1)
        assert loop.drain(request_training=crash).failed == 0
        loop.now += timedelta(seconds=1)
    assert loop.drain(request_training=crash).parked == 1
    (event,) = loop.events(EventStatus.PARKED)
    assert (event.error or "").startswith("ZeroDivisionError in crash")
    assert TEXT not in (event.error or "")


def test_a_replayed_event_is_worked_off(loop: Loop) -> None:
    """Once the reason is gone, a parked event can be replayed."""
    made = loop.annotate(loop.add_task(), ADA)
    project = loop.project()
    with loop.store.write() as uow:
        uow.projects.lock(project.id).deleted_at = NOW
        uow.commit()
    assert loop.sync().parked == 2
    with loop.store.write() as uow:
        found = uow.projects.find(project.id)
        assert found is not None
        found.deleted_at = None
        for event in uow.inbox.list(status=EventStatus.PARKED):
            uow.inbox.replay(event.id, NOW)
        uow.commit()
    assert loop.drain().done == 2
    assert loop.annotation(made.id) is not None


def test_label_studio_down_costs_no_event_an_attempt(loop: Loop) -> None:
    """While Label Studio is away, events wait as they are; when it is back, they are worked off."""
    made = loop.annotate(loop.add_task(TEXT, ADA), ADA)
    loop.deliver()
    loop.fake.down = True
    for _ in range(10):
        assert loop.drain().unavailable
        loop.now += timedelta(seconds=6)
    assert all(event.attempts == 0 for event in loop.events(EventStatus.PENDING))
    loop.fake.down = False
    assert not loop.drain().unavailable
    assert feedback(loop, made.id).is_correct is True


def test_what_is_known_needs_no_label_studio(loop: Loop) -> None:
    """Deletions and changed settings are worked off while Label Studio is away."""
    made = loop.annotate(loop.add_task(), ADA)
    loop.sync()
    loop.fake.delete_annotation(made.id)
    loop.fake.down = True
    assert loop.sync().done == 1
    row = loop.annotation(made.id)
    assert row is not None
    assert row.deleted


@pytest.mark.parametrize("action", ["ANNOTATION_CREATED", "ANNOTATIONS_DELETED", "TASKS_CREATED"])
def test_with_the_payload_switched_off_the_drain_pulls(loop: Loop, action: str) -> None:
    """A body without payload is as good as one with it."""
    task_id = loop.add_task(TEXT, ADA)
    made = loop.annotate(task_id, ADA)
    loop.deliver({"action": action})
    assert loop.drain().done == 1
    assert feedback(loop, made.id).is_correct is True


def test_a_claim_that_ran_out_is_worked_off_once(loop: Loop) -> None:
    """Where a drain dies, another takes its events when the lease is over; the first changes nothing any more."""
    loop.add_task()
    loop.deliver()
    with loop.store.write() as uow:
        claimed = uow.inbox.claim(token="dead", limit=10, lease=POLICY.lease, now=loop.now)
        uow.commit()
    assert len(claimed) == 1
    assert loop.drain("second").done == 0
    loop.now += POLICY.lease
    assert loop.drain("second").done == 1
    assert loop.drain("third").done == 0


def test_only_one_batch_is_claimed(loop: Loop) -> None:
    """A drain takes no more than it is told to, oldest first."""
    for n in range(3):
        loop.add_task(f"{TEXT} {n}")
    loop.deliver()
    small = DrainPolicy(batch=2, lease=POLICY.lease, attempts=3)
    assert [loop.drain(policy=small).done, loop.drain(policy=small).done] == [2, 1]


def test_a_lost_task_takes_its_annotations_along(loop: Loop) -> None:
    """With the task go its annotations and what they verified."""
    task_id = loop.add_task()
    made = loop.annotate(task_id, ADA)
    loop.sync()
    loop.fake.delete_task(task_id)
    loop.sync()
    example, row = loop.example(), loop.annotation(made.id)
    assert example is not None
    assert row is not None
    assert (row.deleted, example.verified) == (True, False)


def test_a_late_annotation_of_a_lost_task_is_let_go(loop: Loop) -> None:
    """An annotation whose task is gone everywhere is gone too, and holds nothing up."""
    task_id = loop.add_task()
    loop.annotate(task_id, ADA)
    body = dict(loop.fake.sent[-1])
    del body["task"]
    loop.fake.delete_task(task_id)
    loop.deliver(body)
    assert loop.drain().done == 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [({}, "no text under 'text'"), ({"text": 5}, "no text under 'text'"), ({"text": "a\x00b"}, "U+0000")],
)
def test_a_task_without_a_usable_text_is_kept_with_its_problem(loop: Loop, data: dict[str, Any], problem: str) -> None:
    """It is reported, and neither it nor its annotation breaks anything."""
    (task_id,) = loop.fake.import_tasks(loop.project_id, [{"data": data}])
    loop.fake.create_annotation(task_id, [region(TEXT, "Ada", "PERSON")])
    assert loop.sync().done == 2
    with loop.store.read() as uow:
        task = uow.texts.find_task(loop.project_id, task_id)
    assert task is not None
    assert problem in (task.problem or "")


def test_regions_that_cannot_be_learnt_from_are_reported(loop: Loop) -> None:
    """Several labels, no label, an unknown one, a place outside the text: kept with their problems, nothing fails."""
    task_id = loop.add_task()
    odd = [
        region(TEXT, "Ada Byron", "PERSON", "CITY"),
        region(TEXT, "London"),
        region(TEXT, "536-22-8726", "GADGET"),
        {**region(TEXT, "London", "CITY"), "value": {"start": 900, "end": 905, "labels": ["CITY"]}},
    ]
    made = loop.fake.create_annotation(task_id, odd)
    assert loop.sync().done == 2
    row = loop.annotation(made.id)
    assert row is not None
    assert {p["problem"] for p in row.problems} == {"several_labels", "no_label", "unknown_label", "out_of_text"}


def test_a_changed_config_is_taken_over_and_a_useless_one_is_not(loop: Loop) -> None:
    """New labels are known from the event on; a config without <Labels> leaves the last good one."""
    good = loop.project().label_config.replace("CITY", "TOWN")
    loop.fake.update_project(loop.project_id, label_config=good, title="New name")
    loop.sync()
    assert loop.project().title == "New name"
    assert loop.project().labels == ("PERSON", "SSN", "TOWN")
    loop.fake.update_project(loop.project_id, label_config="<View/>")
    assert loop.sync().done == 1
    assert loop.project().label_config == good


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda p: p.stem)
def test_recorded_bodies_are_worked_off(sqlite_store: Store, path: Path) -> None:
    """Every real body goes through, in a project with its id."""
    loop = Loop.start(sqlite_store)
    body = json.loads(path.read_text(encoding="utf-8"))
    body["project"]["id"] = loop.project_id
    receive(loop.store, json.dumps(body).encode(), None, now=loop.now)
    assert loop.drain().done == 1
