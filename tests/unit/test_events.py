"""Webhook bodies, as a real Label Studio sent them, and as it never should."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from config.errors import InvalidInput
from sync.events import (
    AnnotationsDeleted,
    AnnotationsSaved,
    Ignored,
    ProjectChanged,
    ProjectDeleted,
    PullNeeded,
    TasksDeleted,
    TasksSaved,
    TrainingRequested,
    parse_event,
    project_of,
)

PAYLOADS = Path(__file__).parents[1] / "payloads"
ACTIONS = sorted(path.stem.upper() for path in PAYLOADS.glob("*.json"))


@cache
def _recorded(action: str) -> str:
    return (PAYLOADS / f"{action.lower()}.json").read_text(encoding="utf-8")


def recorded(action: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(_recorded(action))
    return body


def test_every_action_of_the_loop_was_recorded() -> None:
    """There is a real body for each action that Label Studio sends to a project's webhook."""
    assert set(ACTIONS) == {
        "ANNOTATION_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATIONS_DELETED",
        "PROJECT_UPDATED",
        "START_TRAINING",
        "TASKS_CREATED",
        "TASKS_DELETED",
    }


@pytest.mark.parametrize("action", ACTIONS)
def test_every_recorded_body_names_its_project_and_is_understood(action: str) -> None:
    """No real body is ignored, and each says which project it is of."""
    body = recorded(action)
    assert project_of(body) == 1
    assert not isinstance(parse_event(body), Ignored | PullNeeded)


@pytest.mark.parametrize("action", ACTIONS)
def test_recorded_bodies_hold_no_secret(action: str) -> None:
    """The project's token was replaced before the body was kept."""
    assert recorded(action).get("project", {}).get("token", "scrubbed") == "scrubbed"


def test_a_submit_carries_what_the_annotator_was_shown() -> None:
    """The prediction shown is the one `parent_prediction` names, and the work took `lead_time` seconds."""
    event = parse_event(recorded("ANNOTATION_CREATED"))
    assert isinstance(event, AnnotationsSaved)
    (annotation,), (task,) = event.annotations, event.tasks
    assert (annotation.parent_prediction, annotation.lead_time, annotation.completed_by) == (1, 7.5, 1)
    assert (annotation.was_cancelled, annotation.ground_truth) == (False, False)
    assert len(annotation.result) == 2
    assert annotation.task_id == task.id
    assert task.data["text"].startswith("Ms Ada Byron")


def test_a_submit_from_scratch_has_no_parent_though_the_body_quotes_a_prediction() -> None:
    """`annotation.prediction` is a snapshot, not what was shown."""
    body = recorded("ANNOTATION_CREATED")
    body["annotation"]["parent_prediction"] = None
    event = parse_event(body)
    assert isinstance(event, AnnotationsSaved)
    assert event.annotations[0].parent_prediction is None


def test_an_update_says_that_the_annotation_was_starred() -> None:
    """A star arrives as an update."""
    event = parse_event(recorded("ANNOTATION_UPDATED"))
    assert isinstance(event, AnnotationsSaved)
    assert event.annotations[0].ground_truth


def test_a_batch_says_the_same_as_single_events() -> None:
    """Annotations made in bulk come in one body, with their tasks."""
    event = parse_event(recorded("ANNOTATIONS_CREATED"))
    assert isinstance(event, AnnotationsSaved)
    assert {a.task_id for a in event.annotations} <= {t.id for t in event.tasks}


def test_a_batch_under_plural_names_is_read_too() -> None:
    """Whether a body says annotation or annotations, task or tasks, one or many, it means the same."""
    body = recorded("ANNOTATION_CREATED")
    plural = {**body, "annotations": [body["annotation"]], "tasks": [body["task"]]}
    del plural["annotation"], plural["task"]
    assert parse_event(plural) == parse_event(body)


@pytest.mark.parametrize("action", ["ANNOTATIONS_DELETED", "ANNOTATION_DELETED"])
@pytest.mark.parametrize("shape", [{"annotations": [{"id": 7}, {"id": 8}]}, {"annotation": [{"id": 7}, {"id": 8}]}])
def test_both_spellings_of_a_deletion_are_understood(action: str, shape: dict[str, Any]) -> None:
    """Label Studio sends the plural, its documentation names the singular; either carries only ids."""
    assert parse_event({"action": action, **shape}) == AnnotationsDeleted((7, 8))


def test_tasks_come_and_go() -> None:
    """New tasks bring their data, lost ones their ids."""
    event = parse_event(recorded("TASKS_CREATED"))
    assert isinstance(event, TasksSaved)
    assert all("text" in task.data for task in event.tasks)
    gone = parse_event(recorded("TASKS_DELETED"))
    assert isinstance(gone, TasksDeleted)
    assert len(gone.ids) == 1


def test_projects_change_and_go() -> None:
    """A changed project brings its config; a deleted one its id."""
    event = parse_event(recorded("PROJECT_UPDATED"))
    assert isinstance(event, ProjectChanged)
    assert event.project.title == "payloads renamed"
    assert "<Labels" in event.project.label_config
    assert parse_event({"action": "PROJECT_DELETED", "project": {"id": 5}}) == ProjectDeleted(5)


def test_the_training_button_is_understood() -> None:
    """The button's body asks for a run."""
    assert parse_event(recorded("START_TRAINING")) == TrainingRequested()


@pytest.mark.parametrize("action", [a for a in ACTIONS if a != "START_TRAINING"])
def test_without_payload_a_pull_is_needed(action: str) -> None:
    """With the payload switched off the body is a mere hint, and says so."""
    event = parse_event({"action": action})
    assert isinstance(event, PullNeeded)
    assert action in event.reason


def test_other_actions_are_ignored_by_name() -> None:
    """What the loop has no use for is left, with the reason."""
    event = parse_event({"action": "LABEL_LINK_CREATED"})
    assert isinstance(event, Ignored)
    assert "LABEL_LINK_CREATED" in event.reason


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        for name in path[:-1]:
            body = body[name]
        del body[path[-1]]

    return change


def _with(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        for name in path[:-1]:
            body = body[name]
        body[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _without("action"),
        _with(5, "action"),
        _without("annotation", "id"),
        _with("7", "annotation", "id"),
        _with(True, "annotation", "id"),
        _without("annotation", "updated_at"),
        _with("yesterday", "annotation", "updated_at"),
        _without("annotation", "task"),
        _with(None, "task", "data"),
        _without("task", "id"),
    ],
)
def test_a_body_that_lacks_what_it_must_have_is_refused_without_quoting_it(
    change: Callable[[dict[str, Any]], None],
) -> None:
    """A broken body is an error that names the field, and holds no text."""
    body = copy.deepcopy(recorded("ANNOTATION_CREATED"))
    change(body)
    with pytest.raises(InvalidInput) as refusal:
        parse_event(body)
    assert "Ada" not in refusal.value.message


def test_odd_values_that_do_not_matter_are_borne() -> None:
    """A lead time that is no number, a result that is no list, or a user as an object break nothing."""
    body = recorded("ANNOTATION_CREATED")
    body["annotation"] |= {"lead_time": "long", "result": None, "completed_by": {"id": 9}}
    event = parse_event(body)
    assert isinstance(event, AnnotationsSaved)
    (annotation,) = event.annotations
    assert (annotation.lead_time, annotation.result, annotation.completed_by) == (None, [], 9)


def test_a_deletion_without_ids_is_refused() -> None:
    """A row without its id cannot be acted on."""
    with pytest.raises(InvalidInput):
        parse_event({"action": "ANNOTATIONS_DELETED", "annotations": [{"name": "x"}]})
