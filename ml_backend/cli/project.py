"""`spanloop project`: projects, made, adopted, looked at and set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import InvalidInput
from ml_backend import projects
from ml_backend.bootstrap import Services, utc_now
from ml_backend.cli.bell import ring
from ml_backend.cli.session import AsJson, session_of
from sync.reconcile import reconcile
from training.formats.read import collect_labels
from training.policy import parse_settings
from training.quality.assess import read_outlook
from training.quality.outlook import LEAST_GAIN
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork
from training.taxonomy import Taxonomy, load_taxonomy, taxonomy_of

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, adopt, look at and set projects.")

Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A project setting; may be given several times."),
]
Language = Annotated[str, typer.Option(help="Language of the texts, e.g. en or de.")]
BaseModel = Annotated[str, typer.Option(metavar="NAME", help="What spacy.load takes, or blank:LANG.")]
ProjectArgument = Annotated[int, typer.Argument(metavar="ID", help="The project's id in Label Studio.")]


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The project's name, 3 characters or more.")],
    labels: Annotated[Path | None, typer.Option(help="Taxonomy file (YAML); unset: the shipped labels.")] = None,
    labels_from: Annotated[Path | None, typer.Option(help="Take the labels from this file's spans.")] = None,
    language: Language = "en",
    base_model: BaseModel = "",
    assignments: Assignments = None,
) -> None:
    """Make a project in Label Studio, connected, with version 0 live; safe to run again."""
    session = session_of(context)
    settings = parse_settings(parse_assignments(assignments or []))
    taxonomy = choose_taxonomy(labels, labels_from)
    plan = projects.plan_project(taxonomy, language=language, base_model=base_model, settings=settings)
    made = projects.create(session.services, name, plan)
    ring(session.services, "refresh", made.id)
    session.say(
        f"Project {made.id}, {made.title!r}, is connected: {len(made.labels)} labels, {made.language}, "
        f"base model {made.base_model}. {projects.HOW_TO_LABEL}: {projects.page_of(session.services, made.id)}"
    )


@app.command()
def adopt(
    context: typer.Context,
    project_id: ProjectArgument,
    language: Language = "en",
    base_model: BaseModel = "",
    assignments: Assignments = None,
) -> None:
    """Connect a project that is there in Label Studio, or mend its connection; its labelling config stays."""
    session = session_of(context)
    changes = parse_assignments(assignments or [])
    adopted = adopt_project(session.services, project_id, language=language, base_model=base_model, changes=changes)
    if (adopted.language, adopted.base_model) != (language, base_model or adopted.base_model):
        session.warn(f"It was known before: its language stays {adopted.language}, its base {adopted.base_model}.")
    session.say(
        f"Project {adopted.id}, {adopted.title!r}, is connected: {len(adopted.labels)} labels. "
        f"{projects.HOW_TO_LABEL}: {projects.page_of(session.services, adopted.id)}"
    )


def adopt_project(
    services: Services, project_id: int, *, language: str, base_model: str, changes: dict[str, str]
) -> Project:
    """Connect a project, take in what is in it already, and ring for its pre-labels."""
    settings = parse_settings(changes)
    plan = projects.plan_project(load_taxonomy(None), language=language, base_model=base_model, settings=settings)
    adopted = projects.adopt(services, project_id, plan)
    if changes:
        _change(services, project_id, changes)
    reconcile(services.store, services.label_studio, project_id, full=True, clock=utc_now)
    ring(services, "refresh", project_id)
    return adopted


@app.command("list")
def list_projects(context: typer.Context, as_json: AsJson = False) -> None:
    """List the projects."""
    session = session_of(context)
    with session.services.store.read() as uow:
        rows = [summarize_project(uow, project) for project in uow.projects.all()]
    session.show(rows, as_json=as_json, nothing="There is no project yet; `spanloop project create` makes one.")


@app.command()
def show(context: typer.Context, project_id: ProjectArgument, as_json: AsJson = False) -> None:
    """Show a project: its texts by part, what waits, its versions and its settings."""
    session = session_of(context)
    with session.services.store.read() as uow:
        found = describe_project(uow, uow.projects.get(project_id))
    if as_json:
        session.show_json(found)
        return
    for title, fields in found.items():
        session.show_pairs(title, fields)


@app.command()
def outlook(
    context: typer.Context,
    project_id: ProjectArgument,
    least_gain: Annotated[
        float, typer.Option(min=0, max=1, help="F1 that the next annotations must promise to be worth their time.")
    ] = LEAST_GAIN,
    as_json: AsJson = False,
) -> None:
    """Say whether more annotations pay: the learning curve, what the next 100 promise, and what they cost."""
    session = session_of(context)
    with session.services.store.read() as uow:
        found = asdict(read_outlook(uow, uow.projects.get(project_id), least_gain=least_gain))
    if as_json:
        session.show_json(found)
        return
    session.show(found.pop("points"), as_json=False, nothing="No run has registered a version yet.")
    advice = found.pop("advice")
    session.show_pairs("outlook", {name: value for name, value in found.items() if value is not None})
    session.say(f"{advice[0].upper()}{advice[1:]}.")


@app.command("set")
def set_settings(
    context: typer.Context,
    project_id: ProjectArgument,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="Settings, e.g. retrain_after=100.")],
) -> None:
    """Change settings of a project."""
    session = session_of(context)
    changes = parse_assignments(assignments)
    _change(session.services, project_id, changes)
    session.say(f"Project {project_id}: {', '.join(f'{key} is {value}' for key, value in changes.items())}.")


def _change(services: Services, project_id: int, changes: dict[str, str]) -> None:
    projects.change_settings(services.store, project_id, changes, label_studio=lambda: services.label_studio)


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """Settings by name from `key=value` words. Raises InvalidInput."""
    pairs = [assignment.partition("=") for assignment in assignments]
    wrong = [assignment for assignment, (key, sign, _) in zip(assignments, pairs, strict=True) if not key or not sign]
    if wrong:
        raise InvalidInput(f"{wrong[0]!r:.80} is no setting; write it as key=value, e.g. retrain_after=100")
    return {key.strip(): value.strip() for key, _, value in pairs}


def choose_taxonomy(labels: Path | None, labels_from: Path | None) -> Taxonomy:
    """The taxonomy of a file, of the labels in a file of texts, or the shipped one."""
    if labels and labels_from:
        raise InvalidInput("--labels and --labels-from both say which labels there are; give one of them")
    if labels_from:
        return taxonomy_of(collect_labels(labels_from), load_taxonomy(None))
    return load_taxonomy(labels)


def summarize_project(uow: UnitOfWork, project: Project) -> dict[str, Any]:
    """A project in one line."""
    tasks, finished = uow.texts.count_tasks(project.id)
    counts = uow.examples.count(project.id)
    live, run = uow.models.live(project.id), uow.runs.active(project.id)
    return {
        "id": project.id,
        "title": project.title,
        "language": project.language,
        "tasks": tasks,
        "annotated": finished,
        "verified": counts.verified,
        "live": live.version if live else None,
        "run": run.status if run else None,
    }


def describe_project(uow: UnitOfWork, project: Project) -> dict[str, dict[str, Any]]:
    """Everything that the store says of a project, by topic."""
    return {
        "project": {
            "id": project.id,
            "title": project.title,
            "language": project.language,
            "base_model": project.base_model,
            "labels": ", ".join(project.labels),
        },
        "tasks": _describe_tasks(uow, project),
        "examples": _describe_examples(uow, project),
        "versions": _describe_versions(uow, project),
        "problems": _count_problems(uow, project),
        "settings": parse_settings(project.settings).to_json(),
    }


def _describe_tasks(uow: UnitOfWork, project: Project) -> dict[str, int]:
    tasks, finished = uow.texts.count_tasks(project.id)
    announced = uow.models.get(project.announced_model_id) if project.announced_model_id else None
    unpushed = uow.texts.count_unpushed(project.id, announced.version) if announced else tasks - finished
    return {"all": tasks, "annotated": finished, "waiting": tasks - finished, "waiting_without_prelabel": unpushed}


def _describe_examples(uow: UnitOfWork, project: Project) -> dict[str, int]:
    counts = uow.examples.count(project.id)
    return {
        "verified": counts.verified,
        "train": counts.train,
        "dev": counts.dev,
        "test": counts.test,
        "set_aside": counts.set_aside,
        "new_since_last_run": counts.newly_verified,
        "unverified": counts.unverified,
    }


def _describe_versions(uow: UnitOfWork, project: Project) -> dict[str, Any]:
    live, run = uow.models.live(project.id), uow.runs.active(project.id)
    announced = uow.models.get(project.announced_model_id) if project.announced_model_id else None
    return {
        "live": live.version if live else None,
        "announced": announced.version if announced else None,
        "live_f1": live.f1_score if live else None,
        "run": f"{run.id} is {run.status}" if run else None,
    }


def _count_problems(uow: UnitOfWork, project: Project) -> dict[str, int]:
    return {
        "annotations_with_unlearnable_regions": len(uow.annotations.with_problems(project.id)),
        "tasks_without_usable_text": len(uow.texts.tasks_with_problems(project.id)),
        "conflicts": len(uow.examples.with_conflicts(project.id)),
        "texts_set_aside": len(uow.texts.set_aside(project.id)),
    }
