"""A reviewer says that an example is right: the annotation that verifies it is made in Label Studio (rule 4).

Label Studio comes first: where it fails, nothing has changed here. Where the store fails after it, the next pull
brings the annotation in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from config.errors import Conflict, InvalidInput, LabelStudioError
from sync.client import LabelStudio
from sync.convert import to_regions
from sync.labelling import LabellingConfig, data_of, parse_config
from sync.mirror import Gatherer, record
from training.examples.intake import record_task_deletions
from training.examples.proposals import record_withdrawal
from training.policy import VerifiedBy, parse_settings
from training.spans import ScoredSpan, Span, find_problems, hash_text
from training.store.tables.projects import Project
from training.store.tables.texts import Task
from training.store.unit_of_work import Store

Clock = Callable[[], datetime]

CLAIMED_FOR = timedelta(minutes=2)
"""After so long a claim whose holder died is anybody's again; Label Studio has answered or given up by then."""

PATIENCE_SECONDS, POLL_SECONDS = 10.0, 0.1


def verify_text(
    store: Store,
    client: LabelStudio,
    project_id: int,
    text: str,
    spans: Sequence[Span],
    *,
    contributor_id: int | None,
    starred: bool = False,
    clock: Clock,
) -> None:
    """Submit these spans for a text in Label Studio, and take the annotation in; the text may be a new one.

    It counts as `contributor_id`'s, or with None as that of the user whose key we use.
    Where the verification rule asks for more than a submit, the annotation is `starred` in any case. A text that is
    verified by the time that its turn comes stays as it is. Raises InvalidInput for spans that cannot be trained on,
    Conflict where somebody else goes on verifying the text, LabelStudioUnavailable and LabelStudioError where the
    annotation could not be made.
    """
    with store.read() as uow:
        project = uow.projects.get(project_id)
    regions = _regions(project, text, spans)
    star = starred or parse_settings(project.settings).rule.by is not VerifiedBy.SUBMITTED
    annotation = {"result": regions, "ground_truth": star}
    with _claimed(store, project_id, hash_text(text), clock=clock):
        with store.read() as uow:
            known = uow.examples.of_hash(project_id, hash_text(text))
            if known is not None and known.verified:
                return
            placed = uow.texts.find_text(project_id, hash_text(text))
            tasks = uow.texts.tasks_of_text(placed.id) if placed is not None else ()
        task_id, made = _annotate(client, project, text, tasks, annotation)
        _take_in(store, client, project, task_id, made=made, contributor_id=contributor_id, clock=clock)


@contextmanager
def _claimed(store: Store, project_id: int, text_hash: str, *, clock: Clock) -> Iterator[None]:
    """Nobody else verifies this text meanwhile: otherwise each would make an annotation, or a task."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _claim(store, project_id, text_hash, now=clock()):
        if time.monotonic() > deadline:
            raise Conflict("somebody else is verifying this text at this moment; try again in a minute")
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        with store.write() as uow:
            uow.texts.release(project_id, text_hash)
            uow.commit()


def _claim(store: Store, project_id: int, text_hash: str, *, now: datetime) -> bool:
    with store.write() as uow:
        uow.projects.lock(project_id)
        claimed = uow.texts.claim(project_id, text_hash, until=now + CLAIMED_FOR, now=now)
        uow.commit()
    return claimed


def _take_in(
    store: Store,
    client: LabelStudio,
    project: Project,
    task_id: int,
    *,
    made: int | None,
    contributor_id: int | None,
    clock: Clock,
) -> None:
    task = client.find_task(task_id)
    if task is None:
        raise LabelStudioError(f"task {task_id} is gone from Label Studio again")
    gathered = Gatherer(store, client, project).gather([task], task.annotations)
    if contributor_id is not None:
        gathered = gathered.on_behalf_of(contributor_id, only=made)
    with store.write() as uow:
        record(uow, uow.projects.lock(project.id), gathered, now=clock())
        uow.commit()


def _regions(project: Project, text: str, spans: Sequence[Span]) -> list[dict[str, Any]]:
    faults = find_problems(text, spans, project.labels)
    if faults:
        named = [{"path": "entities", "message": f"{fault.problem}: {fault.detail}"} for fault in faults]
        raise InvalidInput(f"these spans cannot be verified: {named[0]['message']}", problems=named)
    config: LabellingConfig = parse_config(project.label_config)
    scored = [ScoredSpan(span.start, span.end, span.label, 1.0, "proposal") for span in spans]
    return [
        {name: value for name, value in region.items() if name != "score"}
        for region in to_regions(scored, config, text)
    ]


def _annotate(
    client: LabelStudio, project: Project, text: str, tasks: Sequence[Task], annotation: dict[str, Any]
) -> tuple[int, int | None]:
    """Make the annotation on the text's task, or on a new one; the task's id and its own, None where it is the only."""
    for task in tasks:
        try:
            made = client.create_annotation(task.id, annotation["result"], ground_truth=annotation["ground_truth"])
        except LabelStudioError as error:
            if error.details.get("status") != 404:
                raise
        else:
            return task.id, made.id
    new = {"data": data_of(text, project.text_key), "annotations": [annotation]}
    (task_id,) = client.import_tasks(project.id, [new])
    return task_id, None


def withdraw_proposal(store: Store, client: LabelStudio, project_id: int, text_id: int, *, clock: Clock) -> None:
    """Take what is proposed for a text out of Label Studio, and here after it.

    Tasks that were made for the proposal go; others stay, and wait for what the live version says of them. Raises
    Conflict where somebody has begun to label one, LabelStudioUnavailable and LabelStudioError.
    """
    with store.read() as uow:
        tasks = {task.id: task for task in uow.texts.tasks_of_text(text_id) if task.proposal is not None}
    stored = {task_id: client.find_task(task_id) for task_id in tasks}
    for task_id, found in stored.items():
        if found is not None and (found.has_draft or found.annotations):
            raise Conflict(f"somebody is labelling task {task_id} in Label Studio; wait, or delete it there")
    made = [task.id for task in tasks.values() if task.made_for_proposal]
    for task_id, found in stored.items():
        if task_id in made:
            client.delete_task(task_id)
            continue
        for prediction in found.predictions if found is not None else ():
            client.delete_prediction(prediction.id)
    with store.write() as uow:
        project = uow.projects.lock(project_id)
        record_task_deletions(uow, project, made, now=clock())
        record_withdrawal(uow, project, text_id)
        uow.commit()
