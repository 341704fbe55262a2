"""When a run starts by itself, as the store tells it; and one real training, small, from texts to a served version."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.rows import Desk, later, new_run, span_of
from tests.integration.shop import Shop
from training.prediction.pipeline import base_spec
from training.project_settings import change_settings
from training.runs.retraining import decide, request_due_run
from training.runs.run import Workshop, execute_run, request_run
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store
from training.taxonomy import Taxonomy
from training.versions.artefacts import ArtefactStore
from training.versions.registry import open_version, register_base

DAY = 86_400
SETTINGS = {"retrain_after": 5, "min_samples": 5, "quiet_seconds": 20, "min_interval_seconds": 60}


@pytest.fixture
def shop(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A workshop whose project trains after five texts."""
    return Shop.open(store, tmp_path, monkeypatch, **SETTINGS)


def due(shop: Shop, now: datetime) -> str | None:
    """The run that the policy asks for at this moment."""
    with shop.store.write() as uow:
        run = request_due_run(uow, uow.projects.get(1), now=now)
        uow.commit()
    return run.id if run else None


def why(shop: Shop, now: datetime) -> str:
    """The reason of the policy's decision."""
    with shop.store.read() as uow:
        return decide(uow, uow.projects.get(1), now=now).reason


def test_run_starts_after_enough_new_texts_of_any_part(shop: Shop) -> None:
    """Test and dev texts count towards the number of new ones, as train texts do."""
    shop.annotate("train", 2)
    shop.annotate("dev", 1)
    shop.annotate("test", 1)
    assert due(shop, later(1000)) is None
    assert "4 verified texts" in why(shop, later(1000))
    shop.annotate("test", 1)
    assert due(shop, later(1000)) is not None


def test_run_waits_for_quiet_while_somebody_annotates(shop: Shop) -> None:
    """A run starts when nothing has changed for the project's quiet seconds."""
    shop.annotate("train", 5, at=100)
    assert due(shop, later(119)) is None
    assert "somebody is annotating" in why(shop, later(119))
    assert due(shop, later(120)) is not None


def test_run_starts_once_while_another_is_under_way(shop: Shop) -> None:
    """While a run is under way the policy asks for no other."""
    shop.annotate("train", 5)
    assert due(shop, later(1000)) is not None
    assert due(shop, later(1000)) is None
    assert why(shop, later(1000)) == "a run is under way"


def test_run_starts_anew_only_after_further_texts(shop: Shop) -> None:
    """What a run has taken is not new any more; after its pause and enough further texts the next one starts."""
    shop.annotate("train", 6)
    shop.annotate("test", 1)
    run_id = due(shop, shop.now)
    assert run_id is not None
    shop.execute(run_id)
    assert due(shop, shop.now + timedelta(hours=1)) is None
    shop.annotate("train", 5)
    assert due(shop, shop.now + timedelta(seconds=59)) is None
    assert due(shop, shop.now + timedelta(seconds=60)) is not None


def test_run_is_tried_again_after_growing_pauses_when_it_fails(shop: Shop) -> None:
    """Failures in a row double the pause; a run that gave a model, also a refused one, ends the row."""
    shop.annotate("train", 5)
    with shop.store.write() as uow:
        for number, status in enumerate([RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.FAILED]):
            uow.runs.add(new_run(1, status, created_at=later(number), finished_at=later(number)))
        uow.commit()
    assert due(shop, later(2 + 239)) is None
    assert "after 2 failed in a row" in why(shop, later(2 + 239))
    assert due(shop, later(2 + 240)) is not None


@pytest.mark.parametrize("auto_promote", [False, True])
def test_run_that_starts_by_itself_goes_live_as_the_project_says(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auto_promote: bool
) -> None:
    """Whether an automatic run's model goes live follows the project's auto_promote."""
    shop = Shop.open(store, tmp_path, monkeypatch, **SETTINGS, auto_promote=auto_promote)
    shop.annotate("train", 4)
    shop.annotate("test", 2)
    run_id = due(shop, shop.now)
    assert run_id is not None
    assert shop.execute(run_id).activated is auto_promote


def test_run_waits_by_policy_and_wakes_the_same_run(shop: Shop) -> None:
    """A run that waits for test texts is the one that goes on: the policy starts no second one beside it."""
    shop.annotate("train", 6)
    run_id = due(shop, shop.now)
    assert run_id is not None
    assert shop.execute(run_id).status == RunStatus.WAITING
    shop.annotate("train", 6)
    assert due(shop, shop.now + timedelta(hours=1)) is None


SENTENCES = (
    "{name} called about the invoice.",
    "Please ask {name} to call back.",
    "The parcel for {name} has arrived.",
    "Yesterday {name} signed the contract.",
    "We met {name} at the station.",
    "{name} lives next door to us.",
)
NAMES = ("Ada Byron", "Ben Nevis", "Cleo Park", "Dora Maar", "Emil Nolde", "Finn Hill", "Greta Moss", "Hugo Lake")


def test_run_really_trains_registers_and_serves(sqlite_store: Store, tmp_path: Path) -> None:
    """From annotated texts to a version that loads from its stored files and finds what it was taught."""
    desk = Desk(sqlite_store, settings={"min_samples": 10, "min_test_texts": 2, "max_epochs": 15})
    with sqlite_store.write() as uow:
        project = uow.projects.lock(1)
        register_base(uow, project, base_spec("blank:en", "en", Taxonomy.from_json(project.taxonomy)), now=later(0))
        uow.commit()
    places = ("", "In short: ", "Note to self, and to whom it may concern: ", "As was said before, ")
    number = 0
    for sentence in SENTENCES:
        for place in places:
            name = NAMES[number % len(NAMES)]
            number += 1
            text = place + sentence.format(name=name)
            desk.task(number, text)
            desk.annotate(number, number, span_of(text, name, "PERSON"))
    clock = iter(later(1000 + seconds) for seconds in range(10_000))
    workshop = Workshop(sqlite_store, ArtefactStore(tmp_path / "models"), tmp_path / "work", lambda: next(clock))
    with sqlite_store.write() as uow:
        run = request_run(uow, 1, trigger="test", promote=True, now=later(1000))
        uow.commit()
    outcome = execute_run(run.id, workshop, worker="worker")
    with sqlite_store.read() as uow:
        stored, live = uow.runs.get(run.id), uow.models.live(1)
    assert (outcome.status, stored.error) == (RunStatus.COMPLETED, None)
    assert stored.test_texts
    assert stored.epoch
    assert live is not None
    assert live.id == outcome.model_id
    (prediction,) = open_version(live, workshop.artefacts).predict(["Please ask Ada Byron to call back."])
    assert [(span.start, span.end, span.label) for span in prediction.spans] == [(11, 20, "PERSON")]


def plan_runs(shop: Shop, **settings: str) -> None:
    """Let runs start by a cron line alone."""
    with shop.store.write() as uow:
        project = uow.projects.lock(1)
        project.settings = {**project.settings, "retrain_after": 1000, **settings}
        uow.commit()


def test_run_starts_by_the_projects_cron_line(shop: Shop) -> None:
    """At each time of the line one run starts, not before the first one; nothing new to learn, no run."""
    plan_runs(shop, schedule="0 * * * *")
    shop.annotate("train", 4)
    shop.annotate("test", 1)
    assert due(shop, later(60)) is None
    assert due(shop, later(3599)) is None
    run_id = due(shop, later(3600))
    assert run_id is not None
    assert shop.run(run_id).trigger == "schedule"
    assert shop.execute(run_id).status == RunStatus.COMPLETED
    assert due(shop, later(3601)) is None
    assert due(shop, later(2 * 3600)) is None


def test_run_makes_up_missed_times_once(shop: Shop) -> None:
    """Times that passed while nothing ran, or while a run was on, are made up by one run."""
    plan_runs(shop, schedule="0 * * * *")
    shop.annotate("train", 5)
    assert due(shop, later(60)) is None
    run_id = due(shop, later(10 * 3600 + 5))
    assert run_id is not None
    assert due(shop, later(11 * 3600 + 5)) is None
    shop.annotate("test", 1)
    shop.execute(run_id)
    shop.annotate("train", 1)
    assert due(shop, later(11 * 3600 + 10)) is not None


def test_run_follows_a_changed_cron_line_at_once(shop: Shop) -> None:
    """A line that was monthly and is hourly now counts from the change on; its time zone counts too."""
    plan_runs(shop, schedule="0 0 1 * *")
    shop.annotate("train", 5)
    assert due(shop, later(0)) is None
    plan_runs(shop, schedule="30 14 * * *", time_zone="Europe/Berlin")
    assert due(shop, later(1)) is None
    assert due(shop, later(3600 + 1799)) is None
    assert due(shop, later(3600 + 1800)) is not None


def test_run_does_not_make_up_times_at_which_its_line_was_off(shop: Shop) -> None:
    """A line that was taken away and is back counts from then on, as a new one does."""
    for at, line in ((0, "0 2 * * *"), (60, ""), (10 * DAY, "0 2 * * *")):
        change_settings(shop.store, 1, {"schedule": line, "retrain_after": 1000}, clock=lambda: shop.now)
        shop.annotate("train", 3)
        assert due(shop, later(at)) is None
    assert due(shop, later(11 * DAY)) is not None
