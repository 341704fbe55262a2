"""The rules of restarting, and what a person reads."""

from __future__ import annotations

import pytest

from ml_backend.supervisor.checks import without_login
from ml_backend.supervisor.keeper import MOVES, Backoff, State


def test_backoff_doubles_up_to_its_longest() -> None:
    """The wait before a restart doubles with each death in a row, and never passes the longest."""
    backoff = Backoff(first=1, longest=30)
    assert [backoff.delay(deaths) for deaths in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_every_state_can_be_stopped() -> None:
    """Whatever a process is doing, the system can be stopped; stopped is the end."""
    assert all(State.STOPPED in after for state, after in MOVES.items() if state is not State.STOPPED)
    assert MOVES[State.STOPPED] == frozenset()
    assert set(MOVES) == set(State)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        (
            "postgresql+psycopg://me:secret@db:5432/loop?sslmode=require",
            "postgresql+psycopg://db:5432/loop?sslmode=require",
        ),
        ("sqlite:////home/me/var/spanloop.db", "sqlite:////home/me/var/spanloop.db"),
    ],
)
def test_shown_addresses_hold_no_login(url: str, shown: str) -> None:
    """Addresses in tables and errors have lost user and password, and nothing else."""
    assert without_login(url) == shown
