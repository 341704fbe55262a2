"""Is everything connected? What Label Studio says of itself and of a project, as findings with their remedies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

from config.errors import LabelConfigRefused, LabelStudioError, LabelStudioUnavailable
from sync.client import LabelStudio
from sync.labelling import parse_config
from sync.records import Backend, StoredProject, Webhook
from sync.setup import Connection, find_backends, find_webhooks
from sync.tabs import is_plain
from training.policy import parse_settings
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.unit_of_work import Store

CONNECTED = "CO"
SAMPLING = "Uncertainty sampling"
LARGEST_SKEW_SECONDS = 30.0
GUARDS = (
    "start Label Studio with SSRF_PROTECTION_ENABLED=false and ML_BLOCK_LOCAL_IP=false, or with "
    "USE_DEFAULT_BANNED_SUBNETS=false and your own USER_ADDITIONAL_BANNED_SUBNETS"
)
LOOKED_AT = 3
"""Tasks at the head of the queue whose predictions are looked at."""


class Level(StrEnum):
    """Whether something is as it should be, worth knowing, or must be mended."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what was found, and what to do about it."""

    level: Level
    subject: str
    found: str
    remedy: str = ""


def check_label_studio(client: LabelStudio, *, now: datetime) -> list[Finding]:
    """Is Label Studio there, does it take our key, and is its clock right? Raises LabelStudioError where not."""
    version, user, clock = client.version(), client.whoami(), client.clock()
    found = [Finding(Level.OK, "Label Studio", f"{version} answers at {client.url}, key of {user.email}")]
    skew = 0.0 if clock is None else (clock - now).total_seconds()
    if abs(skew) > LARGEST_SKEW_SECONDS:
        found.append(
            Finding(
                Level.PROBLEM,
                "clocks",
                f"Label Studio's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours",
                "set both machines' clocks by NTP: pulls look back two minutes only",
            )
        )
    return found


def check_project(store: Store, client: LabelStudio, connection: Connection, project_id: int) -> list[Finding]:
    """Is a project connected as the loop needs it? Raises LabelStudioError where Label Studio cannot be asked."""
    with store.read() as uow:
        project = uow.projects.get(project_id)
        live = uow.models.live(project_id)
        announced = uow.models.get(project.announced_model_id) if project.announced_model_id else None
    subject, adopt = f"project {project_id}", f"run `spanloop project adopt {project_id}`"
    stored = client.find_project(project_id)
    if stored is None:
        return [
            Finding(
                Level.PROBLEM,
                subject,
                "Label Studio does not have it, or does not show it to this API key",
                f"run `spanloop sync reconcile --project {project_id}`, which takes note of that",
            )
        ]
    try:
        parse_config(stored.label_config)
    except LabelConfigRefused as refusal:
        # /setup refuses it, too: Label Studio then says of the backend no more than "400 Bad Request".
        return [Finding(Level.PROBLEM, subject, refusal.message, f"change it in Label Studio, then {adopt}")]
    backends = find_backends(client, connection, project)
    found = [
        *_check_webhook(client, connection, project, subject, adopt),
        *_check_backend(connection, backends, project_id, subject, adopt),
        *_check_versions(stored, backends, live, announced, subject, adopt),
        *_check_settings(stored, project, subject, adopt),
        *_check_tabs(client, project_id, subject, adopt),
        *_check_queue(store, client, stored, project, subject),
    ]
    if any(finding.level is Level.PROBLEM for finding in found):
        found += _check_guards(connection, project_id, subject, adopt)
    version = announced.version if announced else "no version"
    return found or [Finding(Level.OK, subject, f"{stored.title!r} is connected and shows {version}")]


def _check_queue(
    store: Store, client: LabelStudio, stored: StoredProject, project: Project, subject: str
) -> Iterator[Finding]:
    """Would Label Studio's queue go by scores? It goes at random where no waiting task has a prediction to go by.

    Looks at predictions: asking for the next task would lock it for the user whose key this is.
    """
    requeue = f"run `spanloop sync requeue --project {project.id}`, which puts its predictions in again"
    with store.read() as uow:
        tasks, finished = uow.texts.count_tasks(project.id)
        unpushed = uow.texts.count_unpushed(project.id, stored.model_version)
        sample = uow.queue.first_shown(project.id, stored.model_version, limit=LOOKED_AT)
    if tasks == finished or stored.sampling != SAMPLING:
        return
    if not sample:
        if unpushed:
            yield Finding(
                Level.PROBLEM,
                subject,
                f"its queue is random: none of {tasks - finished} waiting tasks has a prediction of "
                f"{stored.model_version!r}",
                "the worker on the queue refresh puts them in within minutes; if it does not, its log says why",
            )
        return
    lost = [task_id for task_id in sample if not _holds(client, task_id, stored.model_version)]
    if lost:
        random = "its queue is random: " if len(lost) == len(sample) else ""
        yield Finding(
            Level.PROBLEM,
            subject,
            f"{random}{len(lost)} of {len(sample)} tasks at its head lost their prediction of {stored.model_version!r}",
            requeue,
        )


def _holds(client: LabelStudio, task_id: int, version: str) -> bool:
    return any(one.model_version == version and one.score is not None for one in client.list_predictions(task_id))


def _may_be_called(client: LabelStudio, hook: Webhook) -> bool:
    try:
        client.recheck_webhook(hook)
    except LabelStudioUnavailable:
        raise
    except LabelStudioError:
        return False
    return True


def _check_guards(connection: Connection, project_id: int, subject: str, adopt: str) -> Iterator[Finding]:
    """Label Studio refuses private addresses unless told otherwise, and then leaves a project half connected."""
    host = urlsplit(connection.backend_url(project_id)).hostname or ""
    if _is_private(host):
        yield Finding(
            Level.NOTE,
            subject,
            f"our address {host} is a private one, which Label Studio refuses to call unless it is told otherwise",
            f"{GUARDS}; then {adopt}",
        )


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host  # a name within a network of containers


def _check_webhook(
    client: LabelStudio, connection: Connection, project: Project, subject: str, adopt: str
) -> Iterator[Finding]:
    ours = find_webhooks(client, connection, project)
    if not ours:
        yield Finding(Level.PROBLEM, subject, "no webhook leads to us, so feedback comes by pulls alone", adopt)
        return
    if len(ours) > 1:
        yield Finding(Level.PROBLEM, subject, f"{len(ours)} webhooks lead to us, so everything comes twice", adopt)
    hook = ours[0]
    url = connection.webhook_url(project.id)
    given = {name.lower(): value for name, value in hook.headers.items()}.get("authorization")
    if given is None:
        yield Finding(Level.PROBLEM, subject, "its webhook has no credential, so its feedback is refused", adopt)
    elif given != connection.headers["Authorization"]:
        yield Finding(Level.PROBLEM, subject, "its webhook has another credential than ours", adopt)
    private = _is_private(urlsplit(hook.url).hostname or "")
    # Written again, a webhook for some actions would lose its choice of them.
    if private and hook.send_for_all_actions and not _may_be_called(client, hook):
        yield Finding(
            Level.PROBLEM,
            subject,
            f"Label Studio would not call {hook.url}: its guards refuse private addresses, so feedback is lost",
            GUARDS,
        )
    if not hook.is_active:
        yield Finding(Level.PROBLEM, subject, "its webhook is switched off", adopt)
    if hook.url.rstrip("/") != url:
        yield Finding(Level.PROBLEM, subject, f"its webhook goes to {hook.url}, not to {url}", adopt)
    if not hook.send_for_all_actions:
        yield Finding(Level.PROBLEM, subject, "its webhook leaves out some actions", adopt)
    if not hook.send_payload:
        yield Finding(Level.NOTE, subject, "its webhook sends no payload, so each event asks Label Studio back", adopt)


def _check_backend(
    connection: Connection, backends: list[Backend], project_id: int, subject: str, adopt: str
) -> Iterator[Finding]:
    if not backends:
        yield Finding(Level.PROBLEM, subject, "no ML backend leads to us, so there are no pre-labels", adopt)
        return
    if len(backends) > 1:
        yield Finding(Level.PROBLEM, subject, f"{len(backends)} ML backends lead to us", adopt)
    backend, url = backends[0], connection.backend_url(project_id)
    if backend.url.rstrip("/") != url:
        yield Finding(Level.PROBLEM, subject, f"its ML backend goes to {backend.url}, not to {url}", adopt)
    if backend.auth_method != "BASIC_AUTH":
        yield Finding(Level.PROBLEM, subject, "its ML backend carries no credential", adopt)
    if backend.state != CONNECTED:
        why = f": {backend.error.strip().splitlines()[0][:200]}" if backend.error and backend.error.strip() else ""
        yield Finding(
            Level.PROBLEM,
            subject,
            f"Label Studio says its ML backend is not connected{why}",
            f"check that {url}/health can be reached from Label Studio (SPANLOOP_BACKEND_URL), then {adopt}",
        )


def _check_versions(
    stored: StoredProject,
    backends: list[Backend],
    live: MLModel | None,
    announced: MLModel | None,
    subject: str,
    adopt: str,
) -> Iterator[Finding]:
    if live is None:
        yield Finding(Level.PROBLEM, subject, "it has no live version", adopt)
        return
    if announced is None or announced.id != live.id:
        yield Finding(
            Level.PROBLEM,
            subject,
            f"{live.version} is live, and Label Studio is told of {announced.version if announced else 'nothing'}",
            "a worker for the queue refresh turns it within minutes; if it does not, its log says why",
        )
    wanted = announced.version if announced else live.version
    for what, version in (
        ("the project's model version", stored.model_version),
        *(("its ML backend's title", b.title) for b in backends[:1]),
    ):
        if version != wanted:
            yield Finding(Level.PROBLEM, subject, f"{what} is {version!r}, announced is {wanted!r}", adopt)


def _check_settings(stored: StoredProject, project: Project, subject: str, adopt: str) -> Iterator[Finding]:
    if not stored.show_collab_predictions:
        yield Finding(Level.PROBLEM, subject, "pre-labels are not shown to its annotators", adopt)
    needed = parse_settings(project.settings).rule.annotators
    if stored.maximum_annotations < needed:
        yield Finding(
            Level.PROBLEM,
            subject,
            f"Label Studio gives a task to {stored.maximum_annotations} annotators, its rule needs {needed}",
            adopt,
        )
    if stored.sampling != SAMPLING:
        yield Finding(
            Level.PROBLEM,
            subject,
            f"its queue is not active: tasks come up by {stored.sampling!r}, not the most uncertain first, and without "
            "the honest slice",
            adopt,
        )


def _check_tabs(client: LabelStudio, project_id: int, subject: str, adopt: str) -> Iterator[Finding]:
    """The labelling page follows the tab that it is opened from, which is the first one unless somebody changes it."""
    first = next(iter(client.list_views(project_id)), None)
    if first is not None and not is_plain(first):
        yield Finding(
            Level.PROBLEM,
            subject,
            f"its first tab, {first.title!r}, filters or orders its tasks: who labels from there gets neither the most "
            "uncertain first nor tasks of his own",
            f"take filter and order out of it, or {adopt}, which puts a plain tab before it",
        )
