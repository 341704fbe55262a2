"""The store, brought to agree with Label Studio, whatever webhooks were lost, doubled or reordered (rule 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from config.errors import NotFound
from config.log import get_logger
from sync.client import LabelStudio
from sync.mirror import Gatherer, record, record_project
from sync.records import StoredTask
from training.examples.intake import record_deletions, record_task_deletions
from training.store.tables.projects import Project
from training.store.unit_of_work import Store

log = get_logger(__name__)

Item = TypeVar("Item")

OVERLAP = timedelta(minutes=2)
"""How far each pull looks back behind the last one: a slow request shows up with a time that has passed already."""

CHUNK = 100
"""Tasks recorded in one transaction."""


@dataclass(slots=True)
class Reconciled:
    """What a pull found to be different from the store."""

    tasks: int = 0
    annotations: int = 0
    deleted_annotations: int = 0
    deleted_tasks: int = 0
    project_deleted: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store held before the listing began. What came later is no proof of a deletion."""

    project: Project
    annotations: frozenset[int]
    tasks: frozenset[int]


def reconcile(
    store: Store,
    client: LabelStudio,
    project_id: int,
    *,
    full: bool,
    clock: Callable[[], datetime],
) -> Reconciled:
    """Pull what changed since the last pull; where `full`, or at the first time, compare everything.

    Only a full comparison finds tasks and projects that were deleted, and annotations that were deleted in bulk.
    Raises NotFound for a project the store does not know.
    """
    found = Reconciled()
    stored = client.find_project(project_id)
    if stored is None:
        _mark_project_deleted(store, project_id, now=clock())
        found.project_deleted = True
        return found
    with store.write() as uow:
        record_project(uow, uow.projects.lock(project_id), stored)
        uow.commit()
    known = _look(store, project_id)
    cursor = known.project.reconcile_cursor
    full = full or cursor is None
    since = None if full or cursor is None else cursor - OVERLAP
    newest = cursor
    seen_tasks: set[int] = set()
    seen_annotations: set[int] = set()
    gatherer = Gatherer(store, client, known.project)
    for tasks in _chunks(client.iter_tasks(project_id, changed_since=since)):
        _record_chunk(store, gatherer, tasks, known, found, anew=cursor is None, now=clock())
        seen_tasks.update(task.id for task in tasks)
        seen_annotations.update(a.id for task in tasks for a in task.annotations)
        newest = max([*filter(None, [newest]), *(task.updated_at for task in tasks)])
    if full:
        _record_losses(
            store,
            project_id,
            annotations=known.annotations - seen_annotations,
            tasks=known.tasks - seen_tasks,
            found=found,
            now=clock(),
        )
    _move_cursor(store, known.project, newest)
    _report(project_id, found, full=full)
    return found


def _look(store: Store, project_id: int) -> _Known:
    with store.read() as uow:
        project = uow.projects.get(project_id)
        annotations = frozenset(uow.annotations.standing_ids(project_id))
        return _Known(project, annotations, frozenset(uow.texts.task_ids(project_id)))


def _record_chunk(
    store: Store,
    gatherer: Gatherer,
    tasks: list[StoredTask],
    known: _Known,
    found: Reconciled,
    *,
    anew: bool,
    now: datetime,
) -> None:
    project_id = known.project.id
    changed = tasks if anew else _keep_changed(store, project_id, tasks)
    if not changed:
        return
    gathered = gatherer.gather(changed, [a for task in changed for a in task.annotations])
    listed = {annotation.id for task in changed for annotation in task.annotations}
    with store.write() as uow:
        project = uow.projects.lock(project_id)
        found.annotations += record(uow, project, gathered, now=now)
        for task in changed:
            standing = {row.id for row in uow.annotations.of_task(project_id, task.id)}
            lost = standing & known.annotations - listed
            found.deleted_annotations += record_deletions(uow, project, lost, now=now)
        uow.commit()
    found.tasks += len(changed)


def _keep_changed(store: Store, project_id: int, tasks: Iterable[StoredTask]) -> list[StoredTask]:
    """Those of the tasks that the store does not hold as they are."""
    with store.read() as uow:
        return [
            task
            for task in tasks
            if (row := uow.texts.find_task(project_id, task.id)) is None
            or row.updated_at != task.updated_at
            or row.deleted_at is not None
            or {a.id: a.updated_at for a in uow.annotations.of_task(project_id, task.id)}
            != {a.id: a.updated_at for a in task.annotations}
        ]


def _record_losses(
    store: Store,
    project_id: int,
    *,
    annotations: frozenset[int],
    tasks: frozenset[int],
    found: Reconciled,
    now: datetime,
) -> None:
    for chunk in _chunks(iter(sorted(annotations))):
        with store.write() as uow:
            found.deleted_annotations += record_deletions(uow, uow.projects.lock(project_id), chunk, now=now)
            uow.commit()
    for chunk in _chunks(iter(sorted(tasks))):
        with store.write() as uow:
            found.deleted_tasks += record_task_deletions(uow, uow.projects.lock(project_id), chunk, now=now)
            uow.commit()


def _mark_project_deleted(store: Store, project_id: int, *, now: datetime) -> None:
    with store.write() as uow:
        project = uow.projects.find(project_id)
        if project is None:
            raise NotFound(f"neither Label Studio nor the store has a project {project_id}")
        if project.deleted_at is None:
            project.deleted_at = now
            log.warning(
                "project_deleted",
                project_id=project_id,
                meaning="Label Studio does not show it to this API key any more; its data stays in the store",
                remedy=f"if it is there all the same, run `spanloop project adopt {project_id}`",
            )
        uow.commit()


def _move_cursor(store: Store, seen: Project, newest: datetime | None) -> None:
    with store.write() as uow:
        project = uow.projects.lock(seen.id)
        # A config that changed meanwhile has emptied the cursor, so that the next pull begins anew.
        if project.label_config == seen.label_config:
            project.reconcile_cursor = newest
        uow.commit()


def _report(project_id: int, found: Reconciled, *, full: bool) -> None:
    if found != Reconciled():
        log.info(
            "reconciled",
            project_id=project_id,
            full=full,
            tasks=found.tasks,
            annotations=found.annotations,
            deleted_annotations=found.deleted_annotations,
            deleted_tasks=found.deleted_tasks,
        )


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while chunk := list(islice(items, CHUNK)):
        yield chunk
