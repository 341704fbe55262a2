"""The loop on one page. Jobs get ids, may run twice without harm, and each ends by ringing for what follows.

webhook → `drain` → (tick: policy) → `train` → `refresh` → Label Studio shows the new version.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from config.errors import Conflict, RedisUnavailable, RunTooLong, SpanloopError
from config.log import get_logger
from ml_backend.bootstrap import Services, get_services, utc_now
from ml_backend.challenging import needs_tending, tend_test
from ml_backend.notices import find_unsent, send_notice
from ml_backend.queues import JobTimeoutException, QueueName
from ml_backend.refreshing import refresh_queue
from ml_backend.transfers import carry_out, drop_old_files
from sync.drain import Drained, DrainPolicy
from sync.drain import drain as drain_batch
from sync.marking import show_marks
from sync.proposing import show_proposals
from sync.push import drop_old_predictions
from sync.reconcile import reconcile as reconcile_project
from training.policy import parse_settings
from training.quality.assess import mark_new_labels
from training.runs.retraining import request_due_run
from training.runs.run import (
    clear_remains,
    execute_run,
    fail_run,
    reap_lost_runs,
    request_run,
    wake_waiting_run,
)
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import UnitOfWork

log = get_logger(__name__)
# Label Studio deletes about 15 predictions a second; the rest waits for the next reconciliation.
DROPPED_AT_A_TIME = 300
PROPOSED_AT_A_TIME = 500
# Each is a write of its own, and the queue has other work.
MARKED_AT_A_TIME = 300
NOTIFY_SECONDS = 180
ANSWERS_KEPT = timedelta(days=7)
"""How long a request under an idempotency key may be repeated."""
EVENTS_KEPT = timedelta(days=14)
"""How long a webhook's event is kept after it was done; with its whole body, some 15 KB each."""
CHALLENGE, CHALLENGE_EVERY = "challenge", timedelta(seconds=10)
"""What every tick claims for each project, so that its due time also tells when the last tick was."""


def job(work: Callable[..., None]) -> Callable[..., None]:
    """Wrap a function of services and ids as a job: answers the bell, and lets no error out but into the log."""

    @functools.wraps(work)
    def run(*args: Any) -> None:
        services = get_services()
        services.doorbell.answer(work.__name__, *args)
        try:
            work(services, *args)
        except SpanloopError as error:
            log.warning("job_failed", job=work.__name__, args=args, code=error.code, reason=error.message)
        except Exception as error:
            log.error("job_crashed", job=work.__name__, args=args, error=type(error).__name__, exc_info=True)

    return run


def ring(services: Services, name: str, *args: int | str | bool) -> None:
    """Ring for a job on its queue; where Redis is away, the next tick rings again."""
    queue, timeout = _lines(services)[name]
    try:
        services.doorbell.ring(name, *args, queue=queue, timeout=timeout)
    except RedisUnavailable as error:
        log.warning("job_not_rung", job=name, reason=error.message)


def _lines(services: Services) -> dict[str, tuple[QueueName, int]]:
    settings = services.settings
    return {
        "tick": (QueueName.SYNC, settings.sync_timeout_seconds),
        "drain": (QueueName.SYNC, settings.sync_timeout_seconds),
        "reconcile": (QueueName.SYNC, settings.sync_timeout_seconds),
        "propose": (QueueName.SYNC, settings.sync_timeout_seconds),
        "mark": (QueueName.SYNC, settings.sync_timeout_seconds),
        "transfer": (QueueName.REFRESH, settings.refresh_timeout_seconds),
        "train": (QueueName.TRAINING, settings.training_timeout_seconds),
        "refresh": (QueueName.REFRESH, settings.refresh_timeout_seconds),
        "notify": (QueueName.REFRESH, NOTIFY_SECONDS),
        "challenge": (QueueName.REFRESH, settings.refresh_timeout_seconds),
    }


@job
def tick(services: Services) -> None:
    """Look at everything that may be due, and ring for it. Every other job could be lost, and this finds the work."""
    now = utc_now()
    with services.store.read() as uow:
        projects = uow.projects.all()
        events_wait = uow.inbox.count_due(now) > 0
    if events_wait:
        ring(services, "drain")
    _tend_runs(services)
    _tend_transfers(services)
    _tell_of_ends(services)
    tidy(services)
    for project in projects:
        _tend_project(services, project)


def _tend_runs(services: Services) -> None:
    timeout = timedelta(seconds=services.settings.heartbeat_timeout_seconds)
    with services.store.write() as uow:
        lost = reap_lost_runs(uow, timeout=timeout, now=utc_now())
        active = uow.runs.all_active()
        pending = [run.id for run in active if run.status == RunStatus.PENDING or wake_waiting_run(uow, run)]
        uow.commit()
    for run_id in lost:
        log.error("run_lost", run_id=run_id)
    if lost:
        clear_remains(services.workshop)
    for run_id in pending:
        ring(services, "train", run_id)


def _tend_transfers(services: Services) -> None:
    with services.store.read() as uow:
        due = uow.transfers.due(utc_now())
    for transfer_id in due:
        ring(services, "transfer", transfer_id)


def tidy(services: Services) -> None:
    """Once a day, let go of answers kept for repeated requests, of old events, and of old transfers' files."""
    now = utc_now()
    with services.store.write() as uow:
        due = uow.schedule.claim("transfer-files", 0, every=timedelta(days=1), now=now)
        if due:
            uow.answers.forget(now - ANSWERS_KEPT)
        uow.commit()
    if due:
        _forget_events(services, before=now - EVENTS_KEPT)
        drop_old_files(services)


def _forget_events(services: Services, *, before: datetime) -> None:
    """Some at a time, so that nobody waits for it."""
    gone = 1
    while gone:
        with services.store.write() as uow:
            gone = uow.inbox.delete_done(before)
            uow.commit()


def _tell_of_ends(services: Services) -> None:
    if not services.settings.notice_addresses:
        return
    with services.store.read() as uow:
        untold = find_unsent(uow, now=utc_now())
    for ended_id in untold:
        ring(services, "notify", ended_id)


@job
def notify(services: Services, ended_id: str) -> None:
    """Tell people how a run or a test ended; nothing waits for this, and nothing fails with it."""
    send_notice(services, ended_id, now=utc_now())


def _tend_project(services: Services, project: Project) -> None:
    settings, now = services.settings, utc_now()
    with services.store.write() as uow:
        run = request_due_run(uow, project, now=now)
        pull = uow.schedule.claim("reconcile", project.id, every=timedelta(seconds=settings.reconcile_seconds), now=now)
        compare = uow.schedule.claim(
            "full-reconcile", project.id, every=timedelta(seconds=settings.full_reconcile_seconds), now=now
        )
        refresh = needs_refresh(uow, project)
        propose = uow.proposals.is_due(project.id, now)
        mark = bool(uow.texts.with_outdated_marks(project.id, limit=1))
        tested = uow.schedule.claim(CHALLENGE, project.id, every=CHALLENGE_EVERY, now=now)
        challenged = tested and needs_tending(uow, project.id)
        uow.commit()
    if run is not None:
        ring(services, "train", run.id)
    if pull or compare:
        ring(services, "reconcile", project.id, compare)
    if refresh:
        ring(services, "refresh", project.id)
    if propose:
        ring(services, "propose", project.id)
    if mark:
        ring(services, "mark", project.id)
    if challenged:
        ring(services, "challenge", project.id)


def needs_refresh(uow: UnitOfWork, project: Project) -> bool:
    """Whether the live version is not announced yet, or waiting tasks have no prediction of it."""
    live = uow.models.live(project.id)
    if live is None:
        return False
    return live.id != project.announced_model_id or uow.texts.count_unpushed(project.id, live.version) > 0


@job
def drain(services: Services) -> None:
    """Work off the inbox, batch by batch."""
    work_off_inbox(services)


def work_off_inbox(services: Services) -> Drained:
    """Drain until nothing in the inbox is due, or Label Studio is needed and not there; what became of the events."""
    settings = services.settings
    policy = DrainPolicy(
        batch=settings.drain_batch,
        lease=timedelta(seconds=settings.event_lease_seconds),
        attempts=settings.event_attempts,
    )
    total = Drained()
    while True:
        done = drain_batch(
            services.store,
            services.label_studio,
            policy=policy,
            token=uuid4().hex,
            clock=utc_now,
            request_training=_press_start,
        )
        log.info("inbox_drained", done=done.done, parked=done.parked, failed=done.failed)
        total.done, total.parked, total.failed = (
            total.done + done.done,
            total.parked + done.parked,
            total.failed + done.failed,
        )
        total.unavailable = done.unavailable
        if done.unavailable or done.done + done.parked + done.failed < settings.drain_batch:
            return total


def _press_start(uow: UnitOfWork, project: Project) -> None:
    """Label Studio's button "Start Training": whether the model goes live follows the project's `auto_promote`."""
    promote = parse_settings(project.settings).auto_promote
    request_run(uow, project.id, trigger="label_studio", promote=promote, now=utc_now())


@job
def reconcile(services: Services, project_id: int, full: bool) -> None:
    """Pull what webhooks missed."""
    reconcile_project(services.store, services.label_studio, project_id, full=full, clock=utc_now)
    mark_new_labels(services.store, project_id)
    grace = timedelta(hours=services.settings.prediction_grace_hours)
    drop_old_predictions(
        services.store, services.label_studio, project_id, grace=grace, limit=DROPPED_AT_A_TIME, now=utc_now()
    )


@job
def propose(services: Services, project_id: int) -> None:
    """Bring proposals to annotators; what is left over is rung for at once."""
    show_proposals(services.store, services.label_studio, project_id, limit=PROPOSED_AT_A_TIME, clock=utc_now)
    with services.store.read() as uow:
        more = uow.proposals.is_due(project_id, utc_now())
    if more:
        ring(services, "propose", project_id)


@job
def transfer(services: Services, transfer_id: str) -> None:
    """Carry out an import or an export that was asked for over the API, and ring for an import's pre-labels."""
    project_id = carry_out(services, transfer_id)
    if project_id is not None:
        ring(services, "refresh", project_id)


@job
def mark(services: Services, project_id: int) -> None:
    """Let the tasks' data say what their tabs filter by; what is left over, the next tick rings for."""
    show_marks(services.store, services.label_studio, project_id, limit=MARKED_AT_A_TIME, now=utc_now())


@job
def train(services: Services, run_id: str) -> None:
    """Carry a run through; where its model went live, ring for fresh predictions."""
    try:
        outcome = execute_run(run_id, services.workshop, worker=f"{socket.gethostname()}-{uuid4().hex[:8]}")
    except Conflict as error:
        log.info("run_not_claimed", run_id=run_id, reason=error.message)  # rung twice: somebody else has it
        return
    except JobTimeoutException as error:
        limit = services.settings.training_timeout_seconds
        message = f"it took longer than {limit} s; raise SPANLOOP_TRAINING_TIMEOUT_SECONDS, or lower max_epochs"
        _fail(services, run_id, code=RunTooLong.code, message=message)
        raise RunTooLong(f"run {run_id} was ended: {message}") from error
    except Exception as error:
        _fail(services, run_id, code="internal", message=f"{type(error).__name__}: see the log")
        raise
    if outcome.activated:
        ring(services, "refresh", outcome.project_id)


def _fail(services: Services, run_id: str, *, code: str, message: str) -> None:
    with services.store.write() as uow:
        fail_run(uow, run_id, code=code, message=message, now=utc_now())
        uow.commit()


@job
def refresh(services: Services, project_id: int) -> None:
    """Give waiting tasks the live version's predictions, most uncertain first, and announce that version.

    What its time does not suffice for is done by the next one, for which the next tick rings.
    """
    with services.store.read() as uow:
        project, live = uow.projects.get(project_id), uow.models.live(project_id)
        if live is None or not needs_refresh(uow, project):
            return
    refresh_queue(services, live, announced=project.announced_model_id == live.id)


@job
def challenge(services: Services, project_id: int) -> None:
    """Let a challenger speak for its tasks, or hear it on annotated ones, and end its test in time."""
    if tend_test(services, project_id):
        ring(services, "refresh", project_id)
