"""`spanloop models`: versions, and which of them is live."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ml_backend.bootstrap import Services, utc_now
from ml_backend.cli import ab
from ml_backend.cli.bell import ring
from ml_backend.cli.figures import COMPARED, comparison_rows, figures_as_json, judge_in_words, show_figures
from ml_backend.cli.session import AsJson, ProjectId, session_of, who
from ml_backend.projects import task_page
from training.metrics.evaluation import Figure
from training.runs.judging import compare_versions
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.versions import registry

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List versions, and choose which one is live.")
app.add_typer(ab.app, name="ab")

Version = Annotated[str, typer.Argument(help="The version's name, number or id.")]
Reason = Annotated[
    str, typer.Option(help="Why; needed for a version that its gate refused, or that lacks a test the project wants.")
]


@app.command("list")
def list_models(context: typer.Context, project_id: ProjectId = None, as_json: AsJson = False) -> None:
    """List a project's versions, newest first."""
    session = session_of(context)
    project = session.find_project(project_id)
    with session.services.store.read() as uow:
        found = [summarize_model(model, project) for model in uow.models.of_project(project.id)]
    rows = found if as_json else [_in_one_line(row) for row in found]
    session.show(rows, as_json=as_json, nothing=f"Project {project.id} has no version.")


@app.command()
def show(context: typer.Context, version: Version, project_id: ProjectId = None, as_json: AsJson = False) -> None:
    """Show a version: its figures by label, its verdict, and when it was live."""
    session = session_of(context)
    project = session.find_project(project_id)
    with session.services.store.read() as uow:
        model = uow.models.resolve(project.id, version)
        changes = [change for change in uow.models.activations(project.id) if change.model_id == model.id]
    activations = [{"live_since": c.activated_at, "by": c.by, "reason": c.reason} for c in changes]
    link = functools.partial(task_page, session.services, project.id)
    if as_json:
        figures = figures_as_json(model.metrics or {}, link)
        verdict = {"verdict": model.verdict} if model.verdict else {}
        session.show_json({**describe_model(model, project), **verdict, **figures, "activations": activations})
        return
    for title, fields in describe_model(model, project).items():
        if fields:
            session.show_pairs(title, fields)
    show_figures(session, model.metrics or {}, link)
    if activations:
        session.say("")
        session.show(activations, as_json=False, nothing="")


@app.command()
def history(
    context: typer.Context,
    figure: Annotated[Figure, typer.Option(help="Which figure.")] = Figure.F1_SCORE,
    label: Annotated[str, typer.Option(help="A label; unset: over all labels.")] = "",
    project_id: ProjectId = None,
    as_json: AsJson = False,
) -> None:
    """Show one figure of all versions over time, each measured on the test texts of its day."""
    session = session_of(context)
    project = session.find_project(project_id)
    with session.services.store.read() as uow:
        rows = uow.models.series(project.id, figure, label)
    shown = [
        {"version": version, figure.value: row.value, "spans": row.support, "measured": row.recorded_at}
        for row, version in rows
    ]
    session.show(shown, as_json=as_json, nothing=f"No version of project {project.id} has this figure yet.")


@app.command()
def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="A version's name, number or id.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another version's.")],
    project_id: ProjectId = None,
    as_json: AsJson = False,
) -> None:
    """Measure two versions on the present test texts, side by side, and say how sure their difference is."""
    session = session_of(context)
    project = session.find_project(project_id)
    a, b = (find_model(session.services, project.id, name) for name in (first, second))
    found = compare_versions(session.services.store, session.services.artefacts, a, b)
    rows = comparison_rows(found)
    if as_json:
        names = {"a": a.version, "b": b.version, "texts": found.a.scores.texts, "spans": found.a.scores.support}
        session.show_json({**names, "rows": rows})
        return
    texts, spans = found.a.scores.texts, found.a.scores.support
    session.say(f"A is {a.version}, B is {b.version}; {texts} test texts with {spans} spans.\n")
    for columns in COMPARED:
        session.show([{name: row[name] for name in columns} for row in rows], as_json=False, nothing="")
        session.say("")
    session.say(judge_in_words(found, a.version, b.version))


@app.command()
def activate(context: typer.Context, version: Version, project_id: ProjectId = None, reason: Reason = "") -> None:
    """Put a version live; Label Studio follows as soon as the first fresh predictions are pushed."""
    session = session_of(context)
    project = session.find_project(project_id)
    model = find_model(session.services, project.id, version)
    changed = put_live(session.services, model, reason=reason)
    session.say(f"{model.version} {'is live now' if changed else 'was live already'} in project {project.id}.")


@app.command()
def rollback(context: typer.Context, project_id: ProjectId = None, reason: Reason = "") -> None:
    """Put the version live that was live before; again, the one before that."""
    session = session_of(context)
    project = session.find_project(project_id)
    model = roll_back(session.services, project.id, reason=reason)
    session.say(f"{model.version} is live again in project {project.id}.")


def find_model(services: Services, project_id: int, name: str) -> MLModel:
    """The project's version of this name, number or id. Raises NotFound."""
    with services.store.read() as uow:
        return uow.models.resolve(project_id, name)


def put_live(services: Services, model: MLModel, *, reason: str) -> bool:
    """Make a version the live one and ring for fresh predictions; False where it was that already.

    Raises ArtefactCorrupt where its files are not whole, before anything changes.
    """
    registry.check_whole(model, services.artefacts)
    with services.store.write() as uow:
        done = registry.activate(uow, model.project_id, model.id, by=who(), reason=reason, now=utc_now())
        uow.commit()
    ring(services, "refresh", model.project_id)
    return done is not None


def roll_back(services: Services, project_id: int, *, reason: str) -> MLModel:
    """Go back to the version that was live before, and ring for its predictions. Raises NotFound, ArtefactCorrupt."""
    with services.store.read() as uow:
        before = registry.find_previous(uow, project_id)
    registry.check_whole(before, services.artefacts)
    with services.store.write() as uow:
        done = registry.rollback(uow, project_id, by=who(), reason=reason, now=utc_now())
        model = uow.models.get(done.model_id)
        uow.commit()
    ring(services, "refresh", project_id)
    return model


def summarize_model(model: MLModel, project: Project) -> dict[str, Any]:
    """A version in one line."""
    return {
        "version": model.version,
        "live": model.is_production,
        "challenger": model.is_active and not model.is_production,
        "announced": model.id == project.announced_model_id,
        "f1": model.f1_score,
        "precision": model.precision,
        "recall": model.recall,
        "verdict": (model.verdict or {}).get("kind"),
        "trained": model.trained_at or model.created_at,
    }


def _in_one_line(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a narrow terminal: one column says what the version is just now."""
    roles = [role for role in ("live", "challenger", "announced") if row[role]]
    kept = {name: value for name, value in row.items() if name not in ("version", "live", "challenger", "announced")}
    return {"version": row["version"], "is": ", ".join(roles), **kept}


def describe_model(model: MLModel, project: Project) -> dict[str, dict[str, Any]]:
    """A version, by topic."""
    verdict = model.verdict or {}
    return {
        "version": {
            **summarize_model(model, project),
            "id": model.id,
            "base": model.spec.get("base"),
            "size_bytes": model.size_bytes,
            "path": model.path,
        },
        "verdict": {"kind": verdict["kind"], "reasons": " ".join(verdict["reasons"]), **_gate_figures(verdict)}
        if verdict
        else {},
    }


def _gate_figures(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What a verdict rests on, in one line each; older verdicts hold less."""
    figures = verdict.get("figures", {})
    return {name: figures[name] for name in ("gain", "gain_interval", "probability_better") if name in figures}
