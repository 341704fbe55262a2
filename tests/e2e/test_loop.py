"""The loop as an annotator meets it: correct a pre-label by mouse, and find the next version's on a later page."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from sync.records import StoredAnnotation, StoredTask
from tests.e2e.texts import badge_texts
from tests.live.browser import BrowserAnnotator, ShownRegion
from tests.live.project import LiveProject, spans_in
from tests.live.system import RunningSystem
from training.spans import Span
from training.store.tables.annotations import PredictionKind
from training.store.tables.runs import RunStatus
from training.versions.ab_testing import speaker_of
from training.versions.arms import Arm

LABELS = ("PERSON", "EMAIL_ADDRESS", "BADGE")
FIRST_TEXT = (
    "Maria Teixeira 🙂 wrote to helpdesk@example.com.\r\n"
    "The cafe\u0301 found  KX-4711\tand, on Monday, ZQ-2040 behind 👩‍👧 the counter."
)
PRELABEL = ("helpdesk@example.com", "EMAIL_ADDRESS")  # by pattern, so sure to be there; nobody's own, so wrong
RIGHT = (("Maria Teixeira", "PERSON"), ("KX-4711", "BADGE"), ("ZQ-2040", "BADGE"))
BATCH = 24


def right_spans() -> list[Span]:
    """What the annotator makes of the first text."""
    return [Span(FIRST_TEXT.index(words), FIRST_TEXT.index(words) + len(words), label) for words, label in RIGHT]


def correct(person: BrowserAnnotator, shown: Sequence[ShownRegion]) -> None:
    """Make the shown regions right, with the mouse: relabel, delete, draw."""
    labels = dict(RIGHT)
    left = dict(RIGHT)
    for region in shown:
        if region.text not in labels:
            person.delete(region)
        elif region.label != labels[region.text]:
            person.relabel(region, labels[region.text])
        left = {words: label for words, label in left.items() if words != region.text}
    for number, (words, label) in enumerate(left.items()):
        person.draw(label, words, by_key=str(LABELS.index(label) + 1) if number % 2 else "")
    person.wait_for_regions(len(RIGHT))


@pytest.fixture(scope="module")
def project(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> LiveProject:
    """A project with one text whose pre-label is right in one place, wrong in another, and lacks two spans."""
    folder = tmp_path_factory.mktemp("loop")
    made = LiveProject.create(system, "Badges", LABELS, folder=folder, retrain_after=BATCH + 1)
    made.import_texts([FIRST_TEXT], folder=folder)
    return made


@pytest.fixture(scope="module")
def corrected(project: LiveProject, person: BrowserAnnotator) -> StoredAnnotation:
    """What was submitted from the labelling page, after correcting the pre-label by mouse."""
    person.open_labelling(project.id)
    (task,) = project.tasks()
    (prediction,) = task.predictions
    shown = person.wait_for_regions(len(prediction.result))
    assert person.labels == list(LABELS)
    assert PRELABEL in {(region.text, region.label) for region in shown}
    assert all(FIRST_TEXT[region.start : region.end] == region.text for region in shown)
    assert person.labels_stand_in_text
    person.take_picture("prelabel")
    correct(person, shown)
    person.take_picture("corrected")
    person.submit()
    person.take_picture("submitted")
    (task,) = project.tasks()
    (annotation,) = task.annotations
    return annotation


def test_the_labelling_page_shows_the_prelabel_to_who_opens_its_address(
    project: LiveProject, person: BrowserAnnotator
) -> None:
    """The address that `make up` ends with leads to a pre-labelled text, before any button was pressed."""
    person.open_labelling_page(project.id)
    (task,) = project.tasks()
    (prediction,) = task.predictions
    assert len(person.wait_for_regions(len(prediction.result))) > 0


def test_a_correction_by_mouse_reaches_the_store_by_webhook(project: LiveProject, corrected: StoredAnnotation) -> None:
    """What the annotator made of the pre-label is kept as feedback on it, and as a verified example."""
    project.wait_for_annotations([corrected.id])
    feedback, example = project.feedback(corrected.id), project.example(FIRST_TEXT)
    assert feedback is not None
    assert example is not None
    assert feedback.is_correct is False
    assert spans_in(feedback.corrected_entities) == spans_in(example.entities) == right_spans()
    assert feedback.lead_time is not None
    assert feedback.lead_time > 0
    assert example.verified
    assert "ANNOTATION_CREATED" in project.actions_done()


def test_the_prediction_that_was_shown_is_kept(project: LiveProject, corrected: StoredAnnotation) -> None:
    """The feedback speaks of the very prediction that stood on the page."""
    project.wait_for_annotations([corrected.id])
    feedback = project.feedback(corrected.id)
    assert feedback is not None
    result = project.result(feedback)
    assert result.prediction_id == corrected.parent_prediction
    assert (result.model_version, result.kind) == ("spanloop-v0", PredictionKind.MODEL)
    shown = [(FIRST_TEXT[span.start : span.end], span.label) for span in spans_in(result.entities)]
    assert PRELABEL in shown


def test_offsets_hold_whatever_stands_before_a_span(corrected: StoredAnnotation) -> None:
    """Emoji, combining marks, line ends, tabs and double spaces shift no span drawn by mouse."""
    drawn = [region["value"] for region in corrected.result]
    assert len(drawn) == len(RIGHT)
    assert all(FIRST_TEXT[value["start"] : value["end"]] == value["text"] for value in drawn)


@pytest.fixture(scope="module")
def learnt(
    project: LiveProject, corrected: StoredAnnotation, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Span]]:
    """The right spans of the other texts, some of which were annotated: the project has learnt badges by itself."""
    right = {gold.text: gold.spans(person="PERSON", badge="BADGE") for gold in badge_texts()}
    project.import_texts(list(right), folder=tmp_path_factory.mktemp("texts"))
    project.annotate(BATCH, right.__getitem__)
    project.wait_for_version("spanloop-v1")
    return right


def test_a_run_starts_and_its_version_goes_live_by_itself(project: LiveProject, learnt: dict[str, list[Span]]) -> None:
    """After enough newly verified texts the policy trains, the gate passes, and the version serves."""
    (run,) = project.runs()
    assert (run.trigger, run.status) == ("policy", RunStatus.COMPLETED)
    assert run.verified_texts == BATCH + 1
    assert project.live().parent_id is not None
    assert project.backend().title == project.shown().model_version == "spanloop-v1"


def test_the_next_page_shows_the_new_version(
    project: LiveProject, learnt: dict[str, list[Span]], person: BrowserAnnotator
) -> None:
    """A page opened after the swap carries the new version's pre-label, which version 0 could not make."""
    person.open_labelling(project.id)
    task = project.label_studio.find_task(person.task_id)
    assert task is not None
    text = task.data["text"]
    badges = [span for span in learnt[text] if span.label == "BADGE"]
    prediction = next(p for p in task.predictions if p.model_version == "spanloop-v1")
    shown = person.wait_for_regions(len(prediction.result))
    person.take_picture("new-version")
    assert badges
    assert {(span.start, span.end, span.label) for span in badges} <= {(r.start, r.end, r.label) for r in shown}
    assert all(0 < (region.score or 0) <= 1 for region in shown)


def test_an_accepted_prelabel_is_feedback_too(
    project: LiveProject, learnt: dict[str, list[Span]], person: BrowserAnnotator
) -> None:
    """Submitted unchanged, a page says that the new version was right."""
    person.open_labelling(project.id)
    task_id = person.task_id
    person.submit()
    task = project.label_studio.find_task(task_id)
    assert task is not None
    (annotation,) = task.annotations
    project.wait_for_annotations([annotation.id])
    feedback = project.feedback(annotation.id)
    assert feedback is not None
    assert feedback.is_correct is True
    assert project.result(feedback).model_version == "spanloop-v1"


def test_a_rollback_takes_label_studio_along(
    project: LiveProject, learnt: dict[str, list[Span]], person: BrowserAnnotator
) -> None:
    """After `spanloop models rollback` the pages, the backend's title and /predict all speak of the version before."""
    project.system.spanloop("models", "rollback", "--project", project.id)
    project.wait_for_version("spanloop-v0")
    assert project.backend().title == project.shown().model_version == "spanloop-v0"
    person.open_labelling(project.id)
    task = project.label_studio.find_task(person.task_id)
    assert task is not None
    prediction = next(p for p in task.predictions if p.model_version == "spanloop-v0")
    shown = person.wait_for_regions(len(prediction.result))
    person.take_picture("rolled-back")
    assert "BADGE" not in {region.label for region in shown}
    project.system.spanloop("models", "activate", "spanloop-v1", "--project", project.id)
    project.wait_for_version("spanloop-v1")


def test_a_challenger_speaks_under_the_live_versions_name(
    project: LiveProject, learnt: dict[str, list[Span]], person: BrowserAnnotator
) -> None:
    """Beside a live version 1, version 0 speaks for some tasks, of which it knows no badge; all are of one version."""
    spanloop, chosen = project.system.spanloop, ("--project", project.id)
    spanloop("models", "ab", "start", "spanloop-v0", "--fraction", "0.5", *chosen)
    with project.system.store.read() as uow:
        test = uow.ab_tests.running(project.id)
    assert test is not None

    def shows_badges(task: StoredTask) -> bool:
        shown = [p for p in task.predictions if p.model_version == "spanloop-v1"]
        return any("BADGE" in region["value"]["labels"] for p in shown for region in p.result)

    def waiting(arm: Arm) -> list[StoredTask]:
        left = [task for task in project.tasks() if not task.is_labeled and not task.has_draft]
        return [task for task in left if speaker_of(test, task.id) is arm]

    def is_exchanged() -> bool:
        theirs = waiting(Arm.CHALLENGER)
        return bool(theirs) and not any(shows_badges(task) for task in theirs)

    project.system.wait_for("the challenger's spans", is_exchanged)
    assert project.shown().model_version == "spanloop-v1"
    # The first in the queue is a text of which a version is unsure, perhaps with no badge found: ask the others too.
    mine = waiting(Arm.LIVE)
    assert sum(shows_badges(task) for task in mine) > len(mine) / 2
    person.open_labelling(project.id)
    task = next(task for task in project.tasks() if task.id == person.task_id)
    prediction = next(p for p in task.predictions if p.model_version == "spanloop-v1")
    shown = person.wait_for_regions(len(prediction.result))
    assert ("BADGE" in {region.label for region in shown}) == shows_badges(task)
    done = project.annotate(4, learnt.__getitem__)
    project.wait_for_annotations([submission.annotation_id for submission in done])
    tasks = [found.task_id or 0 for one in done if (found := project.annotation(one.annotation_id)) is not None]
    told = json.loads(spanloop("models", "ab", "status", "--json", *chosen))
    # This annotator claims to have read for longer than the test runs, so its answers on exchanged tasks are nobody's.
    assert told["figures"][Arm.LIVE]["texts"] == sum(speaker_of(test, task) is Arm.LIVE for task in tasks)
    spanloop("models", "ab", "stop", *chosen)
