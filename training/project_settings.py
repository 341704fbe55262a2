"""A project's settings, changed together with what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from training.examples.intake import recount_finished
from training.examples.verification import refresh_example
from training.policy import ProjectSettings, parse_settings
from training.store.unit_of_work import Store

CHUNK = 200


def change_settings(
    store: Store, project_id: int, changes: Mapping[str, Any], *, clock: Callable[[], datetime]
) -> ProjectSettings:
    """Change some settings of a project. Raises InvalidInput for unknown ones, NotFound for an unknown project.

    Where the verification rule is among them, every annotated text is settled anew, some at a time; broken off, the
    same change made again completes it. Parts that were given stay.
    """
    with store.write() as uow:
        project = uow.projects.lock(project_id)
        settings = parse_settings(project.settings).with_changes(**changes)
        project.settings = settings.to_json()
        uow.commit()
    if "verification_rule" in changes:
        _settle_anew(store, project_id, clock=clock)
    return settings


def _settle_anew(store: Store, project_id: int, *, clock: Callable[[], datetime]) -> None:
    with store.read() as uow:
        text_ids = sorted(uow.annotations.annotated_text_ids(project_id))
    for at in range(0, len(text_ids), CHUNK):
        with store.write() as uow:
            project = uow.projects.lock(project_id)
            for text_id in text_ids[at : at + CHUNK]:
                for task in uow.texts.tasks_of_text(text_id):
                    recount_finished(uow, project, task)
                refresh_example(uow, project, text_id, now=clock())
            uow.commit()
