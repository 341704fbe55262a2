"""Due times and runs on both databases: one winner, whoever asks at the same moment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config.errors import Conflict, NotFound
from tests.integration.rows import NOW, add_project, at_once, later, new_run
from training.store.tables.runs import ACTIVE_RUNS, RUN_MOVES, RunStatus
from training.store.unit_of_work import Store

EVERY = timedelta(seconds=60)


def claim(store: Store, seconds: float, name: str = "reconcile", project_id: int = 1) -> bool:
    """Claim a due time so many seconds after NOW."""
    with store.write() as uow:
        won = uow.schedule.claim(name, project_id, every=EVERY, now=later(seconds))
        uow.commit()
    return won


def test_store_schedule_is_due_at_first_sight_and_then_every_so_often(store: Store) -> None:
    """What was never done is due at once, and again when its time has passed."""
    assert [claim(store, seconds) for seconds in (0, 59, 60, 61, 120)] == [True, False, True, False, True]


def test_store_schedule_makes_up_for_missed_times_once(store: Store) -> None:
    """After a long stop the work is done once, not once for each time that was missed."""
    claim(store, 0)
    assert [claim(store, seconds) for seconds in (3600, 3601)] == [True, False]


def test_store_schedule_keeps_projects_and_names_apart(store: Store) -> None:
    """Each project has due times of its own, and so has each kind of work."""
    assert claim(store, 0)
    assert claim(store, 0, project_id=2)
    assert claim(store, 0, name="full_reconcile")


@pytest.mark.parametrize("known", [False, True])
def test_store_schedule_lets_one_of_many_schedulers_win(store: Store, known: bool) -> None:
    """Two schedulers are harmless: exactly one of them gets the work, the first time and later."""
    if known:
        claim(store, 0)
    assert sum(at_once(4, lambda _: claim(store, 60))) == 1


def test_store_runs_hold_one_active_run_a_project(store: Store) -> None:
    """While a run is pending, waiting or running, the database refuses a second one for its project alone."""
    add_project(store, 1)
    add_project(store, 2)
    for status in ACTIVE_RUNS:
        with store.write() as uow:
            assert uow.runs.add(new_run(1, status))
            assert not uow.runs.add(new_run(1))
            assert uow.runs.add(new_run(2))
            # Nothing is committed: the next status starts from an empty table.
    with store.write() as uow:
        for status in set(RunStatus) - set(ACTIVE_RUNS):
            assert uow.runs.add(new_run(1, status))
        assert uow.runs.add(new_run(1))
        uow.commit()


def test_store_runs_let_one_of_many_askers_start_a_run(store: Store) -> None:
    """Two requests at the same moment make one run."""
    add_project(store)

    def ask(_: int) -> bool:
        with store.write() as uow:
            added = uow.runs.add(new_run())
            uow.commit()
        return added

    assert sum(at_once(4, ask)) == 1


def test_store_runs_move_only_along_the_allowed_moves(store: Store) -> None:
    """Every status can become what the table of moves names, and nothing else."""
    add_project(store)
    for before, allowed in RUN_MOVES.items():
        for after in RunStatus:
            with store.write() as uow:
                run = new_run(1, before)
                uow.runs.add(run)
                if after in allowed:
                    assert uow.runs.move(run.id, after).status == after
                else:
                    with pytest.raises(Conflict, match=f"{before} and cannot become {after}"):
                        uow.runs.move(run.id, after)


def test_store_runs_are_started_by_one_worker(store: Store) -> None:
    """Of workers that take the same pending run at the same moment one gets it."""
    add_project(store)
    with store.write() as uow:
        run = new_run()
        uow.runs.add(run)
        uow.commit()

    def start(_: int) -> bool:
        with store.write() as uow:
            try:
                uow.runs.move(run.id, RunStatus.RUNNING)
            except Conflict:
                return False
            uow.commit()
        return True

    assert sum(at_once(4, start)) == 1


def test_store_runs_obey_the_worker_that_holds_them(store: Store) -> None:
    """A worker that lost its run can neither end it nor give signs of life for it."""
    add_project(store)
    with store.write() as uow:
        run = new_run(1, RunStatus.RUNNING, worker="one", heartbeat_at=NOW)
        uow.runs.add(run)
        assert uow.runs.beat(run.id, "two", later(1), {}) is None
        with pytest.raises(Conflict):
            uow.runs.move(run.id, RunStatus.COMPLETED, worker="two")
        assert uow.runs.beat(run.id, "one", later(1), {"epoch": 3}) is False
        run.cancel_requested = True
        assert uow.runs.beat(run.id, "one", later(2), {}) is True
        kept = uow.runs.get(run.id)
        assert (kept.epoch, kept.heartbeat_at) == (3, later(2))
        uow.runs.move(run.id, RunStatus.COMPLETED, worker="one")
        assert uow.runs.beat(run.id, "one", later(3), {}) is None


def test_store_runs_name_the_way_out_for_an_unknown_run(store: Store) -> None:
    """Asking for a run that is not there says how to list those that are."""
    with store.read() as uow, pytest.raises(NotFound, match="spanloop runs list"):
        uow.runs.get("nothing")
