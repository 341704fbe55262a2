"""`spanloop simulate`: gold data plays the annotator, so that the whole loop can be watched and measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from config.errors import InvalidInput
from ml_backend.bootstrap import Services
from ml_backend.cli.project import Assignments, parse_assignments
from ml_backend.cli.session import session_of
from ml_backend.projects import create, plan_project
from ml_backend.simulation.curves import draw
from ml_backend.simulation.display import needed_table, open_display, results_table, summary_table
from ml_backend.simulation.plan import SimulationPlan, make_plan
from ml_backend.simulation.play import Display
from ml_backend.simulation.report import Report
from ml_backend.simulation.served import ServedPipelines
from ml_backend.simulation.simulate import simulate as play_simulation
from ml_backend.simulation.stage import LiveStage, MakeProject
from ml_backend.simulation.watch import Patience
from ml_backend.simulation.workers import simulate_offline
from training.policy import ProjectSettings
from training.store.tables.projects import Project

INTERRUPTED = 130


def simulate(
    context: typer.Context,
    pool: Annotated[Path, typer.Option(help="Texts with their right spans, to be annotated.")],
    test: Annotated[Path, typer.Option(help="Texts with their right spans, to score what is served; never imported.")],
    report: Annotated[Path, typer.Option(help="JSON file for the figures, written after each version.")],
    budget: Annotated[int, typer.Option(help="Annotations to make in each project.", min=1)] = 300,
    batch: Annotated[int, typer.Option(help="Annotations after which a training run starts.", min=1)] = 50,
    project: Annotated[str, typer.Option(help="Name of the projects; needed unless offline.")] = "",
    strategies: Annotated[str, typer.Option(help="What to compare; see docs/simulate.md.")] = "uncertainty,random",
    seeds: Annotated[str, typer.Option(help="Whole numbers: order of the pool, split and training.")] = "1",
    language: Annotated[str, typer.Option(help="Language of the texts.")] = "en",
    base_model: Annotated[str, typer.Option(help="spaCy pipeline to start from, or blank:LANG.")] = "",
    labels: Annotated[Path | None, typer.Option(help="Taxonomy file; unset: the labels of the pool.")] = None,
    idle_seconds: Annotated[float, typer.Option(help="Seconds without any change before giving up.", min=1)] = 300.0,
    offline: Annotated[bool, typer.Option("--offline", help="In this process, without a system or Label Studio.")] = (
        False
    ),
    growth: Annotated[float, typer.Option(help="Offline: by this factor annotations grow from run to run.")] = 1.0,
    gate: Annotated[bool, typer.Option(help="Offline: whether a version must pass its gate to serve.")] = True,
    clusters: Annotated[bool, typer.Option(help="Offline: whether what comes up is spread over clusters.")] = True,
    workers: Annotated[int, typer.Option(help="Offline: processes at once.", min=1)] = 1,
    assignments: Assignments = None,
) -> None:
    """Play the annotator against the running system, or offline, and report what each version scores."""
    session = session_of(context)
    services = session.services
    if not offline:
        _refuse_offline_options(project, growth=growth, gate=gate, clusters=clusters, workers=workers)
    plan = make_plan(
        name=project or "offline",
        pool=pool,
        test=test,
        labels=labels,
        budget=budget,
        batch=batch,
        strategies=read_list(strategies),
        seeds=read_numbers(seeds),
        language=language,
        base_model=base_model,
        max_text_chars=services.settings.max_text_chars,
        growth=growth,
        gate=gate,
        clusters=clusters,
        settings=parse_assignments(assignments or []),
        offline=offline,
    )
    if offline:
        run_offline(plan, report, console=session.out, workers=workers)
    else:
        run_simulation(services, plan, report, console=session.out, idle_seconds=idle_seconds)


def _refuse_offline_options(project: str, *, growth: float, gate: bool, clusters: bool, workers: int) -> None:
    if not project:
        raise InvalidInput("--project must name the projects; only with --offline there are none to be named")
    if growth != 1.0 or not gate or not clusters or workers != 1:
        raise InvalidInput(
            "--growth, --no-gate, --no-clusters and --workers need --offline: a running system does as it is set"
        )


def run_offline(plan: SimulationPlan, report_file: Path, *, console: Console, workers: int) -> Report:
    """Play the plan in this process, or in some of its own; what the report holds already is not done again."""
    report = Report(report_file, plan.describe())
    with _watched(plan, report, console) as display:
        simulate_offline(plan, report, display=display, workers=workers)
    return report


@contextmanager
def _watched(plan: SimulationPlan, report: Report, console: Console) -> Iterator[Display]:
    """Shows a simulation and, however it ends, what came of it; Ctrl-C ends it with the report so far."""
    for note in plan.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    try:
        with open_display(console) as display:
            yield display
    except KeyboardInterrupt:
        console.print(f"Interrupted; the report so far is in {report.path}.", markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        found = report.to_json()
        console.print(results_table(found["runs"]))
        console.print(summary_table(found["summary"]))
        if found["summary"]["full_data_f1"]["seeds"]:
            console.print(needed_table(found["summary"]))
    page, picture = draw(found, report.path)
    console.print(f"The report is in {report.path}, its curves in {page} and {picture}.", markup=False, soft_wrap=True)


def run_simulation(
    services: Services, plan: SimulationPlan, report_file: Path, *, console: Console, idle_seconds: float = 300.0
) -> Report:
    """Play the plan against the running system; Ctrl-C ends it with the report so far."""
    settings = services.settings
    patience = Patience(idle_seconds=idle_seconds, total_seconds=settings.training_timeout_seconds)
    report = Report(report_file, plan.describe())
    report.read_held()  # an older report goes, any other file is refused
    with _watched(plan, report, console) as display, ServedPipelines(settings) as served:
        served.check()
        stage = LiveStage(services.store, services.label_studio, served, make_project=make_project_with(services))
        play_simulation(plan, stage, report, display=display, patience=patience)
    return report


def make_project_with(services: Services) -> MakeProject:
    """How projects are made: as `spanloop project create` makes them."""

    def make(title: str, plan: SimulationPlan, settings: ProjectSettings) -> Project:
        wanted = plan_project(plan.taxonomy, language=plan.language, base_model=plan.base_model, settings=settings)
        return create(services, title, wanted)

    return make


def read_list(value: str) -> list[str]:
    """The words between commas."""
    return [word.strip() for word in value.split(",") if word.strip()]


def read_numbers(value: str) -> list[int]:
    """The whole numbers between commas. Raises InvalidInput."""
    words = read_list(value)
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise InvalidInput(f"seeds {value!r} must be whole numbers with commas between them, like 1,2")
    return [int(word) for word in words]
