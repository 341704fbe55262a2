"""Projects, made and adopted, wired to this installation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from config.errors import ConfigurationError, InvalidInput, LabelStudioError, NotFound
from config.log import get_logger
from ml_backend.bootstrap import Services, utc_now
from sync.client import LabelStudio
from sync.setup import (
    Connection,
    Plan,
    adopt_project,
    calls_elsewhere,
    create_project,
    ensure_project,
    set_annotators,
)
from training import project_settings
from training.policy import ProjectSettings, parse_settings
from training.prediction.pipeline import base_labels, base_spec
from training.store.tables.projects import Project
from training.store.unit_of_work import Store, UnitOfWork
from training.taxonomy import Taxonomy, load_taxonomy
from training.versions.registry import register_base

log = get_logger(__name__)
ENGLISH_BASE = "en_core_web_sm"
HOW_TO_LABEL = 'Label here, by the button "Label All Tasks"'


def default_base(language: str) -> str:
    """The base model of a language where none is named: the locked English one, else only the language's tokenizer."""
    return ENGLISH_BASE if language == "en" else f"blank:{language}"


def plan_project(
    taxonomy: Taxonomy, *, language: str = "en", base_model: str = "", settings: ProjectSettings | None = None
) -> Plan:
    """What a project is to be. Raises ModelUnavailable where its base model cannot be loaded."""
    base = base_model or default_base(language)
    base_labels(base)  # loaded now, since nothing slow may happen within a transaction
    return Plan(taxonomy=taxonomy, language=language, base_model=base, settings=settings or parse_settings({}))


def connection_of(services: Services) -> Connection:
    """Our address and credential for Label Studio. Raises ConfigurationError where there is no password yet."""
    settings = services.settings
    password = settings.backend_password.get_secret_value()
    if not password:
        raise ConfigurationError(
            "no backend password is set: start the system with `make up`, or set SPANLOOP_BACKEND_PASSWORD"
        )
    return Connection(settings.resolved_backend_url, settings.backend_user, password)


def page_of(services: Services, project_id: int) -> str:
    """The address of a project's tasks, where the button "Label All Tasks" opens the labelling page.

    With `?labeling=1` behind it the page opens at once, yet in a browser where nobody has pressed that button before,
    it goes by the tasks' numbers, without uncertainty and without locks.
    """
    return f"{services.settings.label_studio_url.rstrip('/')}/projects/{project_id}/data"


def task_page(services: Services, project_id: int, task_id: int) -> str:
    """Where a task is looked at."""
    return f"{services.settings.label_studio_url.rstrip('/')}/projects/{project_id}/data?task={task_id}"


def create(services: Services, title: str, plan: Plan) -> Project:
    """Make a project in Label Studio, connected, with its version 0 live; safe to run twice."""
    return create_project(
        services.store,
        services.label_studio,
        connection_of(services),
        title=title,
        plan=plan,
        register_base=register_version_zero,
        now=utc_now(),
    )


def adopt(services: Services, project_id: int, plan: Plan) -> Project:
    """Connect a project that is there in Label Studio, or mend its connection."""
    return adopt_project(
        services.store,
        services.label_studio,
        connection_of(services),
        project_id,
        plan=plan,
        register_base=register_version_zero,
        now=utc_now(),
    )


def follow_address(services: Services) -> list[int]:
    """Connect anew the projects that Label Studio still looks for where we were before; their ids.

    So a system that was started on another port goes on. What keeps a project from it is logged, and holds up no other.
    Raises LabelStudioError.
    """
    connection, client = connection_of(services), services.label_studio
    there = {stored.id for stored in client.list_projects()}
    with services.store.read() as uow:
        known = [project for project in uow.projects.all() if project.id in there]
    moved = [project for project in known if calls_elsewhere(client, connection, project)]
    return [project.id for project in moved if _connect_anew(services, project)]


def _connect_anew(services: Services, project: Project) -> bool:
    # Its settings stay, and need no check: they may name a label that is gone.
    plan = Plan(load_taxonomy(None), project.language, project.base_model, parse_settings({}))
    try:
        adopt(services, project.id, plan)
    except (InvalidInput, NotFound, LabelStudioError) as error:
        remedy = f"mend that, then run `spanloop project adopt {project.id}`"
        log.warning("project_left_behind", project_id=project.id, reason=error.message, remedy=remedy)
        return False
    return True


def change_settings(
    store: Store, project_id: int, changes: Mapping[str, Any], *, label_studio: Callable[[], LabelStudio]
) -> None:
    """Change a project's settings, in Label Studio first where it has to know. Raises InvalidInput, NotFound, and
    LabelStudioUnavailable or LabelStudioError with nothing changed.
    """
    with store.read() as uow:
        project = uow.projects.get(project_id)
    before, after = parse_settings(project.settings), project_settings.settings_after(project, changes)
    if after.rule.annotators != before.rule.annotators:
        set_annotators(label_studio(), project_id, after.rule.annotators)
    project_settings.change_settings(store, project_id, changes, clock=utc_now)


def ensure(services: Services, project_id: int, label_config: str) -> None:
    """Take in a project whose backend was connected by hand. Raises LabelConfigRefused."""
    ensure_project(
        services.store,
        project_id,
        label_config,
        language="en",
        base_model=ENGLISH_BASE,
        register_base=register_version_zero,
        now=utc_now(),
    )


def register_version_zero(uow: UnitOfWork, project: Project) -> None:
    """Register version 0 within the unit of work that makes the project; nothing where there is a live version."""
    if uow.models.live(project.id) is None:
        spec = base_spec(project.base_model, project.language, Taxonomy.from_json(project.taxonomy))
        register_base(uow, project, spec, now=utc_now())
