"""A project's settings, changed while there are annotations."""

from __future__ import annotations

from datetime import datetime

import pytest

from config.errors import InvalidInput, NotFound
from tests.integration.rows import Desk, later, span_of
from training.examples.intake import Person
from training.project_settings import change_settings
from training.store.unit_of_work import Store

TEXT = "Ada Byron lives in Turin."
ADA = span_of(TEXT, "Ada Byron", "PERSON")


def clock() -> datetime:
    """The moment of the change."""
    return later(50)


def test_intake_settles_every_text_anew_when_the_verification_rule_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the new rule exactly those texts are verified, and those tasks finished, that it says."""
    monkeypatch.setattr("training.project_settings.CHUNK", 1)
    desk = Desk(store)
    for number, text in enumerate((TEXT, "Ada Byron was here before.", "And nobody was here."), 1):
        desk.task(number, text)
        desk.annotate(number, number, ADA)
    desk.annotate(11, 1, ADA, person=Person("8", "ben"))
    desk.annotate(12, 2, ADA, person=Person("8", "ben"), ground_truth=True)
    assert desk.counts().verified == 3
    seen = []
    for rule in ("agreement:2", "ground_truth", "submitted"):
        change_settings(store, 1, {"verification_rule": rule}, clock=clock)
        with store.read() as uow:
            seen.append((desk.counts().verified, uow.texts.count_tasks(1)[1]))
    assert seen == [(2, 2), (1, 3), (3, 3)]


def test_intake_changes_only_the_settings_that_are_named(store: Store) -> None:
    """What is not named stays as it was, words become numbers, and nothing is settled anew."""
    desk = Desk(store, settings={"retrain_after": 7})
    desk.task(1, TEXT)
    desk.annotate(1, 1, ADA)
    changed = change_settings(store, 1, {"min_samples": "5", "auto_promote": "true"}, clock=clock)
    assert (changed.retrain_after, changed.min_samples, changed.auto_promote) == (7, 5, True)
    with store.read() as uow:
        assert uow.projects.get(1).settings == changed.to_json()
        assert uow.projects.get(1).last_change_at == later(1)


@pytest.mark.parametrize("changes", [{"retrain_afterr": 1}, {"retrain_after": 0}, {"verification_rule": "agreement:1"}])
def test_intake_refuses_settings_that_make_no_sense(store: Store, changes: dict[str, object]) -> None:
    """A wrong setting changes nothing."""
    Desk(store)
    with pytest.raises(InvalidInput, match="cannot be used"):
        change_settings(store, 1, changes, clock=clock)
    with store.read() as uow:
        assert uow.projects.get(1).settings == {}


def test_intake_refuses_a_recall_floor_for_a_label_that_is_not_there(store: Store) -> None:
    """A misspelt label would disarm the floor; where a label went later, other settings can still be changed."""
    Desk(store, settings={"gate_recall_floors": {"GONE": 0.5}})
    with pytest.raises(InvalidInput, match=r"SNN .known: PERSON, SSN, CITY"):
        change_settings(store, 1, {"gate_recall_floors": "SNN:0.9"}, clock=clock)
    assert change_settings(store, 1, {"retrain_after": 7}, clock=clock).gate_recall_floors == {"GONE": 0.5}
    assert change_settings(store, 1, {"gate_recall_floors": "SSN:0.9"}, clock=clock).gate_recall_floors == {"SSN": 0.9}


def test_intake_names_a_project_that_has_no_settings(store: Store) -> None:
    """Settings of an unknown project are refused with the way to the known ones."""
    with pytest.raises(NotFound, match="spanloop project list"):
        change_settings(store, 5, {}, clock=clock)
