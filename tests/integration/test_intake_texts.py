"""Texts and tasks in the store: one part for ever, edited texts, proposals."""

from __future__ import annotations

import pytest

from tests.integration.rows import Desk, at_once, later, new_run, shown, span_of
from training.examples.intake import SeenTask, record_task
from training.examples.partition import ensure_text
from training.spans import parse_spans
from training.store.tables.annotations import PredictionKind
from training.store.tables.runs import Incorporation
from training.store.unit_of_work import Store

TEXT = "Ada Byron lives in Turin."
ADA = span_of(TEXT, "Ada Byron", "PERSON")
EDITED = "These days it is Ben Nevis who lives in Rome, far away from all that."
BEN = span_of(EDITED, "Ben Nevis", "PERSON")


@pytest.fixture
def desk(store: Store) -> Desk:
    """A project with one task."""
    desk = Desk(store)
    desk.task(10, TEXT)
    return desk


def unlike_texts(count: int) -> list[str]:
    """So many texts of 16 words, no word of which stands in two of them."""
    words = "amber birch cedar delta ember flint grove heath inlet jetty kelp larch maple night ocean pearl"
    return [" ".join(f"{word}{chr(97 + n % 26)}{chr(97 + n // 26)}" for word in words.split()) for n in range(count)]


def test_intake_gives_each_text_a_part_for_ever(store: Store) -> None:
    """Changed fractions apply to new texts alone: what was a test text stays one."""
    desk = Desk(store)
    texts = unlike_texts(60)
    for number, text in enumerate(texts):
        desk.task(number + 1, text)
    before = {text: desk.text(text).part for text in texts}
    assert set(before.values()) == {"train", "dev", "test"}
    with store.write() as uow:
        uow.projects.lock(1).settings = {"test_fraction": 0.0, "dev_fraction": 0.0, "seed": 9}
        uow.commit()
    for number, text in enumerate(texts):
        desk.task(number + 101, text, at=50)
        desk.task(number + 1, text, at=50)
    assert {text: desk.text(text).part for text in texts} == before
    desk.task(999, "Now something that was never there before, from another place altogether.")
    assert desk.text("Now something that was never there before, from another place altogether.").part == "train"


def test_intake_keeps_near_duplicates_in_one_part(store: Store) -> None:
    """Texts that differ in their fillings alone share a group and with it a part, whatever the seed says of each."""
    desk = Desk(store)
    line = "Dear {}, your parcel {} waits at our counter in {} until Friday, please bring this letter along."
    texts = [line.format(*filling) for filling in (("Ada", 17, "Rome"), ("Ben", 523, "Oslo"), ("Cleo", 9, "Bern"))]
    for number, text in enumerate(texts):
        desk.task(number + 1, text)
    rows = [desk.text(text) for text in texts]
    assert len({row.group_id for row in rows}) == len({row.part for row in rows}) == 1


def test_intake_lists_a_text_that_would_bridge_two_parts(store: Store) -> None:
    """A text that resembles texts of two parts is set aside with the groups it bridges, and trains nothing."""
    desk = Desk(store)
    first, *others = unlike_texts(40)
    desk.task(1, first)
    middle = " ".join(first.split()[8:])
    for number, other in enumerate(others):
        half_other = f"{middle} {' '.join(other.split()[:8])}"
        desk.task(number + 2, half_other)
        if desk.text(half_other).part != desk.text(first).part:
            break
    bridge = " ".join([*first.split()[4:], *other.split()[:4]])
    desk.task(100, bridge)
    row = desk.text(bridge)
    assert (row.part, row.group_id) == ("set_aside", None)
    assert len(row.bridged_groups) == 2
    desk.annotate(1, 100)
    assert (desk.counts().set_aside, desk.counts().verified) == (1, 1)
    with store.read() as uow:
        assert [text.id for text in uow.texts.set_aside(1)] == [row.id]


def test_intake_gives_a_text_one_row_when_it_comes_twice_at_the_same_moment(store: Store) -> None:
    """Two drains that bring the same new text settle its part once."""
    desk = Desk(store)
    at_once(4, lambda number: desk.task(number + 1, TEXT))
    with store.read() as uow:
        assert uow.texts.task_ids(1) == {1, 2, 3, 4}
        assert len({uow.texts.find_task(1, n).text_id for n in range(1, 5)}) == 1  # type: ignore[union-attr]


def test_intake_keeps_the_newest_state_of_a_task(desk: Desk) -> None:
    """An older state of a task that arrives later changes nothing."""
    desk.task(10, EDITED, at=50)
    desk.task(10, TEXT, at=20)
    with desk.store.read() as uow:
        task = uow.texts.find_task(1, 10)
    assert task is not None
    assert task.text_id == desk.text(EDITED).id


def test_intake_follows_a_task_whose_text_was_edited(desk: Desk) -> None:
    """After an edit the annotations speak of the new text, and the old one trains no more."""
    desk.annotate(1, 10, ADA, at=1, **shown(5, ADA))
    desk.task(10, EDITED, at=50)
    old, new = desk.example(TEXT), desk.example(EDITED)
    assert old is not None
    assert new is not None
    assert (old.verified, new.verified) == (False, True)
    feedback = desk.feedback(1)
    assert feedback is not None
    assert feedback.text_id == desk.text(EDITED).id
    desk.annotate(1, 10, BEN, at=60)
    example = desk.example(EDITED)
    assert example is not None
    assert parse_spans(example.entities) == (BEN,)


def test_intake_reports_spans_that_an_edit_left_outside_the_text(desk: Desk) -> None:
    """When an edit shortens a text, the spans that no longer fit are reported with their task."""
    desk.annotate(1, 10, span_of(TEXT, "Turin", "CITY"), at=1)
    desk.task(10, "Ada Byron", at=50)
    with desk.store.read() as uow:
        (annotation,) = uow.annotations.with_problems(1)
    assert (annotation.task_id, annotation.problems[0]["problem"]) == (10, "out_of_text")


def test_intake_reports_a_text_that_was_emptied(desk: Desk) -> None:
    """A task that loses its text is listed, and its annotation trains no more."""
    desk.annotate(1, 10, ADA)
    desk.task(10, None, at=50, problem="the task has no text under 'text'")
    assert desk.counts().verified == 0
    desk.task(10, TEXT, at=60)
    assert desk.counts().verified == 1


@pytest.mark.parametrize("text", ["Ada\x00Byron", "Ada \ud800 Byron"])
def test_intake_reports_a_text_that_no_database_can_hold(desk: Desk, text: str) -> None:
    """A text with a null character or half a surrogate pair is reported with its task, and the rest goes on."""
    desk.task(11, text)
    with desk.store.read() as uow:
        (task,) = uow.texts.tasks_with_problems(1)
    assert (task.id, task.text_id) == (11, None)
    assert "character" in (task.problem or "")


def test_intake_makes_an_annotated_change_pending_again(desk: Desk) -> None:
    """Incorporation is of a revision: when an annotation changes, what was learnt from it is out of date."""
    desk.annotate(1, 10, ADA, at=1)
    text_id = desk.text(TEXT).id

    def incorporate() -> None:
        with desk.store.write() as uow:
            run = new_run(1, "completed")
            uow.runs.add(run)
            example = uow.examples.of_text(1, text_id)
            assert example is not None
            row = Incorporation(run_id=run.id, example_id=example.id, revision=example.revision, part="train")
            uow.runs.incorporate([row])
            example.counted_run_id = run.id
            uow.feedback.mark_incorporated(1, [text_id])
            uow.commit()

    def incorporated() -> tuple[bool, int]:
        feedback = desk.feedback(1)
        assert feedback is not None
        return feedback.incorporated_in_training, desk.counts().newly_verified

    incorporate()
    assert incorporated() == (True, 0)
    desk.annotate(1, 10, ADA, at=2)
    assert incorporated() == (True, 0)
    desk.annotate(1, 10, at=3)
    assert incorporated() == (False, 1)
    incorporate()
    desk.delete(1)
    assert incorporated() == (False, 0)


def propose(desk: Desk, task_id: int = 10) -> None:
    """Put a proposal onto a task, as an import does."""
    with desk.store.write() as uow:
        task = uow.texts.find_task(1, task_id)
        assert task is not None
        task.proposal = [ADA.to_json()]
        uow.commit()


def test_intake_keeps_feedback_on_a_proposal_apart_from_feedback_on_a_model(desk: Desk) -> None:
    """What an annotator makes of somebody's proposal verifies the text, and is marked as no model's doing."""
    propose(desk)
    desk.annotate(1, 10, ADA, **shown(5, ADA))
    with desk.store.read() as uow:
        result = uow.feedback.find_result(1, 5)
    assert result is not None
    assert result.kind == PredictionKind.PROPOSAL
    assert desk.counts().verified == 1


def test_intake_falls_back_to_the_proposal_when_the_annotation_goes(desk: Desk) -> None:
    """With its only annotation deleted a proposed text is a proposal again, unverified."""
    propose(desk)
    desk.annotate(1, 10)
    desk.delete(1)
    example = desk.example(TEXT)
    assert example is not None
    assert (example.verified, parse_spans(example.entities)) == (False, (ADA,))


def test_intake_drops_a_proposal_whose_text_was_edited(desk: Desk) -> None:
    """Proposed spans belong to the text they were proposed for."""
    propose(desk)
    desk.task(10, EDITED, at=50)
    with desk.store.read() as uow:
        assert uow.texts.proposals(1, [10]) == {}


def test_intake_runs_within_the_callers_transaction(store: Store) -> None:
    """A task and its text are stored together or not at all."""
    desk = Desk(store)
    with store.write() as uow:
        record_task(uow, uow.projects.lock(1), SeenTask(10, TEXT, None, False, later(0)), now=later(0))
    with store.read() as uow:
        assert uow.texts.task_ids(1) == set()
        assert not uow.texts.known_hashes(1, ["x"])
    with store.write() as uow:
        ensure_text(uow, uow.projects.lock(1), TEXT, now=later(0))
        uow.commit()
    assert desk.text(TEXT).first_seen_at == later(0)
