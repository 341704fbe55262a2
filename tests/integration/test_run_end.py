"""A run's last steps: what is stored, and what goes live, when something happens just before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from config.errors import RunTooLong
from config.settings import Settings
from ml_backend import jobs
from ml_backend.bootstrap import Services
from ml_backend.queues import JobTimeoutException
from tests.integration.shop import Shop
from training.learning.trainer import OnProgress
from training.runs.run import cancel_run
from training.splits import Part
from training.store.tables.runs import RunStatus
from training.store.tables.texts import TextRow
from training.store.unit_of_work import Store


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A workshop with texts of all parts, whose heart never beats: a cancel is only seen where somebody looks."""
    monkeypatch.setattr("training.runs.heartbeat.BEAT_SECONDS", 1000)
    shop = Shop.open(sqlite_store, tmp_path, monkeypatch)
    shop.annotate("train", 6)
    shop.annotate("test", 3)
    return shop


def cancel(shop: Shop, run_id: str) -> None:
    """Ask for the run's end."""
    with shop.store.write() as uow:
        cancel_run(uow, run_id, now=shop.now)
        uow.commit()


@pytest.mark.parametrize("step", ["report_tokens", "report_memory"])
def test_run_cancelled_at_its_last_step_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A cancel holds until a model is registered: nothing goes live, and no file of it stays."""
    run_id = shop.ask(promote=True)
    monkeypatch.setattr(f"training.runs.run.{step}", lambda *_, **__: cancel(shop, run_id))
    assert shop.execute(run_id).status == RunStatus.CANCELLED
    assert (shop.run(run_id).error_code, shop.live(), shop.artefacts()) == ("run_cancelled", "spanloop-v0", [])
    assert (len(shop.models()), shop.desk.counts().newly_verified) == (1, 9)


def test_run_goes_live_only_over_the_version_that_it_was_judged_against(shop: Shop) -> None:
    """Where another version came live while it trained, nothing was said of that one: it stays off, with the reason."""
    shop.execute(shop.ask(promote=True))
    shop.annotate("train", 2)
    shop.during = lambda _: shop.roll_back()
    outcome = shop.execute(run_id := shop.ask(promote=True))
    assert (outcome.status, outcome.activated, shop.live()) == (RunStatus.COMPLETED, False, "spanloop-v0")
    verdict: dict[str, Any] = shop.run(run_id).verdict or {}
    assert verdict["passed"]
    assert "spanloop-v0 went live while it was trained" in " ".join(verdict["reasons"])


def test_run_that_takes_too_long_fails_by_name(shop: Shop, tmp_path: Path) -> None:
    """A run over the time limit of its job says so and what to change; nothing of it stays, and the next may start."""
    services = Services(Settings(data_dir=tmp_path))
    services.__dict__.update(store=shop.store, workshop=shop.workshop)

    def end_by_time(_: OnProgress) -> None:
        raise JobTimeoutException("Task exceeded maximum timeout value (21600 seconds)")

    shop.during = end_by_time
    with pytest.raises(RunTooLong, match="21600 s; raise SPANLOOP_TRAINING_TIMEOUT_SECONDS"):
        jobs.train.__wrapped__(services, run_id := shop.ask())
    assert (shop.run(run_id).status, shop.run(run_id).error_code) == (RunStatus.FAILED, "run_too_long")
    assert (shop.artefacts(), list(shop.workshop.work_dir.glob("*"))) == ([], [])
    assert shop.ask()


def test_run_that_waits_in_vain_says_so(shop: Shop) -> None:
    """Where no new text goes to the test part, waiting for one never ends; the run says what to change."""
    with shop.store.write() as uow:
        uow.session.execute(update(TextRow).where(TextRow.part == Part.TEST).values(part=Part.DEV))
        project = uow.projects.lock(1)
        project.settings = {**project.settings, "test_fraction": 0.0}
        uow.commit()
    assert shop.execute(run_id := shop.ask()).status == RunStatus.WAITING
    assert "test_fraction is 0" in (shop.run(run_id).error or "")
