"""Marks, written into the data of their tasks in Label Studio, where tabs filter by them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from config.log import get_logger
from sync.client import LabelStudio
from sync.records import StoredTask
from training.examples.intake import record_task_deletions
from training.examples.marks import FIELD
from training.store.unit_of_work import Store

log = get_logger(__name__)

CHUNK = 50
"""Tasks whose data is read in one go: the shorter before the writing, the less can change in between."""


@dataclass(frozen=True, slots=True)
class _Written:
    marks: str
    before: StoredTask
    after: StoredTask


def show_marks(store: Store, client: LabelStudio, project_id: int, *, limit: int, now: datetime) -> int:
    """Bring the data of up to `limit` tasks up to their marks; how many were looked at.

    Safe to run twice. Raises LabelStudioUnavailable; what was written until then is noted.
    """
    done = 0
    while done < limit:
        with store.read() as uow:
            wanted = {t.id: t.marks for t in uow.texts.with_outdated_marks(project_id, limit=min(CHUNK, limit - done))}
        if not wanted:
            break
        _show_chunk(store, client, project_id, wanted, now=now)
        done += len(wanted)
    if done:
        log.info("marks_shown", project_id=project_id, tasks=done)
    return done


def _show_chunk(store: Store, client: LabelStudio, project_id: int, wanted: dict[int, str], *, now: datetime) -> None:
    held = {task.id: task for task in client.iter_tasks(project_id, only_ids=list(wanted), in_full=False)}
    written: list[_Written] = []
    try:
        for task_id, task in held.items():
            after = client.update_task_data(task_id, {**task.data, FIELD: wanted[task_id]})
            written.append(_Written(wanted[task_id], task, after))
    finally:
        _note(store, project_id, written, gone=[task_id for task_id in wanted if task_id not in held], now=now)


def _note(store: Store, project_id: int, written: list[_Written], *, gone: list[int], now: datetime) -> None:
    with store.write() as uow:
        project = uow.projects.lock(project_id)
        record_task_deletions(uow, project, gone, now=now)
        for one in written:
            task = uow.texts.find_task(project_id, one.after.id)
            if task is None:
                continue
            task.shown_marks = one.marks
            # Our own write is no news for the next pull, unless the store lags behind what stood there before it.
            if task.updated_at == one.before.updated_at:
                task.updated_at = one.after.updated_at
        uow.commit()
