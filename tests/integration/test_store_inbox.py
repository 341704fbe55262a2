"""The inbox on both databases: nothing twice, nothing lost, nothing to two claimants."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import Conflict, NotFound
from config.settings import Settings
from ml_backend import jobs
from ml_backend.bootstrap import Services, utc_now
from tests.integration.rows import NOW, at_once, later, new_event
from training.store.tables.inbox import EventStatus
from training.store.unit_of_work import Store

LEASE = timedelta(seconds=60)


def add_events(store: Store, *keys: str) -> list[bool]:
    """Put events in, each in a transaction of its own, as the receiver does."""
    taken = []
    for key in keys:
        with store.write() as uow:
            taken.append(uow.inbox.add(new_event(key)))
            uow.commit()
    return taken


def claim(store: Store, token: str, *, limit: int = 100, seconds: float = 0) -> list[str]:
    """Claim events so many seconds after NOW; their keys."""
    with store.write() as uow:
        claimed = uow.inbox.claim(token=token, limit=limit, lease=LEASE, now=later(seconds))
        keys = [event.dedupe_key for event in claimed]
        uow.commit()
    return keys


def test_store_inbox_takes_a_body_once(store: Store) -> None:
    """The same body delivered twice is one event."""
    assert add_events(store, "a", "b", "a") == [True, True, False]
    with store.read() as uow:
        assert uow.inbox.count_by_status() == {"pending": 2}


def test_store_inbox_goes_on_in_the_transaction_that_met_a_duplicate(store: Store) -> None:
    """A duplicate does not spoil what else its transaction does."""
    add_events(store, "a")
    with store.write() as uow:
        assert [uow.inbox.add(new_event(key)) for key in ("a", "b")] == [False, True]
        uow.commit()
    assert claim(store, "one") == ["a", "b"]


def test_store_inbox_claims_oldest_first_up_to_the_limit(store: Store) -> None:
    """Events are worked on in the order in which they came."""
    add_events(store, "a", "b", "c")
    assert claim(store, "one", limit=2) == ["a", "b"]
    assert claim(store, "two", limit=2) == ["c"]


def test_store_inbox_gives_a_leased_event_again_only_after_its_lease(store: Store) -> None:
    """What a dead worker held comes back when its lease has run out, not before."""
    add_events(store, "a")
    assert claim(store, "one") == ["a"]
    assert claim(store, "two", seconds=59) == []
    assert claim(store, "two", seconds=60) == ["a"]
    with store.read() as uow:
        (event,) = uow.inbox.list(status=EventStatus.LEASED)
        assert event.lease_token == "two"


def test_store_inbox_holds_an_event_for_the_newest_lease_alone(store: Store) -> None:
    """A worker whose lease was taken over finds that it no longer holds the event."""
    add_events(store, "a")
    claim(store, "one")
    claim(store, "two", seconds=61)
    with store.write() as uow:
        (event,) = uow.inbox.list(status=EventStatus.LEASED)
        assert uow.inbox.held(event.id, "one") is None
        assert uow.inbox.held(event.id, "two") is not None


def test_store_inbox_does_not_give_out_what_is_not_due(store: Store) -> None:
    """An event that waits after a failure is left alone until its time."""
    with store.write() as uow:
        uow.inbox.add(new_event("a", available_at=later(30)))
        uow.commit()
    with store.read() as uow:
        assert (uow.inbox.count_due(NOW), uow.inbox.count_due(later(30))) == (0, 1)
    assert claim(store, "one") == []
    assert claim(store, "one", seconds=30) == ["a"]


def test_store_inbox_replays_a_parked_event_with_a_clean_count(store: Store) -> None:
    """A parked event that is replayed is claimed again, and may fail as often as a new one."""
    with store.write() as uow:
        uow.inbox.add(new_event("a", status=EventStatus.PARKED, attempts=5, error="why"))
        uow.commit()
    assert claim(store, "one") == []
    with store.write() as uow:
        (parked,) = uow.inbox.list(status=EventStatus.PARKED)
        uow.inbox.replay(parked.id, NOW)
        uow.commit()
    with store.read() as uow:
        (event,) = uow.inbox.list(status=EventStatus.PENDING)
        assert (event.attempts, event.error) == (0, None)
    assert claim(store, "one") == ["a"]


def test_store_inbox_replays_parked_events_alone(store: Store) -> None:
    """An event that waits, or is done, is not replayed, and the answer says where it stands."""
    with store.write() as uow:
        for status in EventStatus:
            uow.inbox.add(new_event(status.value, status=status))
        (parked,) = uow.inbox.parked_ids()
        assert uow.inbox.get(parked).status == EventStatus.PARKED
        for status in set(EventStatus) - {EventStatus.PARKED}:
            (event,) = uow.inbox.list(status=status)
            with pytest.raises(Conflict, match=f"is {status}; only parked"):
                uow.inbox.replay(event.id, NOW)


def test_store_inbox_names_the_way_out_for_an_unknown_event(store: Store) -> None:
    """Asking for an event that is not there says how to list those that are."""
    with store.write() as uow, pytest.raises(NotFound, match=r"no event 7 .*spanloop sync events"):
        uow.inbox.replay(7, NOW)


def test_store_inbox_forgets_only_what_was_done_long_ago(store: Store) -> None:
    """Housekeeping takes old events that are done, never one that waits or is parked."""
    with store.write() as uow:
        for status in EventStatus:
            uow.inbox.add(new_event(status.value, status=status))
        uow.inbox.add(new_event("new", status=EventStatus.DONE, received_at=later(100)))
        assert uow.inbox.delete_done(later(50)) == 1
        uow.commit()
    with store.read() as uow:
        assert uow.inbox.count_by_status() == {"pending": 1, "leased": 1, "parked": 1, "done": 1}


def test_store_inbox_is_tidied_once_a_day(store: Store, tmp_path: Path) -> None:
    """Events hold whole bodies: those that were done two weeks ago go, and nothing else does."""
    now = utc_now()
    with store.write() as uow:
        for age in (15, 16, 17, 13):
            when = now - timedelta(days=age)
            uow.inbox.add(new_event(f"done {age}", status=EventStatus.DONE, received_at=when))
            uow.inbox.add(new_event(f"parked {age}", status=EventStatus.PARKED, received_at=when))
        uow.commit()
    services = Services(Settings(data_dir=tmp_path))
    services.__dict__["store"] = store
    jobs.tidy(services)
    with store.read() as uow:
        assert uow.inbox.count_by_status() == {"done": 1, "parked": 4}


def test_store_inbox_never_gives_an_event_to_two_claimants(store: Store) -> None:
    """Claimants that come at the same moment share the events out between them."""
    keys = [f"{number:03}" for number in range(120)]
    add_events(store, *keys)

    def drain(token: str) -> list[str]:
        mine: list[str] = []
        while batch := claim(store, token, limit=7):
            mine += batch
        return mine

    claimed = at_once(4, lambda number: drain(f"claimant-{number}"))
    assert sorted(key for mine in claimed for key in mine) == keys


def test_store_inbox_takes_a_body_once_from_receivers_at_the_same_moment(store: Store) -> None:
    """Two web processes that get the same body at once keep it once, and neither fails."""
    taken = at_once(4, lambda _: add_events(store, *"abcdefgh"))
    assert sum(sum(answers) for answers in taken) == 8
