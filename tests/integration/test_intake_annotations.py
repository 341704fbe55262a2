"""What annotations come to in the store, whatever the order they arrive in."""

from __future__ import annotations

import pytest

from tests.integration.rows import Desk, later, shown, span_of
from training.examples.intake import Person
from training.spans import Problem, Span, SpanProblem, parse_spans
from training.store.tables.annotations import PredictionKind
from training.store.unit_of_work import Store

TEXT = "Ada Byron lives in Turin."
ADA = span_of(TEXT, "Ada Byron", "PERSON")
TURIN = span_of(TEXT, "Turin", "CITY")
BEN = Person("8", "ben")


@pytest.fixture
def desk(store: Store) -> Desk:
    """A project with one task."""
    desk = Desk(store)
    desk.task(10, TEXT)
    return desk


def spans_of(desk: Desk, text: str = TEXT) -> set[Span]:
    """The spans that the text's example holds."""
    example = desk.example(text)
    assert example is not None
    return set(parse_spans(example.entities))


def test_intake_takes_a_submitted_annotation_as_a_verified_example(desk: Desk) -> None:
    """By default a submit verifies its text, and the spans are what was submitted."""
    assert desk.annotate(1, 10, ADA, TURIN)
    example = desk.example(TEXT)
    assert example is not None
    assert (example.verified, example.annotation_id, example.source) == (True, 1, "label_studio")
    assert spans_of(desk) == {ADA, TURIN}
    assert example.verified_at == later(1)
    assert (desk.counts().verified, desk.counts().newly_verified) == (1, 1)


def test_intake_lets_the_newest_state_of_an_annotation_win(desk: Desk) -> None:
    """An update that arrives before an older one is not undone by it."""
    assert desk.annotate(1, 10, ADA, TURIN, at=20)
    assert not desk.annotate(1, 10, ADA, at=5)
    assert spans_of(desk) == {ADA, TURIN}
    assert desk.annotate(1, 10, TURIN, at=30)
    assert spans_of(desk) == {TURIN}


def test_intake_of_the_same_state_twice_changes_nothing(desk: Desk) -> None:
    """A doubled webhook, or the pull after it, neither adds rows nor makes anything pending."""
    desk.annotate(1, 10, ADA, at=5)
    with desk.store.write() as uow:
        before = uow.examples.of_text(1, desk.text(TEXT).id)
        assert before is not None
        before.counted_run_id = "taken"
        uow.commit()
    desk.annotate(1, 10, ADA, at=5)
    example = desk.example(TEXT)
    assert example is not None
    assert (example.counted_run_id, example.verified_at) == ("taken", later(5))
    with desk.store.read() as uow:
        assert uow.projects.get(1).last_change_at == later(5)
        assert len(uow.feedback.of_project(1)) == 1


def test_intake_notes_when_something_last_changed(desk: Desk) -> None:
    """The retraining policy's quiet seconds count from the last change of an example."""
    desk.annotate(1, 10, ADA, at=5)
    desk.annotate(1, 10, TURIN, at=50)
    with desk.store.read() as uow:
        assert uow.projects.get(1).last_change_at == later(50)


def test_intake_takes_a_deletion_as_final(desk: Desk) -> None:
    """After a deletion no update brings an annotation back, however new it says it is."""
    desk.annotate(1, 10, ADA)
    assert desk.delete(1) == 1
    assert not desk.annotate(1, 10, ADA, TURIN, at=500)
    example = desk.example(TEXT)
    assert example is not None
    assert not example.verified
    assert desk.counts().verified == 0
    feedback = desk.feedback(1)
    assert feedback is not None
    assert feedback.withdrawn


def test_intake_takes_a_deletion_that_arrives_before_the_annotation(desk: Desk) -> None:
    """Webhooks may be reordered: what is deleted before it was ever seen does not come to life afterwards."""
    assert desk.delete(1) == 0
    assert not desk.annotate(1, 10, ADA)
    assert desk.example(TEXT) is None
    assert desk.feedback(1) is None


def test_intake_takes_the_deletion_of_a_task_as_final(desk: Desk) -> None:
    """With a task its annotations go, and neither it nor they come back."""
    desk.annotate(1, 10, ADA)
    assert desk.delete_tasks(10) == 1
    assert desk.delete_tasks(10) == 0
    desk.task(10, TEXT, at=500)
    desk.annotate(1, 10, ADA, at=500)
    desk.annotate(2, 10, ADA, at=500)
    assert desk.counts().verified == 0
    with desk.store.read() as uow:
        assert uow.texts.task_ids(1) == set()


def test_intake_takes_the_deletion_of_a_task_that_arrives_before_the_task(desk: Desk) -> None:
    """A task that is deleted before it was ever seen does not come to life afterwards."""
    assert desk.delete_tasks(11) == 0
    desk.task(11, "Another text by Ada.", at=500)
    desk.annotate(1, 11, span_of("Another text by Ada.", "Ada", "PERSON"), at=501)
    with desk.store.read() as uow:
        assert uow.texts.task_ids(1) == {10}
    assert desk.counts().verified == 0


def test_intake_keeps_a_skip_out_of_examples_and_rates(desk: Desk) -> None:
    """A skipped task teaches nothing and says nothing about the pre-label."""
    desk.annotate(1, 10, ADA, was_cancelled=True, **shown(5, ADA))
    feedback = desk.feedback(1)
    assert feedback is not None
    assert feedback.is_correct is None
    assert desk.counts().verified == 0


def test_intake_verifies_once_a_skip_is_taken_back(desk: Desk) -> None:
    """A skip that becomes a submit counts, and the other way round it counts no more."""
    desk.annotate(1, 10, ADA, was_cancelled=True, at=1)
    desk.annotate(1, 10, ADA, at=2)
    assert desk.counts().verified == 1
    desk.annotate(1, 10, ADA, was_cancelled=True, at=3)
    assert desk.counts().verified == 0


@pytest.mark.parametrize(("before", "after", "verdict"), [((ADA,), (ADA,), True), ((ADA, TURIN), (ADA,), False)])
def test_intake_judges_the_prediction_that_the_annotator_started_from(
    desk: Desk, before: tuple[Span, ...], after: tuple[Span, ...], verdict: bool
) -> None:
    """Correct means that the submitted spans equal those shown; what was shown is kept as a result."""
    desk.annotate(1, 10, *after, **shown(5, *before))
    feedback = desk.feedback(1)
    assert feedback is not None
    assert feedback.is_correct is verdict
    assert (feedback.lead_time, set(parse_spans(feedback.corrected_entities))) == (3.5, set(after))
    with desk.store.read() as uow:
        result = uow.feedback.find_result(1, 5)
    assert result is not None
    assert (result.id, result.kind, result.model_version) == (feedback.result_id, PredictionKind.MODEL, "spanloop-v0")
    assert set(parse_spans(result.entities)) == set(before)


def test_intake_leaves_annotations_without_a_parent_out_of_rates(desk: Desk) -> None:
    """Without a prediction to start from nothing was right or wrong."""
    desk.annotate(1, 10, ADA)
    feedback = desk.feedback(1)
    assert feedback is not None
    assert (feedback.is_correct, feedback.result_id) == (None, None)


def test_intake_updates_the_one_feedback_row_of_an_annotation(desk: Desk) -> None:
    """Correcting an annotation changes its feedback, and never adds a second row."""
    desk.annotate(1, 10, ADA, at=1, **shown(5, ADA))
    first = desk.feedback(1)
    desk.annotate(1, 10, ADA, TURIN, at=2, **shown(5, ADA))
    second = desk.feedback(1)
    assert first is not None
    assert second is not None
    assert (first.id, first.is_correct, second.is_correct) == (second.id, True, False)
    with desk.store.read() as uow:
        assert len(uow.feedback.of_project(1)) == 1


def test_intake_still_knows_what_was_shown_when_label_studio_forgot_it(desk: Desk) -> None:
    """When a prediction is gone by the time of an update, the update is judged by what was kept of it."""
    desk.annotate(1, 10, ADA, TURIN, at=1, **shown(5, ADA))
    desk.annotate(1, 10, ADA, at=2, parent_prediction=5, parent=None)
    feedback = desk.feedback(1)
    assert feedback is not None
    assert feedback.is_correct is True


def test_intake_settles_conflicts_by_star_then_agreement_then_newest(desk: Desk) -> None:
    """Where annotators differ a star decides, else the larger number, else the newest; the conflict is reported."""
    desk.annotate(1, 10, ADA, at=1)
    desk.annotate(2, 10, TURIN, at=2, person=BEN)
    assert spans_of(desk) == {TURIN}
    desk.annotate(3, 10, ADA, at=1, person=Person("9", "cleo"))
    assert spans_of(desk) == {ADA}
    desk.annotate(2, 10, TURIN, at=3, person=BEN, ground_truth=True)
    assert spans_of(desk) == {TURIN}
    with desk.store.read() as uow:
        (example,) = uow.examples.with_conflicts(1)
    assert example.conflict is not None
    assert "annotation 2" in example.conflict
    desk.delete(2)
    with desk.store.read() as uow:
        assert uow.examples.with_conflicts(1) == []
    assert spans_of(desk) == {ADA}


def test_intake_verifies_by_star_alone_where_the_project_says_so(store: Store) -> None:
    """With the rule ground_truth a submit is not enough, and taking the star away takes the text out of training."""
    desk = Desk(store, settings={"verification_rule": "ground_truth"})
    desk.task(10, TEXT)
    desk.annotate(1, 10, ADA, at=1)
    assert (desk.counts().verified, desk.counts().unverified) == (0, 1)
    desk.annotate(1, 10, ADA, at=2, ground_truth=True)
    assert desk.counts().verified == 1
    desk.annotate(1, 10, ADA, at=3)
    assert desk.counts().verified == 0


def test_intake_verifies_by_agreement_where_the_project_says_so(store: Store) -> None:
    """With agreement:2 two people must submit the same spans; one person twice is one person."""
    desk = Desk(store, settings={"verification_rule": "agreement:2"})
    desk.task(10, TEXT)
    desk.annotate(1, 10, ADA)
    desk.annotate(2, 10, ADA)
    assert desk.counts().verified == 0
    desk.annotate(3, 10, TURIN, person=BEN)
    assert desk.counts().verified == 0
    desk.annotate(3, 10, ADA, person=BEN, at=2)
    assert desk.counts().verified == 1


def test_intake_keeps_and_reports_what_cannot_be_learnt_from(desk: Desk) -> None:
    """Spans with unknown labels, outside the text or without a label are kept with their reason, never dropped."""
    strange, outside = Span(0, 3, "DRAGON"), Span(20, 99, "CITY")
    unlabelled = SpanProblem(None, Problem.NO_LABEL, "region 2, 0 to 3, carries no label")
    desk.annotate(1, 10, ADA, strange, outside, problems=(unlabelled,))
    with desk.store.read() as uow:
        (annotation,) = uow.annotations.with_problems(1)
    assert [problem["problem"] for problem in annotation.problems] == ["no_label", "unknown_label", "out_of_text"]
    assert annotation.task_id == 10
    assert spans_of(desk) == {ADA, strange, outside}


def test_intake_reports_a_task_without_a_text_and_keeps_its_annotation(desk: Desk) -> None:
    """An annotation of a task that holds no text is mirrored, trains nothing, and the task is listed."""
    desk.task(11, None, problem="the task has no text under 'text'")
    assert desk.annotate(4, 11)
    with desk.store.read() as uow:
        assert [task.id for task in uow.texts.tasks_with_problems(1)] == [11]
        assert uow.annotations.standing_ids(1) == {4}
    assert desk.counts().verified == 0


def test_intake_counts_a_task_as_finished_when_enough_people_submitted(store: Store) -> None:
    """Under agreement:2 a task waits for its second annotator, and waits again when an annotation is deleted."""
    desk = Desk(store, settings={"verification_rule": "agreement:2"})
    desk.task(10, TEXT)
    for annotation_id, person in ((1, Person("7", "ada")), (2, BEN)):
        with store.read() as uow:
            assert uow.texts.count_tasks(1) == (1, 0)
        desk.annotate(annotation_id, 10, ADA, person=person)
    with store.read() as uow:
        assert uow.texts.count_tasks(1) == (1, 1)
    desk.delete(2)
    with store.read() as uow:
        assert uow.texts.count_tasks(1) == (1, 0)


def test_intake_makes_one_example_of_a_text_in_two_tasks(desk: Desk) -> None:
    """The same text in two tasks is one example, settled from the annotations of both."""
    desk.task(11, TEXT)
    desk.annotate(1, 10, ADA, at=1)
    desk.annotate(2, 11, ADA, TURIN, at=2, person=BEN)
    assert desk.counts().verified == 1
    assert spans_of(desk) == {ADA, TURIN}
    desk.delete_tasks(11)
    assert spans_of(desk) == {ADA}


def test_intake_keeps_projects_apart(desk: Desk) -> None:
    """The same text and the same ids in two projects never mix."""
    other = Desk(desk.store, 2)
    other.task(10, TEXT)
    other.annotate(1, 10, TURIN)
    desk.annotate(1, 10, ADA)
    assert (spans_of(desk), spans_of(other)) == ({ADA}, {TURIN})
    desk.delete(1)
    assert (desk.counts().verified, other.counts().verified) == (0, 1)
