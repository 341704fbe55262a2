"""A run's last steps: what is stored, and what goes live, when something happens just before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.shop import Shop
from training.runs.run import cancel_run
from training.store.tables.runs import RunStatus
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
