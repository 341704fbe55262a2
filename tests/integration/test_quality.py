"""Audit, agreement and outlook of a project, from its store."""

from __future__ import annotations

import pytest

from config.errors import NotEnoughData
from tests.integration.api import Api
from tests.integration.rows import LABELS, NOW, Desk, new_run, span_of
from training.examples.intake import Person
from training.examples.marks import Mark, read_marks, read_words
from training.quality.assess import audit_labels, mark_new_labels, read_agreement, read_doubts, read_outlook
from training.quality.outlook import Signal
from training.spans import Span
from training.store.tables.models import MLModel
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store

NAMES = ("Ada Byron", "Jane Doe", "Bob Miller", "Eve Stone")
TOWNS = ("London", "Paris", "Berlin", "Oslo")
WRONG = 17


def text_of(number: int) -> str:
    return f"Yesterday {NAMES[number % 4]} went to {TOWNS[number // 4 % 4]} by train number {number}."


def spans_of(number: int, *, label: str = "PERSON") -> list[Span]:
    text = text_of(number)
    return [span_of(text, NAMES[number % 4], label), span_of(text, TOWNS[number // 4 % 4], "CITY")]


@pytest.fixture
def desk(store: Store) -> Desk:
    """A project with 40 annotated texts, one of them with a wrong label."""
    made = Desk(store)
    for number in range(40):
        made.task(number + 1, text_of(number))
        label = "CITY" if number == WRONG else "PERSON"
        made.annotate(number + 1, number + 1, *spans_of(number, label=label))
    return made


def words(desk: Desk, task_id: int) -> dict[Mark, str]:
    with desk.store.read() as uow:
        task = uow.texts.find_task(desk.project_id, task_id)
        assert task is not None
        return read_words(task.marks)


def test_an_audit_ranks_and_marks_what_is_wrong(desk: Desk) -> None:
    """The wrong label comes first, its task carries the mark with its rank, and the store keeps the doubt."""
    found = audit_labels(desk.store, desk.project_id, clock=lambda: NOW)
    assert (found.texts, found.spans) == (40, 80)
    assert words(desk, WRONG + 1) == {Mark.LABEL_ERROR: "label_error:0001"}
    with desk.store.read() as uow:
        first = read_doubts(uow, desk.project_id, limit=1)[0]
        assert first not in read_doubts(uow, desk.project_id, limit=100, offset=1)
    assert (first.rank, first.suggested, first.task_ids) == (1, "PERSON", (WRONG + 1,))
    assert first.text[first.span.start : first.span.end] == NAMES[WRONG % 4]


def test_a_corrected_annotation_is_in_doubt_no_more(desk: Desk) -> None:
    """Its doubt is not listed, its mark is gone, and the next audit takes the place of the last one."""
    audit_labels(desk.store, desk.project_id, clock=lambda: NOW)
    desk.annotate(WRONG + 1, WRONG + 1, *spans_of(WRONG), at=50)
    with desk.store.read() as uow:
        assert all(WRONG + 1 not in doubt.task_ids for doubt in read_doubts(uow, desk.project_id, limit=100))
    assert Mark.LABEL_ERROR not in words(desk, WRONG + 1)
    audit_labels(desk.store, desk.project_id, clock=lambda: NOW)
    with desk.store.read() as uow:
        assert uow.doubts.count(desk.project_id) == len(read_doubts(uow, desk.project_id, limit=100))


def test_an_audit_needs_something_to_look_at(store: Store) -> None:
    """Too few texts, or none with a span, are refused with the figures."""
    desk = Desk(store)
    with pytest.raises(NotEnoughData, match="0 verified texts, an audit needs 20"):
        audit_labels(store, desk.project_id, clock=lambda: NOW)
    for number in range(20):
        desk.task(number + 1, text_of(number))
        desk.annotate(number + 1, number + 1)
    with pytest.raises(NotEnoughData, match="none of the 20 verified texts holds a span"):
        audit_labels(store, desk.project_id, clock=lambda: NOW)


def test_agreement_compares_the_newest_answers_of_people(desk: Desk) -> None:
    """Whoever changed an answer stands by the new one; skips and deleted annotations say nothing."""
    bob = Person("8", "bob")
    desk.annotate(101, 1, *spans_of(0), person=bob)
    desk.annotate(102, 2, person=bob)
    desk.annotate(103, 3, *spans_of(2), person=bob, was_cancelled=True)
    desk.annotate(104, 2, *spans_of(1)[:1], person=bob, at=5)
    with desk.store.read() as uow:
        found = read_agreement(uow, desk.project_id)
    assert (found.texts, found.annotators, len(found.pairs)) == (2, 2, 1)
    assert found.f1 == pytest.approx(2 * 3 / (4 + 3))
    assert [ask.text_id for ask in found.ask_again] == [desk.text(text_of(1)).id]


def add_version(store: Store, number: int, texts: int, f1: float) -> None:
    """A version that a run registered."""
    with store.write() as uow:
        model = uow.models.add(
            MLModel(
                project_id=1,
                number=number,
                version=f"spanloop-v{number}",
                is_active=False,
                is_production=False,
                spec={"label_mapping": {}},
                label_mapping={},
                metrics={"support": 200},
                f1_score=f1,
                created_at=NOW,
            )
        )
        uow.session.flush()
        run = new_run(status=RunStatus.COMPLETED, verified_texts=texts, model_id=model.id)
        uow.session.add(run)
        uow.commit()


def test_the_outlook_follows_from_versions_and_times(desk: Desk) -> None:
    """Versions make the curve, annotators' times the cost; without three versions it is too early."""
    with desk.store.read() as uow:
        assert read_outlook(uow, uow.projects.get(1)).signal is Signal.TOO_EARLY
    for number, (texts, f1) in enumerate(((50, 0.5), (100, 0.62), (150, 0.68), (200, 0.71)), 1):
        add_version(desk.store, number, texts, f1)
    with desk.store.read() as uow:
        found = read_outlook(uow, uow.projects.get(1))
    first = found.points[0]
    assert (first.version, first.annotations, first.f1, first.support) == ("spanloop-v1", 50, 0.5, 200)
    assert found.minutes_per_text == pytest.approx(3.5 / 60)
    assert found.signal is Signal.GO_ON


def test_labels_that_the_live_version_cannot_find_are_marked(desk: Desk) -> None:
    """Texts with such a label are in their tab until a version knows it."""
    add_version(desk.store, 1, 50, 0.5)

    def go_live(mapping: dict[str, str]) -> int:
        with desk.store.write() as uow:
            (model,) = uow.models.of_project(1)
            model.is_production, model.spec = True, {"label_mapping": mapping}
            uow.commit()
        return mark_new_labels(desk.store, 1)

    assert go_live({"PER": "PERSON"}) == 40
    assert Mark.NEW_LABEL in words(desk, 1)
    assert go_live({name: name for name in LABELS}) == 0
    assert words(desk, 1) == {}


def test_the_api_says_the_same(sqlite_api: Api) -> None:
    """Agreement, outlook and doubts have their addresses; a project that is not there has none."""
    assert sqlite_api.get("projects/1/agreement/").json()["texts"] == 0
    assert sqlite_api.get("projects/1/outlook/").json()["signal"] == "too_early"
    assert sqlite_api.get("projects/1/label-doubts/").json()["count"] == 0
    assert sqlite_api.get("projects/1/label-doubts/?limit=5&offset=5").json()["previous"].endswith("offset=0")
    assert sqlite_api.get("projects/99/label-doubts/").status_code == 404


def test_ranks_survive_other_marks() -> None:
    """A mark with a rank is still that mark, and words that nobody knows are left out."""
    assert read_marks("disagreement label_error:0003 nonsense") == {Mark.DISAGREEMENT, Mark.LABEL_ERROR}
    assert read_words("label_error:0003")[Mark.LABEL_ERROR] == "label_error:0003"
