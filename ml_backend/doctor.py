"""Is everything well? Looks at each part of the running system and says what to do about what is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial

import httpx

from config.errors import SpanloopError
from ml_backend.bootstrap import Services, utc_now
from ml_backend.jobs import CHALLENGE, CHALLENGE_EVERY
from ml_backend.projects import connection_of
from sync.checkup import Finding, Level, check_label_studio, check_project
from training.store.database import describe_failure
from training.store.migrate import pending_revision
from training.store.tables.inbox import EventStatus
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore

LEAST_FREE_BYTES = 1_000_000_000
LATE_EVENT = timedelta(minutes=2)
LATE_TICK = timedelta(minutes=10)
WEB_SECONDS = 10.0
START = "start the system with `make up`"


def examine(services: Services, project_id: int | None = None) -> Iterator[Finding]:
    """Every finding about the system and, unless one is named, about all its projects; nothing is changed.

    Raises NotFound for a project that is not known.
    """
    database = list(_guard("database", partial(_check_database, services)))
    yield from database
    yield from _guard("Redis", partial(_check_redis, services), remedy=START)
    yield from _guard("web process", partial(_check_web, services))
    label_studio = list(_guard("Label Studio", partial(_check_label_studio, services)))
    yield from label_studio
    yield from _check_disk(services)
    if _holds_problem(database):
        return  # without a store there is nothing to say of projects
    yield from _check_ticks(services.store)
    yield from _check_inbox(services.store)
    reachable = not any(
        finding.level is Level.PROBLEM and finding.subject == "Label Studio" for finding in label_studio
    )
    yield from _check_projects(services, project_id, label_studio=reachable)


def _holds_problem(findings: Iterable[Finding]) -> bool:
    return any(finding.level is Level.PROBLEM for finding in findings)


def _guard(subject: str, check: Callable[[], Iterator[Finding]], remedy: str = "") -> Iterator[Finding]:
    """The check's findings; what keeps it from looking is a finding, too."""
    try:
        yield from check()
    except SpanloopError as error:
        yield Finding(Level.PROBLEM, subject, error.message, remedy)


def _check_database(services: Services) -> Iterator[Finding]:
    failure = describe_failure(services.store.engine)
    if failure is not None:
        yield Finding(
            Level.PROBLEM,
            "database",
            f"{services.store.engine.url.render_as_string(hide_password=True)} cannot be used: {failure}",
            "check SPANLOOP_DATABASE_URL, and that the server runs",
        )
        return
    pending = pending_revision(services.store.engine)
    if pending is not None:
        yield Finding(Level.PROBLEM, "database", f"it lacks revision {pending}", "run `spanloop db upgrade`")
        return
    yield Finding(Level.OK, "database", f"{services.store.engine.dialect.name}, up to date")


def _check_redis(services: Services) -> Iterator[Finding]:
    workers = services.doorbell.count_workers()
    yield Finding(Level.OK, "Redis", "answers")
    for queue, count in workers.items():
        if count:
            yield Finding(Level.OK, "workers", f"{count} on the queue {queue}")
        else:
            yield Finding(
                Level.PROBLEM,
                "workers",
                f"none on the queue {queue}",
                f"{START}, or run `python -m ml_backend.worker {queue}`",
            )


def _check_web(services: Services) -> Iterator[Finding]:
    url = services.settings.resolved_backend_url
    answer = _ask_web(services, "GET", f"{url}/health")
    if isinstance(answer, str):
        yield Finding(Level.PROBLEM, "web process", f"{url} does not answer ({answer})", START)
    elif answer.status_code != httpx.codes.OK:
        yield Finding(
            Level.PROBLEM, "web process", f"what answers at {url} is not spanloop", "set SPANLOOP_BACKEND_URL right"
        )
    else:
        yield Finding(Level.OK, "web process", f"answers at {url}")


def _ask_web(services: Services, method: str, url: str, *, body: object = None) -> httpx.Response | str:
    """What the web process answers to a call with our credential, or the name of what went wrong."""
    settings = services.settings
    credential = (settings.backend_user, settings.backend_password.get_secret_value())
    try:
        return httpx.request(method, url, json=body, auth=credential, timeout=WEB_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__


def _check_disk(services: Services) -> Iterator[Finding]:
    folder = services.settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        yield Finding(
            Level.PROBLEM,
            "disk",
            f"{free / 1e9:.1f} GB are free at {folder}",
            "make room, or set SPANLOOP_DATA_DIR: a run needs about 1 GB",
        )
    else:
        yield Finding(Level.OK, "disk", f"{free / 1e9:.0f} GB are free at {folder}")


def _check_ticks(store: Store) -> Iterator[Finding]:
    """Does the loop turn? Where the scheduler is gone all looks well, and nothing happens by itself any more."""
    with store.read() as uow:
        due = [uow.schedule.due_at(CHALLENGE, project.id) for project in uow.projects.all()]
    last = max((moment - CHALLENGE_EVERY for moment in due if moment is not None), default=None)
    if last is not None and utc_now() - last > LATE_TICK:
        yield Finding(
            Level.PROBLEM,
            "scheduler",
            f"what is due was last looked for at {last:%Y-%m-%d %H:%M} UTC: no run starts, no prediction is renewed",
            f"{START}, or run `python -m ml_backend.scheduler`; the worker on the queue sync may also be held up",
        )


def _check_inbox(store: Store) -> Iterator[Finding]:
    now = utc_now()
    with store.read() as uow:
        counts = uow.inbox.count_by_status()
        late = uow.inbox.count_due(now - LATE_EVENT)
    parked = counts.get(EventStatus.PARKED, 0)
    if parked:
        yield Finding(
            Level.PROBLEM,
            "inbox",
            f"{parked} events are parked after failing again and again",
            "`spanloop sync events` says why; mend that, then run `spanloop sync replay --all`, or "
            "`spanloop sync discard ID` for one that nothing can come of",
        )
    if late:
        yield Finding(
            Level.PROBLEM,
            "inbox",
            f"{late} events have been due for more than {LATE_EVENT.total_seconds():.0f} s",
            "check the worker on the queue sync and the scheduler; `spanloop sync drain` works them off now",
        )
    if not parked and not late:
        yield Finding(Level.OK, "inbox", "nothing is parked or late")


def _check_label_studio(services: Services) -> Iterator[Finding]:
    yield from check_label_studio(services.label_studio, now=utc_now())


def _check_projects(services: Services, project_id: int | None, *, label_studio: bool) -> Iterator[Finding]:
    with services.store.read() as uow:
        projects = [uow.projects.get(project_id)] if project_id is not None else list(uow.projects.all())
        lives = [uow.models.live(project.id) for project in projects]
    if not projects:
        yield Finding(Level.NOTE, "projects", "there is none yet", "run `spanloop project create NAME`")
    for project, live in zip(projects, lives, strict=True):
        subject = f"project {project.id}"
        if label_studio:
            yield from _guard(subject, partial(_check_connection, services, project.id))
        yield from _guard(subject, partial(_check_served, services, project.id))
        if live is not None and live.path is not None:
            yield from _guard(subject, partial(_check_files, services.artefacts, live))


def _check_connection(services: Services, project_id: int) -> Iterator[Finding]:
    yield from check_project(services.store, services.label_studio, connection_of(services), project_id)


def _check_served(services: Services, project_id: int) -> Iterator[Finding]:
    """Does the web process serve the project? Asked as Label Studio asks, without any task."""
    url = f"{services.settings.resolved_backend_url}/p/{project_id}/predict"
    answer = _ask_web(services, "POST", url, body={"tasks": []})
    if isinstance(answer, str) or answer.is_success:
        return  # that nothing answers at all was said before
    subject = f"project {project_id}"
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        yield Finding(
            Level.PROBLEM,
            subject,
            "the web process refuses our credential: it was started with another password",
            "set SPANLOOP_DATA_DIR to its data folder, or restart it",
        )
        return
    yield Finding(Level.PROBLEM, subject, f"the web process does not serve it: {_reason(answer)}", "its log says more")


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"it answers {answer.status_code}"


def _check_files(artefacts: ArtefactStore, model: MLModel) -> Iterator[Finding]:
    """Are the live version's files whole? Raises ArtefactCorrupt, which names the way out."""
    artefacts.fetch(model.path or "", model.checksum or "")
    yield from ()
