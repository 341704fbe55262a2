"""`spanloop sync`: what comes in from Label Studio, and what nothing can be learnt from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from config.errors import InvalidInput, LabelStudioUnavailable
from ml_backend import jobs
from ml_backend.bootstrap import Services, utc_now
from ml_backend.cli.bell import ring
from ml_backend.cli.session import AsJson, ProjectId, Session, session_of
from sync.reconcile import Reconciled, reconcile
from training.store.inbox import Inbox
from training.store.tables.inbox import Event, EventStatus
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork

ParkedEvent = Annotated[int | None, typer.Argument(metavar="ID", help="A parked event.")]
EveryEvent = Annotated[bool, typer.Option("--all", help="All parked events.")]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look after what comes in from Label Studio.")


@app.command("reconcile")
def pull(
    context: typer.Context,
    project_id: ProjectId = None,
    full: Annotated[bool, typer.Option("--full", help="Compare everything; finds deleted tasks, too.")] = False,
) -> None:
    """Pull what webhooks missed, of one project or, unless one is named, of all."""
    session = session_of(context)
    for project in _named_or_all(session, project_id):
        found = pull_project(session.services, project.id, full=full)
        session.say(f"Project {project.id}: {_describe(found)}.")


def pull_project(services: Services, project_id: int, *, full: bool) -> Reconciled:
    """Bring the store to agree with Label Studio, and ring for pre-labels of what is new."""
    found = reconcile(services.store, services.label_studio, project_id, full=full, clock=utc_now)
    if not found.project_deleted:
        ring(services, "refresh", project_id)
    return found


def _named_or_all(session: Session, project_id: int | None) -> list[Project]:
    if project_id is not None:
        return [session.find_project(project_id)]
    with session.services.store.read() as uow:
        return list(uow.projects.all())


def _describe(found: Reconciled) -> str:
    if found.project_deleted:
        return "it is gone from Label Studio, and marked as deleted"
    counts = {
        "tasks changed": found.tasks,
        "annotations new or changed": found.annotations,
        "annotations deleted": found.deleted_annotations,
        "tasks deleted": found.deleted_tasks,
    }
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number) or "nothing had been missed"


@app.command("drain")
def drain_inbox(context: typer.Context) -> None:
    """Work off the inbox now, in this process."""
    session = session_of(context)
    done = jobs.work_off_inbox(session.services)
    session.say(f"{done.done} events done, {done.failed} failed and wait, {done.parked} parked.")
    if done.unavailable:
        raise LabelStudioUnavailable("Label Studio cannot be reached; the events that need it wait")


@app.command()
def requeue(context: typer.Context, project_id: ProjectId = None) -> None:
    """Put the predictions of all waiting tasks into Label Studio again, where they were lost there."""
    session = session_of(context)
    project = session.find_project(project_id)
    with session.services.store.write() as uow:
        uow.projects.lock(project.id)
        forgotten = uow.queue.forget_shown(project.id)
        uow.commit()
    ring(session.services, "refresh", project.id)
    session.say(f"Project {project.id}: {forgotten} predictions are put in again.")


@app.command()
def events(
    context: typer.Context,
    status: Annotated[EventStatus, typer.Option(help="Which events to list.")] = EventStatus.PARKED,
    limit: Annotated[int, typer.Option(help="How many to list at most.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List events of the inbox, newest first; parked ones unless told otherwise."""
    session = session_of(context)
    with session.services.store.read() as uow:
        found = uow.inbox.list(status=status, limit=limit)
        counts = uow.inbox.count_by_status()
    session.show([_event_row(event) for event in found], as_json=as_json, nothing=f"No event is {status}.")
    if not as_json and counts:
        session.say("In all: " + ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) + ".")


def _event_row(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "project": event.project_id,
        "action": event.action,
        "received": event.received_at,
        "attempts": event.attempts,
        "reason": event.error,
    }


@app.command()
def replay(context: typer.Context, event_id: ParkedEvent = None, every: EveryEvent = False) -> None:
    """Put parked events back into the queue with a clean count of failures."""
    session = session_of(context)
    count = replay_events(session.services, _named_or_every(event_id, every=every))
    session.say(f"{count} {'event goes' if count == 1 else 'events go'} back into the queue.")


def replay_events(services: Services, event_ids: Iterable[int] | None) -> int:
    """Put parked events, all unless some are named, back into the queue, and ring for the drain."""
    count = _settle(services, event_ids, lambda inbox, event_id: inbox.replay(event_id, utc_now()))
    ring(services, "drain")
    return count


@app.command()
def discard(context: typer.Context, event_id: ParkedEvent = None, every: EveryEvent = False) -> None:
    """Let go of parked events that nothing can come of; what Label Studio holds is pulled in any case."""
    session = session_of(context)
    event_ids = _named_or_every(event_id, every=every)
    count = _settle(session.services, event_ids, lambda inbox, event_id: inbox.discard(event_id))
    session.say(f"{count} {'event is' if count == 1 else 'events are'} let go of.")


def _named_or_every(event_id: int | None, *, every: bool) -> list[int] | None:
    if (event_id is None) is not every:
        raise InvalidInput("name one event, or give --all")
    return None if event_id is None else [event_id]


def _settle(services: Services, event_ids: Iterable[int] | None, act: Callable[[Inbox, int], object]) -> int:
    with services.store.write() as uow:
        wanted = uow.inbox.parked_ids() if event_ids is None else list(event_ids)
        for event_id in wanted:
            act(uow.inbox, event_id)
        uow.commit()
    return len(wanted)


@app.command()
def problems(context: typer.Context, project_id: ProjectId = None, as_json: AsJson = False) -> None:
    """List what nothing can be learnt from, with its tasks: regions, tasks, conflicts, texts set aside."""
    session = session_of(context)
    project = session.find_project(project_id)
    with session.services.store.read() as uow:
        rows = list_problems(uow, project)
    session.show(rows, as_json=as_json, nothing=f"Everything in project {project.id} can be learnt from.")


def list_problems(uow: UnitOfWork, project: Project) -> list[dict[str, Any]]:
    """What of a project cannot be learnt from, one row for each reason; texts stay out."""
    rows = [_problem_row("task", task.id, None, task.problem) for task in uow.texts.tasks_with_problems(project.id)]
    for annotation in uow.annotations.with_problems(project.id):
        rows += [_problem_row("region", annotation.task_id, annotation.id, p["detail"]) for p in annotation.problems]
    for example in uow.examples.with_conflicts(project.id):
        tasks = _task_ids(uow, example.text_id)
        rows.append(_problem_row("conflict", tasks, example.annotation_id, example.conflict))
    for text in uow.texts.set_aside(project.id):
        groups = ", ".join(map(str, text.bridged_groups))
        near = f"resembles texts of several parts (groups {groups}), so it never trains"
        rows.append(_problem_row("set aside", _task_ids(uow, text.id), None, near))
    return rows


def _task_ids(uow: UnitOfWork, text_id: int) -> str:
    return ", ".join(str(task.id) for task in uow.texts.tasks_of_text(text_id))


def _problem_row(kind: str, task: int | str | None, annotation: int | None, reason: str | None) -> dict[str, Any]:
    return {"kind": kind, "task": task, "annotation": annotation, "reason": reason}
