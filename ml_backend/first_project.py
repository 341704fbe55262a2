"""The project that a new installation begins with, so that the first page shows pre-labelled texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from config.errors import ConfigurationError
from config.settings import Settings
from ml_backend import jobs, projects
from ml_backend.bootstrap import Services, utc_now
from sync.importing import import_rows
from training.demo.texts import DemoText, generate
from training.formats.rows import Row
from training.policy import parse_settings
from training.taxonomy import load_taxonomy

TITLE = "First steps (generated texts)"
TEXTS, SEED = 200, 7
PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 1.0


def make_first_project(settings: Settings, say: Callable[[str], None]) -> str:
    """The address of a labelling page with pre-labelled texts: of a project that has some, else of one made for it.

    Projects that an earlier start connected under another address follow to the present one first. Raises
    ConfigurationError where the pre-labels do not come.
    """
    services = Services(settings)
    projects.follow_address(services)
    project_id = _find_project_with_work(services)
    if project_id is None:
        say("Making a first project with generated texts …")
        plan = projects.plan_project(load_taxonomy(None), settings=parse_settings({"auto_promote": True}))
        project_id = projects.create(services, TITLE, plan).id
        import_rows(services.store, services.label_studio, project_id, _rows(generate(TEXTS, seed=SEED)), clock=utc_now)
    jobs.ring(services, "refresh", project_id)
    say("Waiting for the first pre-labels …")
    _wait_for_prelabels(services, project_id)
    return projects.page_of(services, project_id)


def _rows(texts: Iterable[DemoText]) -> Iterable[Row]:
    # Without their spans: they are for people to find.
    return (Row(line, text.text, None, {}) for line, text in enumerate(texts, start=1))


def _find_project_with_work(services: Services) -> int | None:
    with services.store.read() as uow:
        for project in uow.projects.all():
            total, finished = uow.texts.count_tasks(project.id)
            if finished < total:
                return project.id
        # Somebody has labelled everything, or wants other projects than ours.
        known = uow.projects.all()
    return known[0].id if known else None


def _wait_for_prelabels(services: Services, project_id: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with services.store.read() as uow:
            if not jobs.needs_refresh(uow, uow.projects.get(project_id)):
                return
        time.sleep(LOOK_SECONDS)
    raise ConfigurationError(
        f"the pre-labels of project {project_id} did not come within {PATIENCE_SECONDS:.0f} s; the logs of "
        "worker-refresh and worker-sync say why"
    )
