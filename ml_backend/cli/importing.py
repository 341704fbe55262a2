"""`spanloop import`: texts from a file become tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ml_backend.bootstrap import Services, utc_now
from ml_backend.cli.bell import ring
from ml_backend.cli.session import AsJson, ProjectId, session_of
from sync.importing import ImportReport, check_rows, import_rows
from training.formats.read import READERS, read_rows, unit_of
from training.formats.rejects import RejectsFile, rejects_path
from training.formats.rows import RejectedRow

NOTHING_USABLE = 2


def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help=f"A file that ends in {', '.join(READERS)}.")],
    project_id: ProjectId = None,
    verified: Annotated[
        bool, typer.Option("--verified", help="The spans are right: make annotations of them, not proposals.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", metavar="FILE", help="Where rows that cannot be used go; unset: beside the file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring texts into a project; what is there already is left out, a bad line is reported."""
    session = session_of(context)
    project = session.find_project(project_id)

    def tell(rejected: RejectedRow) -> None:
        rejects_file.write(rejected)
        session.warn(f"{file.name}, {unit_of(file)} {rejected.line}: {rejected.reason}")

    with RejectsFile(rejects or rejects_path(file)) as rejects_file, _progress(session.err, file) as on_progress:
        report = import_texts(
            session.services,
            project.id,
            file,
            verified=verified,
            dry_run=dry_run,
            on_progress=on_progress,
            on_rejected=tell,
        )
    if as_json:
        session.show_json({"project": project.id, **asdict(report)})
    else:
        session.say(summarize(report, project.id, dry_run=dry_run, unit=unit_of(file)))
    if report.rejected:
        session.warn(f"What could not be used is listed in {rejects_file.path}.")
    if report.rejected and not report.imported and not report.known:
        raise typer.Exit(NOTHING_USABLE)


def import_texts(
    services: Services,
    project_id: int,
    file: Path,
    *,
    verified: bool,
    dry_run: bool,
    on_progress: Callable[[int], None],
    on_rejected: Callable[[RejectedRow], None],
) -> ImportReport:
    """Import a file's rows and ring for their pre-labels. Raises NotFound, InvalidInput, LabelStudioError."""
    rows = read_rows(file, max_chars=services.settings.max_text_chars)
    if dry_run:
        return check_rows(services.store, project_id, rows, verified=verified, clock=utc_now, on_rejected=on_rejected)
    try:
        return import_rows(
            services.store,
            services.label_studio,
            project_id,
            rows,
            verified=verified,
            clock=utc_now,
            on_progress=on_progress,
            on_rejected=on_rejected,
        )
    finally:
        ring(services, "refresh", project_id)


@contextmanager
def _progress(console: Console, file: Path) -> Iterator[Callable[[int], None]]:
    """A bar over the file's lines while the import runs."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Importing", total=_count_lines(file))
        yield lambda line: progress.update(bar, completed=line)


def _count_lines(file: Path) -> int | None:
    if unit_of(file) != "line":
        return None
    try:
        with file.open("rb") as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b"")) + 1
    except OSError:
        return None  # the reader says what is wrong with the file


def summarize(report: ImportReport, project_id: int, *, dry_run: bool, unit: str = "line") -> str:
    """What became of the rows, in a sentence."""
    what = f"{_count(report.imported, 'text')} {'would go' if dry_run else 'went'} into project {project_id}"
    if report.proposals:
        what += f", {report.proposals} with proposed spans"
    if report.verified:
        what += f", {report.verified} of them verified"
    known = f"{report.known} {'was' if report.known == 1 else 'were'} there already"
    if report.spans_added:
        known += f", {report.spans_added} of which {'would get' if dry_run else 'got'} the file's spans"
    rest = [
        known if report.known else "",
        f"{_count(len(report.rejected), unit)} could not be used" if report.rejected else "",
    ]
    return "; ".join([what, *filter(None, rest)]) + "."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
