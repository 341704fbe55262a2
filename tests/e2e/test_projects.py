"""Projects side by side, projects connected by hand, and what reaches the store without a labelling page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_backend.bootstrap import utc_now
from sync.records import StoredTask
from tests.e2e.texts import GoldText, badge_texts
from tests.live.project import LiveProject, spans_in
from tests.live.system import RunningSystem
from training.spans import Span
from training.store.tables.projects import DueTime
from training.store.tables.runs import RunStatus

BATCH = 24
# The second one has other labels for the same stretches of the same texts.
SIDES = {"Visitors": {"person": "PERSON", "badge": "BADGE"}, "Customers": {"person": "CLIENT", "badge": "CARD"}}
CONFIG = """<View>
  <Choices name="kind" toName="body"><Choice value="good"/><Choice value="bad"/></Choices>
  <Labels name="entities" toName="body"><Label value="PERSON"/><Label value="SSN"/></Labels>
  <Text name="body" value="$note"/>
</View>"""
NOTE = "Please call Lena Hoffmann about 536-22-8726 tomorrow."


def region(words: str, label: str) -> dict[str, Any]:
    """A region of the hand-made config over these words of the note."""
    start = NOTE.index(words)
    value = {"start": start, "end": start + len(words), "text": words, "labels": [label]}
    return {"id": f"r{start}", "from_name": "entities", "to_name": "body", "type": "labels", "value": value}


@pytest.fixture(scope="module")
def sides(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> dict[str, LiveProject]:
    """Two projects with the same texts and different labels, each with a trained version live."""
    made = {}
    for title, labels in SIDES.items():
        folder = tmp_path_factory.mktemp(title)
        project = made[title] = LiveProject.create(
            system, title, list(labels.values()), folder=folder, base="blank:en", retrain_after=BATCH
        )
        project.import_texts([gold.text for gold in badge_texts()], folder=folder)
    for title, project in made.items():
        project.annotate(BATCH, right_spans(SIDES[title]))
    for project in made.values():
        project.wait_for_version("spanloop-v1")
    return made


def right_spans(labels: dict[str, str]) -> Callable[[str], list[Span]]:
    """Answers the right spans of a text under these labels."""
    known: dict[str, GoldText] = {gold.text: gold for gold in badge_texts()}
    return lambda text: known[text].spans(**labels)


def labels_of(task: StoredTask, *, version: str) -> set[str]:
    """The labels in a task's predictions of a version."""
    regions = [one for p in task.predictions if p.model_version == version for one in p.result]
    return {label for one in regions for label in one["value"]["labels"]}


def test_projects_never_mix(system: RunningSystem, sides: dict[str, LiveProject]) -> None:
    """Versions, labels, predictions and examples of one project hold nothing of the other's."""
    for title, project in sides.items():
        own = set(SIDES[title].values())
        (run,) = project.runs()
        assert (run.status, run.verified_texts) == (RunStatus.COMPLETED, BATCH)
        assert set(project.live().spec["labels"]) == own
        predicted = set().union(*(labels_of(task, version="spanloop-v1") for task in project.tasks()))
        assert SIDES[title]["badge"] in predicted
        assert predicted <= own
        with system.store.read() as uow:
            examples = uow.examples.verified(project.id)
        assert len(examples) == BATCH
        assert {span["label"] for example, _ in examples for span in example.entities} <= own
    paths = {project.live().path for project in sides.values()}
    assert len(paths) == len(SIDES)


def test_start_training_trains_that_project_alone(sides: dict[str, LiveProject]) -> None:
    """Label Studio's button "Start Training" asks for a run of its project, and of no other."""
    pressed, other = sides["Customers"], sides["Visitors"]
    before = len(other.runs())
    pressed.label_studio.start_training(pressed.backend().id)
    run = pressed.wait_for_run(lambda run: run.trigger == "label_studio", "the run that the button asks for")
    assert len(other.runs()) == before
    pressed.system.spanloop("runs", "cancel", run.id)
    pressed.wait_for_run(lambda run: run.finished_at is not None, "the run to be cancelled")


def test_skip_star_and_deletion_reach_the_store(sides: dict[str, LiveProject]) -> None:
    """A skip says nothing of the model, a star is kept, and a deletion withdraws what was said."""
    project = sides["Visitors"]
    api, annotator = project.label_studio, project.system.annotator(project.id)
    page = annotator.open_next()
    assert page is not None
    skipped = api.create_annotation(page.task_id, [], was_cancelled=True)
    project.wait_for_annotations([skipped.id])
    feedback = project.feedback(skipped.id)
    assert feedback is not None
    assert feedback.is_correct is None
    (submission,) = project.annotate(1, right_spans(SIDES["Visitors"]))
    annotation_id = submission.annotation_id
    api.update_annotation(annotation_id, ground_truth=True)
    project.system.wait_for("the star", lambda: getattr(project.annotation(annotation_id), "ground_truth", False))
    api.delete_annotation(annotation_id)
    project.system.wait_for("the deletion", lambda: getattr(project.annotation(annotation_id), "deleted", False))
    feedback = project.feedback(annotation_id)
    assert feedback is not None
    assert feedback.withdrawn
    assert project.parked() == []


@pytest.mark.parametrize("who", ["command", "scheduler"])
def test_annotations_that_no_event_told_of_are_pulled(
    system: RunningSystem, sides: dict[str, LiveProject], who: str
) -> None:
    """Tasks imported with their annotations send no event of these; a pull brings them in."""
    project = sides["Visitors"]
    text = f"The {who} has seen nothing of badge KX-1111 so far."
    start = text.index("KX-1111")
    value = {"start": start, "end": start + 7, "text": "KX-1111", "labels": ["BADGE"]}
    result = [{"from_name": "label", "to_name": "text", "type": "labels", "value": value}]
    (task_id,) = project.label_studio.import_tasks(
        project.id, [{"data": {"text": text}, "annotations": [{"result": result}]}]
    )
    system.wait_for("the task", lambda: project.task(task_id))
    assert project.example(text) is None
    if who == "command":
        system.spanloop("sync", "reconcile", "--project", project.id)
    else:
        make_due(system, project.id)
    example = system.wait_for("the annotation that was imported", lambda: project.example(text))
    assert example.verified
    assert spans_in(example.entities) == [Span(start, start + 7, "BADGE")]


def test_numbers_that_label_studio_gives_again_mean_other_tasks(sides: dict[str, LiveProject], tmp_path: Path) -> None:
    """Where all tasks of a wrong import were deleted, those of the next one are seen, pre-labelled and learnt from."""
    project = sides["Customers"]
    api = project.label_studio
    wrong = api.import_tasks(project.id, [{"data": {"text": f"Wrong file, line {number}."}} for number in range(3)])
    project.wait_for_prelabels()
    for task_id in wrong:
        project.system.wait_for("the task", lambda: project.task(task_id))  # noqa: B023
        api.delete_task(task_id)
    text = "Right file: Nora Lindgren pays with XQ-3141."
    project.import_texts([text], folder=tmp_path)
    (task,) = [task for task in project.tasks() if task.data["text"] == text]
    assert task.id in wrong, "this Label Studio does not give numbers again"
    assert task.predictions
    start = text.index("XQ-3141")
    value = {"start": start, "end": start + 7, "text": "XQ-3141", "labels": ["CARD"]}
    result = [{"from_name": "label", "to_name": "text", "type": "labels", "value": value}]
    made = api.create_annotation(task.id, result, parent_prediction=task.predictions[0].id)
    project.wait_for_annotations([made.id])
    example = project.example(text)
    assert example is not None
    assert example.verified


def make_due(system: RunningSystem, project_id: int) -> None:
    """Let the time for the project's next pull come."""
    with system.store.write() as uow:
        row = uow.session.get(DueTime, ("reconcile", project_id))
        assert row is not None
        row.due_at = utc_now() - timedelta(seconds=1)
        uow.commit()


@pytest.fixture(scope="module")
def by_hand(system: RunningSystem) -> LiveProject:
    """A project with a config of its own, whose backend somebody connected in Label Studio's settings."""
    api = system.label_studio
    made = api.create_project("By hand", CONFIG)
    user, password = system.credential
    api.create_backend(made.id, system.url, title="My backend", user=user, password=password)
    api.import_tasks(made.id, [{"data": {"note": NOTE}}])
    return LiveProject(system, made.id)


def test_a_backend_connected_by_hand_predicts_and_misses_feedback(system: RunningSystem, by_hand: LiveProject) -> None:
    """Without our setup a project is pre-labelled; its webhook is refused, and log and doctor name the way out."""
    task = by_hand.label_studio.next_task(by_hand.id)
    assert task is not None
    (prediction,) = task.predictions
    assert prediction.model_version == "spanloop-v0"
    found = {(one["from_name"], one["value"]["text"], one["value"]["labels"][0]) for one in prediction.result}
    assert found == {("entities", "Lena Hoffmann", "PERSON"), ("entities", "536-22-8726", "SSN")}
    (webhook,) = by_hand.label_studio.list_webhooks(by_hand.id)
    assert "Authorization" not in webhook.headers
    by_hand.label_studio.create_annotation(
        task.id, [region("Lena Hoffmann", "PERSON")], parent_prediction=prediction.id
    )
    system.wait_for("the refused webhook in the log", lambda: "credential_refused" in system.log("web"))
    advice = run_doctor(system)
    assert f"spanloop project adopt {by_hand.id}" in advice


def run_doctor(system: RunningSystem) -> str:
    """What `spanloop doctor` says, called as the program that it is."""
    environ = {**os.environ, "SPANLOOP_DATA_DIR": str(system.settings.data_dir)}
    command = [sys.executable, "-m", "ml_backend.cli.main", "doctor"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def test_adopt_mends_a_backend_connected_by_hand(system: RunningSystem, by_hand: LiveProject) -> None:
    """After `project adopt` what was missed is there, feedback flows, and the project's own config stays."""
    system.spanloop("project", "adopt", by_hand.id)
    system.wait_for("the annotation that was missed", lambda: by_hand.example(NOTE))
    (webhook,) = by_hand.label_studio.list_webhooks(by_hand.id)
    assert webhook.url == f"{system.url}/p/{by_hand.id}/webhook"
    assert by_hand.backend().title == by_hand.shown().model_version == "spanloop-v0"
    assert by_hand.shown().label_config == CONFIG
    (task_id,) = by_hand.label_studio.import_tasks(by_hand.id, [{"data": {"note": f"{NOTE} Again!"}}])
    by_hand.wait_for_prelabels()
    made = by_hand.label_studio.create_annotation(task_id, [region("536-22-8726", "SSN")])
    by_hand.wait_for_annotations([made.id])
    assert by_hand.parked() == []
