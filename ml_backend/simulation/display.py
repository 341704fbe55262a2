"""A simulation as a person watches it: bars on a terminal, plain lines elsewhere, and a table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ml_backend.simulation.play import Display
from ml_backend.simulation.report import Outcome, SimulatedRun, VersionRow
from ml_backend.simulation.summary import RANDOM, SHARES


@contextmanager
def open_display(console: Console) -> Iterator[Display]:
    """Bars where the console is a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield PlainDisplay(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield BarDisplay(progress)


class PlainDisplay:
    """One line an event; a wait is told once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._waited_for = ""

    def begin(self, run: SimulatedRun, *, budget: int) -> None:
        """Say which project begins."""
        self._say(run, f"project {run.project_id} ({run.title}), budget {budget}")
        for note in run.notes:
            self._say(run, note)

    def imported(self, run: SimulatedRun, count: int, total: int) -> None:
        """Say so once all is in."""
        if count == total:
            self._say(run, f"{total} texts imported")

    def annotated(self, run: SimulatedRun) -> None:
        """Say so every 25 texts."""
        if run.annotations and run.annotations % 25 == 0:
            self._say(run, f"{run.annotations} annotated")

    def waits(self, run: SimulatedRun, what: str) -> None:
        """Say what is waited for, once."""
        if what != self._waited_for:
            self._waited_for = what
            self._say(run, f"waiting for {what}")

    def version(self, run: SimulatedRun, row: VersionRow) -> None:
        """Say how a version does."""
        self._say(run, describe_row(row))

    def end(self, run: SimulatedRun) -> None:
        """Say how the run ended."""
        self._say(run, f"{run.state.value} after {run.annotations} annotations and {run.wall_seconds:.0f} s")

    def _say(self, run: SimulatedRun, sentence: str) -> None:
        self._console.print(f"[{run.strategy} {run.seed}] {sentence}", markup=False, highlight=False, soft_wrap=True)


class BarDisplay:
    """A bar for each project, with its version, F1 and share of untouched pre-labels."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[tuple[str, int], TaskID] = {}

    def begin(self, run: SimulatedRun, *, budget: int) -> None:
        """Add a bar."""
        self._bars[run.strategy, run.seed] = self._progress.add_task(
            f"{run.strategy} {run.seed}", total=budget, status="sets up"
        )
        for note in run.notes:
            self._progress.console.print(note, markup=False, highlight=False)

    def imported(self, run: SimulatedRun, count: int, total: int) -> None:
        """Show how many texts are in."""
        self._show(run, f"imports {count}/{total}")

    def annotated(self, run: SimulatedRun) -> None:
        """Move the bar on."""
        self._progress.update(self._bar(run), completed=run.annotations)
        self._show(run, "annotates")

    def waits(self, run: SimulatedRun, what: str) -> None:
        """Show what is waited for."""
        self._show(run, f"waits for {what}")

    def version(self, run: SimulatedRun, row: VersionRow) -> None:
        """Print the version above the bars."""
        sentence = f"[{run.strategy} {run.seed}] {describe_row(row)}"
        self._progress.console.print(sentence, markup=False, highlight=False)

    def end(self, run: SimulatedRun) -> None:
        """Stop the bar."""
        if (run.strategy, run.seed) in self._bars:
            self._show(run, run.state.value)
            self._progress.stop_task(self._bar(run))

    def _bar(self, run: SimulatedRun) -> TaskID:
        return self._bars[run.strategy, run.seed]

    def _show(self, run: SimulatedRun, doing: str) -> None:
        latest = run.latest
        figures = ""
        if latest is not None:
            accepted = run.effort_since_last_row().accepted_unchanged
            figures = f"{latest.served}  F1 {latest.scores.f1:.3f}  untouched {_percent(accepted)}  "
        self._progress.update(self._bar(run), status=f"{figures}{doing}")


def describe_row(row: VersionRow) -> str:
    """A version, or a run without one, in a line."""
    what = {
        Outcome.BASE: f"{row.version} serves from the start",
        Outcome.LIVE: f"{row.version} went live",
        Outcome.SUPERSEDED: f"{row.version} went live, and a newer one after it",
        Outcome.REFUSED: f"{row.version} was refused by its gate",
        Outcome.NOT_PROMOTED: f"{row.version} passed its gate and was not put live",
        Outcome.FAILED: "a training run failed",
        Outcome.CANCELLED: "a training run was cancelled",
    }[row.outcome]
    figures = f"at {row.annotations} annotations; {row.served} scores F1 {row.scores.f1:.3f}"
    if row.effort.texts:
        figures += f", untouched before it {_percent(row.effort.accepted_unchanged)}"
    reasons = f" ({' '.join(row.reasons)})" if row.reasons and row.outcome is not Outcome.LIVE else ""
    return f"{what} {figures}{reasons}"


def results_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Every row of every run of a report: what it took, and what it brought."""
    table = _table(
        words=("strategy", "seed", "version", "outcome"), figures=("annotations", "F1", "unchanged", "edits a text")
    )
    for run in runs:
        for row in run["versions"]:
            edits = row["edits_per_text"]
            table.add_row(
                run["strategy"],
                str(run["seed"]),
                row["version"] or "–",
                row["outcome"],
                str(row["annotations"]),
                f"{row['f1']:.3f}",
                _percent(row["accepted_unchanged"]),
                "–" if edits is None else f"{edits:.2f}",
            )
    return table


def summary_table(summary: Mapping[str, Any]) -> Table:
    """What each strategy comes to: the area under its curve, its last F1, and what it cost. ± is the 95 % interval."""
    table = _table(words=("strategy",), figures=("area", "above random", "F1 at the end", "spans", "edits"))
    for name, found in summary["strategies"].items():
        table.add_row(
            name,
            _figure(found["area"], ".3f"),
            "–" if name == RANDOM else _figure(found["area_above_random"], "+.3f"),
            _figure(found["f1_at_end"], ".3f"),
            *(f"{found[what]['mean']:.0f}" for what in ("spans", "edits")),
        )
    return table


def needed_table(summary: Mapping[str, Any]) -> Table:
    """The annotations that each strategy needed for shares of the full-data F1, and how many seeds came to it."""
    full = _figure(summary["full_data_f1"], ".3f")
    table = _table(words=("annotations for",), figures=tuple(f"{share} %" for share in SHARES))
    table.caption, table.caption_justify = f"of the F1 with the whole pool, {full}", "left"
    for name, found in summary["strategies"].items():
        table.add_row(name, *(_needed(found["needed"][str(share)]) for share in SHARES))
    return table


def _needed(found: Mapping[str, Any]) -> str:
    seeds, missing = found["annotations"]["seeds"], found["not_reached"]
    some = f" ({seeds} of {seeds + missing} seeds)" if missing else ""
    return "not reached" if not seeds else _figure(found["annotations"], ".0f") + some


def _figure(found: Mapping[str, Any], form: str) -> str:
    if found["mean"] is None:
        return "–"
    half = "" if found["low"] is None else f" ± {format(found['high'] - found['mean'], form.lstrip('+'))}"
    return format(found["mean"], form) + half


def _table(*, words: Sequence[str], figures: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in words:
        table.add_column(column, no_wrap=True)
    for column in figures:
        table.add_column(column, justify="right", no_wrap=" " not in column)
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
