"""`spanloop labels`: how good the annotations are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ml_backend.bootstrap import utc_now
from ml_backend.cli.bell import ring
from ml_backend.cli.session import AsJson, ProjectId, session_of
from ml_backend.projects import task_page
from training.quality.agreement import Agreement, judge_alpha
from training.quality.assess import StandingDoubt, audit_labels, read_agreement, read_doubts

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look for label errors, and at agreement.")
SHOWN_CHARACTERS = 40

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")]


@app.command()
def audit(context: typer.Context, project_id: ProjectId = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Look for annotations that cross-validated models confidently contradict, and mark their tasks."""
    session = session_of(context)
    project = session.find_project(project_id)
    found = audit_labels(session.services.store, project.id, clock=utc_now)
    ring(session.services, "mark", project.id)
    if not as_json:
        session.say(
            f"{found.doubts} doubts about {found.spans} spans of {found.texts} verified texts; {found.marked} tasks "
            "are in the tab 'Possible label errors'."
        )
    _show_doubts(context, project.id, limit=limit, as_json=as_json)


@app.command()
def doubts(context: typer.Context, project_id: ProjectId = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List what the newest audit found and nobody has changed since, most suspicious first."""
    _show_doubts(context, session_of(context).find_project(project_id).id, limit=limit, as_json=as_json)


@app.command()
def agreement(context: typer.Context, project_id: ProjectId = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show how far annotators agree, overall, pair by pair and label by label, and which texts to ask about again."""
    session = session_of(context)
    project = session.find_project(project_id)
    with session.services.store.read() as uow:
        measured = read_agreement(uow, project.id)
        people = {person for pair in measured.pairs for person in (pair.first, pair.second)}
        names = uow.projects.usernames(people)
        tasks = {
            ask.text_id: [t.id for t in uow.texts.tasks_of_text(ask.text_id)] for ask in measured.ask_again[:limit]
        }
    described = describe_agreement(measured, names, tasks, limit=limit)
    if as_json:
        session.show_json(described)
        return
    overall = described.pop("overall")
    session.show_pairs("agreement", overall)
    for title, rows in described.items():
        if rows:
            session.say(title.replace("_", " "))
            session.show(rows, as_json=False, nothing="")
    if measured.alpha is not None:
        session.say(f"By alpha the annotations are {judge_alpha(measured.alpha)}.")
    if not measured.texts:
        session.say("No text was annotated by two people yet; `agreement:2` as the verification rule asks for that.")


def _show_doubts(context: typer.Context, project_id: int, *, limit: int, as_json: bool) -> None:
    session = session_of(context)
    with session.services.store.read() as uow:
        found = read_doubts(uow, project_id, limit=limit)
    if as_json:
        session.show_json([{**_describe_doubt(one), "task_ids": list(one.task_ids)} for one in found])
        return
    rows = [
        {
            **_describe_doubt(one),
            "page": task_page(session.services, project_id, one.task_ids[0]) if one.task_ids else "",
        }
        for one in found
    ]
    session.show(rows, as_json=False, nothing="Nothing is in doubt; `spanloop labels audit` looks.")


def _describe_doubt(one: StandingDoubt) -> dict[str, Any]:
    return {
        "rank": one.rank,
        "kind": one.kind,
        "text": one.text[one.span.start : one.span.end][:SHOWN_CHARACTERS],
        "start": one.span.start,
        "end": one.span.end,
        "label": None if one.kind == "missing" else one.span.label,
        "suggested": one.suggested,
        "suspicion": round(one.suspicion, 3),
    }


def describe_agreement(
    measured: Agreement, names: dict[int, str], tasks: dict[int, list[int]], *, limit: int
) -> dict[str, Any]:
    """The agreement with people by name and texts by their tasks."""
    return {
        "overall": {
            "texts": measured.texts,
            "annotators": measured.annotators,
            "f1": measured.f1,
            "alpha": measured.alpha,
        },
        "pairs": [
            {
                "first": names.get(pair.first, str(pair.first)),
                "second": names.get(pair.second, str(pair.second)),
                "texts": pair.texts,
                "f1": pair.f1,
                "alpha": pair.alpha,
            }
            for pair in measured.pairs
        ],
        "labels": [
            {"label": one.label, "spans": one.spans, "f1": one.f1, "alpha": one.alpha} for one in measured.labels
        ],
        "ask_again": [
            {
                "tasks": ", ".join(map(str, tasks.get(ask.text_id, []))),
                "f1": ask.f1,
                "outvoted": ", ".join(names.get(person, str(person)) for person in ask.outvoted),
            }
            for ask in measured.ask_again[:limit]
        ],
    }
