"""What the flows rely on in Label Studio, held on the fake and on the real one alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from config.errors import LabelStudioError
from sync.events import (
    AnnotationsDeleted,
    AnnotationsSaved,
    ProjectChanged,
    TasksDeleted,
    TasksSaved,
    TrainingRequested,
)
from sync.records import StoredProject
from tests.contract.conftest import World
from training.honest_slice import in_slice
from training.queue.order import CLUSTERS, Waiting, order_queue
from training.spans import hash_text
from training.splits import Part

CONFIG = (
    '<View><Labels name="label" toName="text"><Label value="PERSON"/><Label value="SSN"/></Labels>'
    '<Text name="text" value="$text"/></View>'
)
TEXT = "Jane Doe met Bob 👩‍⚕️ today"


def region(start: int = 0, end: int = 8, label: str = "PERSON") -> dict[str, Any]:
    return {
        "id": f"r{start}-{end}",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": start, "end": end, "text": TEXT[start:end], "labels": [label]},
        "score": 0.5,
    }


def prediction(score: float = 0.5, version: str = "v0") -> dict[str, Any]:
    return {"result": [region()], "score": score, "model_version": version}


@pytest.fixture
def project(world: World) -> StoredProject:
    """A project with its webhook and its backend, as setup makes them."""
    made = world.client.create_project(
        "contract", CONFIG, sampling="Uncertainty sampling", show_collab_predictions=True
    )
    url = f"{world.backend_url}/p/{made.id}"
    world.client.create_webhook(made.id, f"{url}/webhook", headers={"Authorization": "Basic eDp5"})
    world.client.create_backend(made.id, url, title="v0", user="x", password="y")
    return made


def test_its_clock_is_a_moment_in_time(world: World) -> None:
    """Label Studio says the time, aware of its zone, so that clocks can be compared."""
    told = world.client.clock()
    assert told is not None
    assert told.tzinfo is not None


def test_a_project_keeps_its_settings(world: World) -> None:
    """What a project is created with is what it says afterwards, and an unknown one is None."""
    made = world.client.create_project(
        "settings",
        CONFIG,
        sampling="Uncertainty sampling",
        show_collab_predictions=True,
        evaluate_predictions_automatically=False,
        maximum_annotations=2,
    )
    found = world.client.find_project(made.id)
    assert found == made
    assert (found.sampling, found.show_collab_predictions, found.maximum_annotations) == (
        "Uncertainty sampling",
        True,
        2,
    )
    assert found.evaluate_predictions_automatically is False
    assert made.id in {p.id for p in world.client.list_projects()}
    assert world.client.find_project(10**6) is None
    with pytest.raises(LabelStudioError, match="at least 3 characters"):
        world.client.create_project("ab", CONFIG)


def test_a_deleted_project_is_not_found(world: World) -> None:
    """After a deletion the project is None, and deleting it again does no harm."""
    made = world.client.create_project("deleted", CONFIG)
    world.client.delete_project(made.id)
    world.client.delete_project(made.id)
    assert world.client.find_project(made.id) is None
    with pytest.raises(LabelStudioError) as refusal:
        list(world.client.iter_tasks(made.id))
    assert refusal.value.details["status"] == 404


def test_a_webhook_made_first_is_the_only_one(world: World, project: StoredProject) -> None:
    """Connecting the backend adds no second webhook where one with its address exists."""
    hooks = world.client.list_webhooks(project.id)
    assert [hook.headers for hook in hooks] == [{"Authorization": "Basic eDp5"}]
    changed = world.client.update_webhook(hooks[0].id, hooks[0].url, headers={"Authorization": "Basic b3RoZXI="})
    world.client.recheck_webhook(changed)
    assert world.client.list_webhooks(project.id) == [changed]
    assert changed.is_active
    assert changed.send_payload
    assert changed.send_for_all_actions


def test_a_backend_connected_by_hand_brings_a_webhook_without_credential(world: World) -> None:
    """A backend whose webhook nobody made gets one from Label Studio, which carries no header."""
    made = world.client.create_project("by hand", CONFIG, show_collab_predictions=True)
    url = f"{world.backend_url}/p/{made.id}"
    world.client.create_backend(made.id, url, title="v0", user="x", password="y")
    assert [(hook.url, hook.headers) for hook in world.client.list_webhooks(made.id)] == [(f"{url}/webhook", {})]


def test_a_backends_new_title_becomes_the_projects_version(world: World, project: StoredProject) -> None:
    """The project shows the version of its backend's title, and follows when the title changes."""
    assert world.client.find_project(project.id).model_version == "v0"
    backend = world.client.list_backends(project.id)[0]
    changed = world.client.update_backend(backend.id, project.id, backend.url, title="v1", user="x", password="y")
    assert (changed.title, changed.auth_method) == ("v1", "BASIC_AUTH")
    assert world.client.find_project(project.id).model_version == "v1"
    with pytest.raises(LabelStudioError):
        world.client.update_project(project.id, model_version="never heard of")


def test_imported_tasks_come_back_in_order(world: World, project: StoredProject) -> None:
    """Ids come in the order of the rows, and the tasks hold their predictions and annotations."""
    ids = world.client.import_tasks(
        project.id,
        [
            {"data": {"text": "first"}},
            {"data": {"text": TEXT}, "predictions": [prediction(0.3)]},
            {"data": {"text": TEXT}, "annotations": [{"result": [region()], "ground_truth": True}]},
        ],
    )
    first, second, third = world.client.iter_tasks(project.id, page_size=2)
    assert [first.id, second.id, third.id] == ids
    assert first.data == {"text": "first"}
    assert [(p.score, p.model_version) for p in second.predictions] == [(0.3, "v0")]
    assert [a.ground_truth for a in third.annotations] == [True]
    assert (second.is_labeled, third.is_labeled) == (False, True)
    event = world.wait_for_event("TASKS_CREATED")
    assert isinstance(event, TasksSaved)
    assert [task.id for task in event.tasks] == ids
    assert world.client.import_tasks(project.id, []) == []


def test_tasks_can_be_asked_for_by_change_and_by_id(world: World, project: StoredProject) -> None:
    """Submitting, changing and deleting an annotation each make its task count as changed; a bulk push does not."""
    client = world.client
    ids = client.import_tasks(project.id, [{"data": {"text": TEXT}} for _ in range(3)])

    def changed_by(act: Callable[[], object]) -> list[int]:
        since = max(task.updated_at for task in client.iter_tasks(project.id)) + timedelta(microseconds=1)
        act()
        return [task.id for task in client.iter_tasks(project.id, changed_since=since)]

    made: list[int] = []
    for act, expected in (
        (lambda: made.append(client.create_annotation(ids[1], [region()]).id), [ids[1]]),
        (lambda: client.update_annotation(made[0], result=[]), [ids[1]]),
        (lambda: client.update_annotation(made[0], ground_truth=True), [ids[1]]),
        (lambda: client.delete_annotation(made[0]), [ids[1]]),
        (lambda: client.import_predictions(project.id, [{"task": ids[0], **prediction()}]), []),
        (lambda: client.update_task_data(ids[2], {"text": TEXT, "spanloop": "x"}), [ids[2]]),
    ):
        assert changed_by(act) == expected
    assert [task.id for task in client.iter_tasks(project.id, only_ids=[ids[0], ids[2]])] == [ids[0], ids[2]]
    assert [task.annotations for task in client.iter_tasks(project.id, in_full=False)] == [(), (), ()]


def test_an_annotation_is_what_its_webhook_says(world: World, project: StoredProject) -> None:
    """The answer, the webhook and the task show the same annotation, with the prediction it started from."""
    (task_id,) = world.client.import_tasks(project.id, [{"data": {"text": TEXT}, "predictions": [prediction()]}])
    shown = world.client.next_task(project.id)
    assert shown.id == task_id
    parent = shown.predictions[0].id
    made = world.client.create_annotation(task_id, [region()], parent_prediction=parent, lead_time=4.5)
    assert (made.parent_prediction, made.lead_time, made.completed_by) == (parent, 4.5, world.client.whoami().id)
    event = world.wait_for_event("ANNOTATION_CREATED")
    assert isinstance(event, AnnotationsSaved)
    assert event.annotations == (made,)
    assert event.tasks[0].data == {"text": TEXT}
    assert world.client.find_task(task_id).annotations == (made,)
    assert world.client.next_task(project.id) is None

    skipped = world.client.update_annotation(made.id, was_cancelled=True, result=[])
    event = world.wait_for_event("ANNOTATION_UPDATED")
    assert isinstance(event, AnnotationsSaved)
    assert event.annotations == (skipped,)
    assert skipped.was_cancelled

    world.client.delete_annotation(made.id)
    assert world.wait_for_event("ANNOTATIONS_DELETED") == AnnotationsDeleted((made.id,))
    assert world.client.find_task(task_id).annotations == ()


def test_an_annotation_of_a_lost_prediction_is_refused(world: World, project: StoredProject) -> None:
    """Submitting with a parent prediction that is gone is refused with the field that is wrong."""
    (task_id,) = world.client.import_tasks(project.id, [{"data": {"text": TEXT}, "predictions": [prediction()]}])
    parent = world.client.list_predictions(task_id)[0].id
    world.client.delete_prediction(parent)
    assert world.client.find_prediction(parent) is None
    with pytest.raises(LabelStudioError, match="parent_prediction"):
        world.client.create_annotation(task_id, [], parent_prediction=parent)


def test_predictions_in_bulk_order_the_queue(world: World, project: StoredProject) -> None:
    """The task with the lowest score of the project's version comes next, whatever other versions say."""
    ids = world.client.import_tasks(project.id, [{"data": {"text": TEXT}} for _ in range(3)])
    rows = [{"task": task_id, **prediction(score)} for task_id, score in zip(ids, (0.9, 0.2, 0.5), strict=True)]
    assert world.client.import_predictions(project.id, rows) == 3
    assert world.client.import_predictions(project.id, [{"task": ids[0], **prediction(0.01, "v1")}]) == 1
    assert world.client.next_task(project.id).id == ids[1]
    stored = world.client.list_predictions(ids[0])
    assert {(p.model_version, p.score) for p in stored} == {("v0", 0.9), ("v1", 0.01)}
    assert world.client.find_prediction(stored[0].id) == stored[0]
    single = world.client.create_prediction(ids[2], [region()], score=0.4, model_version="v1", cluster=2)
    assert single in world.client.list_predictions(ids[2])


def test_clusters_are_served_by_turns(world: World, project: StoredProject) -> None:
    """The cluster comes next that was done least; tasks without one are one more; within it the lowest score leads."""
    ids = world.client.import_tasks(project.id, [{"data": {"text": TEXT}} for _ in range(6)])
    for task_id, score, cluster in zip(ids[:4], (0.1, 0.2, 0.6, 0.7), (7, 7, 8, 8), strict=True):
        made = world.client.create_prediction(task_id, [region()], score=score, model_version="v0", cluster=cluster)
        assert made.cluster == cluster
    world.client.import_predictions(
        project.id, [{"task": i, **prediction(0.9 + n / 100)} for n, i in enumerate(ids[4:])]
    )
    served = serve(world, project.id, 6)
    assert served[0] == ids[0]
    assert set(served[1:3]) == {ids[2], ids[4]}
    assert set(served[3:]) == {ids[1], ids[3], ids[5]}


def serve(world: World, project_id: int, count: int) -> list[int]:
    """Annotate what comes up, so many times; the tasks in their order."""
    served = []
    for _ in range(count):
        task = world.client.next_task(project_id)
        served.append(task.id)
        world.client.create_annotation(task.id, [region()])
    return served


@pytest.mark.parametrize("clustered", [60, 0])
def test_the_honest_slice_comes_up_in_its_share(world: World, project: StoredProject, clustered: int) -> None:
    """What the labelling page is served next holds the share of texts that was ordered, with clusters and without."""
    share, count = 0.25, 40
    ids = world.client.import_tasks(project.id, [{"data": {"text": f"{TEXT} {n}"}} for n in range(90)])
    waiting = [
        Waiting(
            task_id=task_id,
            text_hash=hash_text(f"{TEXT} {n}"),
            part=Part.TEST if n % 5 == 0 else Part.TRAIN,
            score=(n * 37 % 90) / 90,
            cluster=n % CLUSTERS + 1,
        )
        for n, task_id in enumerate(ids)
    ]
    places = order_queue(waiting, share=share, seed=0, clustered=clustered)
    for place in places:
        if place.cluster is not None:
            world.client.create_prediction(
                place.task_id, [region()], score=place.queue_score, model_version="v0", cluster=place.cluster
            )
    rest = [{"task": p.task_id, **prediction(p.queue_score)} for p in places if p.cluster is None]
    world.client.import_predictions(project.id, rest)
    by_id = {one.task_id: one for one in waiting}
    served = [by_id[task_id] for task_id in serve(world, project.id, count)]
    honest = sum(in_slice(one.text_hash, one.part, share=share, seed=0) for one in served)
    assert honest / count == pytest.approx(share, abs=0.05)


def test_a_changed_prediction_keeps_its_place(world: World, project: StoredProject) -> None:
    """A prediction that was changed leads the queue by its new score, and whoever had its task open can submit."""
    ids = world.client.import_tasks(
        project.id, [{"data": {"text": TEXT}, "predictions": [prediction(score)]} for score in (0.2, 0.9)]
    )
    (stored,) = world.client.list_predictions(ids[1])
    changed = world.client.update_prediction(stored.id, [region(9, 12)], score=0.0)
    assert (changed.id, changed.score, changed.model_version) == (stored.id, 0.0, "v0")
    assert world.client.list_predictions(ids[1]) == [changed]
    assert changed.result[0]["value"]["start"] == 9
    assert world.client.next_task(project.id).id == ids[1]
    assert world.client.create_annotation(ids[1], [], parent_prediction=stored.id).parent_prediction == stored.id


def test_one_lost_task_refuses_the_whole_push(world: World, project: StoredProject) -> None:
    """A bulk push with one task that is gone stores nothing, and the refusal quotes no text."""
    ids = world.client.import_tasks(project.id, [{"data": {"text": TEXT}} for _ in range(2)])
    world.client.delete_task(ids[0])
    assert world.wait_for_event("TASKS_DELETED") == TasksDeleted((ids[0],))
    assert world.client.find_task(ids[0]) is None
    with pytest.raises(LabelStudioError) as refusal:
        world.client.import_predictions(project.id, [{"task": task_id, **prediction()} for task_id in ids])
    assert refusal.value.details["status"] == 400
    assert "Jane" not in refusal.value.message
    assert world.client.list_predictions(ids[1]) == []


def test_the_training_button_and_the_settings_send_events(world: World, project: StoredProject) -> None:
    """ "Start Training" and a changed project each reach the webhook."""
    world.client.start_training(world.client.list_backends(project.id)[0].id)
    assert world.wait_for_event("START_TRAINING") == TrainingRequested()
    world.client.update_project(project.id, title="renamed")
    event = world.wait_for_event("PROJECT_UPDATED")
    assert isinstance(event, ProjectChanged)
    assert (event.project.id, event.project.title) == (project.id, "renamed")


def test_a_tab_keeps_its_description(world: World, project: StoredProject) -> None:
    """A Data Manager tab comes back with the title and the filter it was made with."""
    items = [{"filter": "filter:tasks:data.spanloop", "operator": "equal", "type": "String", "value": "x"}]
    made = world.client.create_view(
        project.id, {"title": "To verify", "filters": {"conjunction": "and", "items": items}}
    )
    (found,) = world.client.list_views(project.id)
    assert (found.id, found.title) == (made.id, "To verify")
    plain = world.client.create_view(project.id, {"title": "All tasks"})
    world.client.order_views(project.id, [plain.id, made.id])
    assert [view.title for view in world.client.list_views(project.id)] == ["All tasks", "To verify"]


def test_a_changed_task_says_when_it_changed(world: World, project: StoredProject) -> None:
    """The answer to a change of a task's data holds the data and the moment that the task itself shows from then on."""
    (task_id,) = world.client.import_tasks(project.id, [{"data": {"text": TEXT}}])
    changed = world.client.update_task_data(task_id, {"text": TEXT, "spanloop": "to_verify"})
    # Read as a list: opening the task by itself may have a connected backend predict, which changes it again.
    (kept,) = world.client.iter_tasks(project.id, only_ids=[task_id], in_full=False)
    assert (changed.id, changed.data, changed.updated_at) == (task_id, kept.data, kept.updated_at)


def test_it_says_who_and_what_it_is(world: World) -> None:
    """The version and the key's user are known."""
    assert world.client.version().startswith("1.")
    assert world.client.whoami() in world.client.list_users()
