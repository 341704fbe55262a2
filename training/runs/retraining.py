"""Whether a run is due by a project's retraining policy, read from what stands in the store."""

from __future__ import annotations

from datetime import datetime

from training.policy import Decision, next_scheduled, parse_settings, schedule_name, should_train
from training.runs.run import request_run
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus, TrainingBatch
from training.store.unit_of_work import UnitOfWork

TRIGGER = "policy"
SCHEDULE = "schedule"


def decide(uow: UnitOfWork, project: Project, *, now: datetime) -> Decision:
    """Whether a run starts by itself now, and why or why not."""
    if uow.runs.active(project.id) is not None:
        return Decision(False, "a run is under way")
    counts = uow.examples.count(project.id)
    runs = uow.runs.of_project(project.id, limit=20)
    last_end = next((run.finished_at for run in runs if run.finished_at is not None), None)
    return should_train(
        parse_settings(project.settings),
        newly_verified=counts.newly_verified,
        verified=counts.verified,
        seconds_since_last_change=_seconds(project.last_change_at or project.created_at, now),
        seconds_since_last_run=None if last_end is None else _seconds(last_end, now),
        failures_in_a_row=_failures_in_a_row([RunStatus(run.status) for run in runs]),
    )


def request_due_run(uow: UnitOfWork, project: Project, *, now: datetime) -> TrainingBatch | None:
    """Ask for a run where policy or cron line wants one; the project's `auto_promote` says whether it goes live."""
    if decide(uow, project, now=now).train:
        trigger = TRIGGER
    elif _is_scheduled(uow, project, now=now):
        trigger = SCHEDULE
    else:
        return None
    promote = parse_settings(project.settings).auto_promote
    return request_run(uow, project.id, trigger=trigger, promote=promote, now=now)


def _is_scheduled(uow: UnitOfWork, project: Project, *, now: datetime) -> bool:
    """Whether the project's cron line asks for a run now; times that were missed, or came in a run, are made up once.

    A time at which a run would make no sense, for want of new or of enough texts, passes without one.
    """
    settings = parse_settings(project.settings)
    next_due = next_scheduled(settings, now)
    if next_due is None or uow.runs.active(project.id) is not None:
        return False
    # A changed line is another name: what the old one had planned does not hold the new one back.
    if not uow.schedule.claim_planned(schedule_name(settings), project.id, next_due=next_due, now=now):
        return False
    counts = uow.examples.count(project.id)
    return counts.newly_verified > 0 and counts.verified >= settings.min_samples


def _seconds(since: datetime, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0)


def _failures_in_a_row(statuses: list[RunStatus]) -> int:
    """How many of the newest runs ended without a model, up to the last one that gave one."""
    failures = 0
    for status in statuses:
        if status is RunStatus.COMPLETED:
            return failures
        failures += status in (RunStatus.FAILED, RunStatus.CANCELLED)
    return failures
