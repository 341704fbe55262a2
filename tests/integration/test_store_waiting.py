"""How long a writer waits while another one writes without a pause, on SQLite, where one writes at a time."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import time
from pathlib import Path

import pytest

from tests.integration.rows import NOW
from training.store.database import StoreFault, open_engine
from training.store.tables.inbox import Event, EventStatus
from training.store.unit_of_work import Store

# Label Studio waits one second for the answer to a webhook, and the annotator waits with it.
LABEL_STUDIO_SECONDS = 1.0
HOLD_SECONDS, GAP_SECONDS = 0.03, 0.003
EVENTS = 60


def test_an_event_gets_in_between_the_writes_of_a_busy_drain(sqlite_store: Store, tmp_path: Path) -> None:
    """Each event is kept well before Label Studio gives up, though somebody else writes nine tenths of the time."""
    stop = multiprocessing.get_context("spawn").Event()
    busy = multiprocessing.get_context("spawn").Process(
        target=write_all_the_time, args=(str(sqlite_store.engine.url), stop), daemon=True
    )
    busy.start()
    try:
        wait_until_busy(sqlite_store)
        waits = [seconds_to_keep(sqlite_store, number) for number in range(EVENTS)]
    finally:
        stop.set()
        busy.join(30)
    # The slowest few may be the machine.
    assert sorted(waits)[EVENTS * 9 // 10] < LABEL_STUDIO_SECONDS


def seconds_to_keep(store: Store, number: int) -> float:
    """How long it takes to keep one event."""
    started = time.monotonic()
    with store.write() as uow:
        uow.inbox.add(new_event(f"event-{number}"))
        uow.commit()
    return time.monotonic() - started


def new_event(key: str) -> Event:
    """An event that waits."""
    return Event(
        project_id=1,
        action="ANNOTATION_CREATED",
        body="{}",
        dedupe_key=key,
        received_at=NOW,
        status=EventStatus.PENDING,
        attempts=0,
        available_at=NOW,
    )


def wait_until_busy(store: Store) -> None:
    """Return once the other process has written."""
    deadline = time.monotonic() + 60
    while True:
        with store.read() as uow:
            if uow.inbox.count_due(NOW):
                return
        assert time.monotonic() < deadline, "the other process did not write"
        time.sleep(0.02)


def write_all_the_time(url: str, stop: multiprocessing.synchronize.Event) -> None:
    """Write in transactions of some length, with hardly a gap between them."""
    store = Store(open_engine(url))
    number = 0
    while not stop.is_set():
        number += 1
        with store.write() as uow:
            uow.inbox.add(new_event(f"busy-{number}"))
            time.sleep(HOLD_SECONDS)
            uow.commit()
        time.sleep(GAP_SECONDS)


def test_a_store_that_cannot_be_written_says_so_as_every_other_fault(tmp_path: Path) -> None:
    """What goes wrong when a transaction begins is the fault that those who use the store know."""
    (tmp_path / "store.db").write_text("no database at all, " * 100)
    store = Store(open_engine(f"sqlite:///{tmp_path / 'store.db'}"))
    with store.write() as uow, pytest.raises(StoreFault):
        uow.inbox.add(new_event("event"))
    store.engine.dispose()
