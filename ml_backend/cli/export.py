"""`spanloop export`: verified texts become files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ml_backend.bootstrap import Services
from ml_backend.cli.session import AsJson, ProjectId, session_of
from ml_backend.transfers import export_texts
from training.exports.examples import NOT_HELD_FILE
from training.exports.export import WHOLE, ExportReport
from training.exports.writing import ExportFormat
from training.splits import Part

PARTS = ", ".join((*Part, WHOLE))


def export(
    context: typer.Context,
    to: Annotated[ExportFormat, typer.Option("--format", help="What to write.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that is new or empty.")],
    project_id: ProjectId = None,
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="PART", help=f"One of {PARTS} (in one file); unset: each part in its own."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the verified texts of a project to files, with a data card."""
    session = session_of(context)
    project = session.find_project(project_id)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=session.err, transient=True, disable=not session.err.is_terminal) as progress:
        bar = progress.add_task("Exporting", total=count_texts(session.services, project.id, part))
        report = export_texts(
            session.services,
            project,
            to,
            out,
            part=part,
            on_progress=lambda texts: progress.update(bar, completed=texts),
        )
    if as_json:
        session.show_json({"project": project.id, "format": to.value, **asdict(report)})
    else:
        session.say(summarize(report))


def count_texts(services: Services, project_id: int, part: str | None) -> int:
    """How many texts an export of this part will hold, as things stand."""
    with services.store.read() as uow:
        counts = uow.examples.count(project_id)
    return counts.verified if part in (None, WHOLE) else int(getattr(counts, part, 0))


def summarize(report: ExportReport) -> str:
    """What was written, in a sentence or two."""
    parts = ", ".join(f"{name} {texts}" for name, texts in sorted(report.parts.items()))
    what = f"Wrote {report.texts} texts ({parts}) with {report.spans} spans to {report.folder}."
    if not report.not_held_spans and not report.not_held_texts:
        return what
    return (
        f"{what} What does not fit the format in full is listed in {report.folder / NOT_HELD_FILE}; "
        f"spans: {report.not_held_spans}, whole texts: {report.not_held_texts}."
    )
