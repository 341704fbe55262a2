"""`spanloop doctor`: everything looked at, each finding with its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from ml_backend.cli.session import AsJson, Session, session_of
from ml_backend.doctor import examine
from sync.checkup import Finding, Level

SOMETHING_TO_DO = 1
MARKS = {Level.OK: ("✓", "green"), Level.NOTE: ("·", "yellow"), Level.PROBLEM: ("✗", "red")}


def doctor(
    context: typer.Context,
    project_id: Annotated[
        int | None, typer.Option("--project", metavar="ID", help="Look at this project only; unset: at all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at every part of the system; exits with 1 where something must be done."""
    session = session_of(context)
    findings = []
    for finding in examine(session.services, project_id):
        findings.append(finding)
        if not as_json:
            _tell(session, finding)
    if as_json:
        session.show_json([asdict(finding) for finding in findings])
    if count := count_problems(findings):
        if not as_json:
            session.say(f"{count} {'thing needs' if count == 1 else 'things need'} to be done.")
        raise typer.Exit(SOMETHING_TO_DO)


def count_problems(findings: Sequence[Finding]) -> int:
    """How many findings ask for something to be done."""
    return sum(finding.level is Level.PROBLEM for finding in findings)


def _tell(session: Session, finding: Finding) -> None:
    mark, colour = MARKS[finding.level]
    line = Text.assemble((f"{mark} ", colour), (f"{finding.subject}: ", "bold"), finding.found)
    session.out.print(line)
    if finding.remedy:
        session.out.print(Text(f"    → {finding.remedy}"))
