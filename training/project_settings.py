"""A project's settings, changed together with what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from config.errors import InvalidInput
from training.examples.intake import recount_finished
from training.examples.verification import refresh_example
from training.policy import ProjectSettings, parse_settings, schedule_name
from training.store.tables.projects import Project
from training.store.unit_of_work import Store

CHUNK = 200


def settings_after(project: Project, changes: Mapping[str, Any]) -> ProjectSettings:
    """The project's settings as these changes would leave them. Raises InvalidInput."""
    settings = parse_settings(project.settings).with_changes(**changes)
    if "gate_recall_floors" in changes:
        check_floors(settings, project.labels)
    return settings


def check_floors(settings: ProjectSettings, labels: Sequence[str]) -> None:
    """Raise InvalidInput for a recall floor of none of the labels: the gate would never look at it."""
    if unknown := sorted(set(settings.gate_recall_floors) - set(labels)):
        raise InvalidInput(
            f"gate_recall_floors names labels that the project has not: {', '.join(unknown)} "
            f"(known: {', '.join(labels)})"
        )


def change_settings(
    store: Store, project_id: int, changes: Mapping[str, Any], *, clock: Callable[[], datetime]
) -> ProjectSettings:
    """Change some settings of a project. Raises InvalidInput for unknown ones and for recall floors of
    labels that the project has not, NotFound for an unknown project.

    Where the verification rule is among them, every annotated text is settled anew, some at a time; broken off, the
    same change made again completes it. Parts that were given stay.
    """
    with store.write() as uow:
        project = uow.projects.lock(project_id)
        before = parse_settings(project.settings)
        settings = settings_after(project, changes)
        if schedule_name(settings) != schedule_name(before):
            # What this line had planned when it was set before was no time that was missed.
            uow.schedule.forget(schedule_name(settings), project_id)
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
