"""Projects, connected: in Label Studio and in the store. Every step looks first, so each may run twice."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from config.errors import Conflict, NotFound
from config.log import get_logger
from sync.client import LabelStudio
from sync.labelling import build_config, parse_config
from sync.mirror import set_config
from sync.records import Backend, StoredProject, Webhook
from sync.tabs import ensure_tabs
from training.policy import ProjectSettings, VerifiedBy, parse_settings
from training.project_settings import check_floors
from training.store.tables.projects import Project
from training.store.unit_of_work import Store, UnitOfWork
from training.taxonomy import Taxonomy, load_taxonomy

log = get_logger(__name__)

RegisterBase = Callable[[UnitOfWork, Project], None]
"""Registers version 0 of a project in the same unit of work, and does nothing where there is one (rule 7)."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How Label Studio reaches us: our address, and the one credential that all its calls carry."""

    url: str
    user: str
    password: str = field(repr=False)

    def backend_url(self, project_id: int) -> str:
        """The project's own backend address."""
        return f"{self.url.rstrip('/')}/p/{project_id}"

    def webhook_url(self, project_id: int) -> str:
        """The project's own webhook address."""
        return f"{self.backend_url(project_id)}/webhook"

    @property
    def headers(self) -> dict[str, str]:
        """What a webhook of ours carries."""
        credential = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {credential}"}

    def is_ours(self, url: str) -> bool:
        """Whether an address leads to us, under whichever path."""
        return f"{url.rstrip('/')}/".startswith(f"{self.url.rstrip('/')}/")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a project is to be; `taxonomy` gives what is known of its labels."""

    taxonomy: Taxonomy
    language: str
    base_model: str
    settings: ProjectSettings


def create_project(
    store: Store,
    client: LabelStudio,
    connection: Connection,
    *,
    title: str,
    plan: Plan,
    register_base: RegisterBase,
    now: datetime,
) -> Project:
    """Make a project of this title in Label Studio, connect it, and put its version 0 live.

    A second time it mends what is missing of the project with this title and these labels.
    Raises Conflict where the title stands for a project with other labels, InvalidInput for recall floors of labels
    that it has not.
    """
    title = title.strip()
    check_floors(plan.settings, plan.taxonomy.names)
    xml = build_config(plan.taxonomy)
    stored = next((p for p in client.list_projects() if p.title == title), None)
    if stored is None:
        stored = client.create_project(title, xml, **_loop_settings(plan.settings))
        log.info("project_created", project_id=stored.id)
    elif set(parse_config(stored.label_config).labels) != set(plan.taxonomy.names):
        raise Conflict(
            f"project {stored.id} is called {title!r} already and has other labels; choose another name, "
            f"or connect that one as it is by `spanloop project adopt {stored.id}`"
        )
    return _take_in(store, client, connection, stored=stored, plan=plan, register_base=register_base, now=now)


def adopt_project(
    store: Store,
    client: LabelStudio,
    connection: Connection,
    project_id: int,
    *,
    plan: Plan,
    register_base: RegisterBase,
    now: datetime,
) -> Project:
    """Connect a project that is there in Label Studio; its labelling config stays. Mends a connection, too.

    For a project that is known already, `plan` gives no more than what is known of new labels.
    Raises NotFound, LabelConfigRefused where no spans can come from its config, and InvalidInput for recall floors of
    labels that it has not.
    """
    stored = client.find_project(project_id)
    if stored is None:
        raise NotFound(f"Label Studio has no project {project_id} that this API key may see")
    check_floors(plan.settings, parse_config(stored.label_config).labels)
    return _take_in(store, client, connection, stored=stored, plan=plan, register_base=register_base, now=now)


def ensure_project(
    store: Store,
    project_id: int,
    label_config: str,
    *,
    language: str,
    base_model: str,
    register_base: RegisterBase,
    now: datetime,
) -> None:
    """Take in a project whose backend somebody connected by hand; one that is known is only looked at.

    Raises LabelConfigRefused with the reason why the project cannot be pre-labelled.
    """
    with store.read() as uow:
        known = uow.projects.find(project_id)
    if known is not None and known.deleted_at is None:
        if known.label_config != label_config:
            parse_config(label_config)
        return
    plan = Plan(load_taxonomy(None), language, base_model, parse_settings({}))
    with store.write() as uow:
        _keep(uow, project_id, f"project {project_id}", label_config, plan, register_base, now=now)
        uow.commit()
    log.warning(
        "project_connected_by_hand",
        project_id=project_id,
        meaning="its webhook carries no credential, so feedback does not arrive",
        remedy=f"run `spanloop project adopt {project_id}`",
    )


def set_annotators(client: LabelStudio, project_id: int, annotators: int) -> None:
    """Let Label Studio give each task to so many annotators, as the project's verification rule wants."""
    client.update_project(project_id, maximum_annotations=annotators)


def _take_in(
    store: Store,
    client: LabelStudio,
    connection: Connection,
    *,
    stored: StoredProject,
    plan: Plan,
    register_base: RegisterBase,
    now: datetime,
) -> Project:
    config = parse_config(stored.label_config)
    # Label Studio calls our /setup while it connects the backend: the store has to know the project by then.
    with store.write() as uow:
        project = _keep(uow, stored.id, stored.title, stored.label_config, plan, register_base, now=now)
        version = _announced_version(uow, project)
        settings = parse_settings(project.settings)
        uow.commit()
    client.update_project(stored.id, **_loop_settings(settings))
    # Without a webhook of the backend's address Label Studio would make one that carries no credential.
    webhook = _ensure_webhook(client, connection, project)
    backend = _ensure_backend(client, connection, project, version=version)
    client.update_project(stored.id, model_version=version)
    ensure_tabs(client, stored.id, text_key=config.text_key)
    with store.write() as uow:
        project = uow.projects.lock(stored.id)
        project.webhook_id, project.backend_id = webhook.id, backend.id
        uow.commit()
    log.info("project_connected", project_id=stored.id, version=version)
    return project


def _keep(
    uow: UnitOfWork,
    project_id: int,
    title: str,
    label_config: str,
    plan: Plan,
    register_base: RegisterBase,
    *,
    now: datetime,
) -> Project:
    project = uow.projects.find(project_id)
    if project is None:
        project = Project(
            id=project_id,
            title=title,
            language=plan.language,
            base_model=plan.base_model,
            settings=plan.settings.to_json(),
            created_at=now,
        )
        set_config(project, label_config, plan.taxonomy)
        uow.projects.add(project)
    else:
        project.title, project.deleted_at, project.reconcile_cursor = title, None, None
        if project.label_config != label_config:
            set_config(project, label_config, plan.taxonomy)
    register_base(uow, project)
    uow.session.flush()
    return project


def _announced_version(uow: UnitOfWork, project: Project) -> str:
    model = uow.models.get(project.announced_model_id) if project.announced_model_id else uow.models.live(project.id)
    if model is None:
        raise NotFound(f"project {project.id} has no version 0")
    return model.version


def _loop_settings(settings: ProjectSettings) -> dict[str, object]:
    wanted: dict[str, object] = {
        # Its page does not offer this order, but the Community Edition keeps to it.
        "sampling": "Uncertainty sampling",
        "show_collab_predictions": True,
        # Else a look at the Data Manager would ask for predictions of every task on the page.
        "evaluate_predictions_automatically": False,
    }
    if settings.rule.by is VerifiedBy.AGREEMENT:
        wanted["maximum_annotations"] = settings.rule.annotators
    return wanted


def _ensure_webhook(client: LabelStudio, connection: Connection, project: Project) -> Webhook:
    """The project's one webhook to us, with the credential; others that lead to us would deliver everything twice."""
    url = connection.webhook_url(project.id)
    ours = find_webhooks(client, connection, project)
    for extra in ours[1:]:
        client.delete_webhook(extra.id)
    if not ours:
        return client.create_webhook(project.id, url, headers=connection.headers)
    return client.update_webhook(ours[0].id, url, headers=connection.headers)


def _ensure_backend(client: LabelStudio, connection: Connection, project: Project, *, version: str) -> Backend:
    ours = find_backends(client, connection, project)
    for extra in ours[1:]:
        client.delete_backend(extra.id)
    if not ours:
        url = connection.backend_url(project.id)
        return client.create_backend(project.id, url, title=version, user=connection.user, password=connection.password)
    return name_backend(client, connection, ours[0], version=version)


def find_webhooks(client: LabelStudio, connection: Connection, project: Project) -> list[Webhook]:
    """The project's webhooks that lead to us or that we made, which may lead to where we were before; the one under
    the project's own address first."""
    hooks = client.list_webhooks(project.id)
    ours = [hook for hook in hooks if connection.is_ours(hook.url) or hook.id == project.webhook_id]
    return sorted(ours, key=lambda hook: hook.url != connection.webhook_url(project.id))


def find_backends(client: LabelStudio, connection: Connection, project: Project) -> list[Backend]:
    """The project's backends that lead to us or that we made, which may lead to where we were before; the one under
    the project's own address first."""
    backends = client.list_backends(project.id)
    ours = [backend for backend in backends if connection.is_ours(backend.url) or backend.id == project.backend_id]
    return sorted(ours, key=lambda backend: backend.url.rstrip("/") != connection.backend_url(project.id))


def calls_elsewhere(client: LabelStudio, connection: Connection, project: Project) -> bool:
    """Whether the webhook or the backend that we made for the project leads to an address that we had before, or
    carries a credential that we had before."""
    hooks = [hook for hook in client.list_webhooks(project.id) if hook.id == project.webhook_id]
    backends = [backend for backend in client.list_backends(project.id) if backend.id == project.backend_id]
    return any(backend.url.rstrip("/") != connection.backend_url(project.id) for backend in backends) or any(
        hook.url != connection.webhook_url(project.id) or hook.headers != connection.headers for hook in hooks
    )


def name_backend(client: LabelStudio, connection: Connection, backend: Backend, *, version: str) -> Backend:
    """Give a backend this version as its title, its project's own address, and our credential."""
    return client.update_backend(
        backend.id,
        backend.project_id,
        connection.backend_url(backend.project_id),
        title=version,
        user=connection.user,
        password=connection.password,
    )
