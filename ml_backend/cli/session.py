"""What every command works with: the services, and the two places it writes to."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.errors import ConfigurationError
from config.settings import Settings, load_settings

if TYPE_CHECKING:
    from ml_backend.bootstrap import Services
    from training.store.tables.projects import Project

Row = Mapping[str, Any]
SHORT_CELL = 20
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ProjectId = Annotated[
    int | None,
    typer.Option("--project", metavar="ID", help="The project's id; may be left out where there is only one."),
]


@dataclass
class Session:
    """One call of the command line. `services` are made when a command first asks for them."""

    given: Services | None = None
    debug: bool = False
    out: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True))

    @cached_property
    def services(self) -> Services:
        """The services of the settings that hold here."""
        if self.given is not None:
            return self.given
        from ml_backend.bootstrap import Services  # loads spaCy, which takes a second or two

        return Services(self.settings)

    @property
    def has_store(self) -> bool:
        """Whether the command has used the training store."""
        return "services" in self.__dict__ and "store" in self.services.__dict__

    @cached_property
    def settings(self) -> Settings:
        """The settings that hold here."""
        return self.given.settings if self.given is not None else load_settings()

    def say(self, sentence: str) -> None:
        """Tell the user what happened."""
        self.out.print(sentence, markup=False)

    def warn(self, sentence: str) -> None:
        """Tell the user what went wrong, beside the output proper."""
        self.err.print(sentence, markup=False)

    def show(self, rows: Sequence[Row], *, as_json: bool, nothing: str) -> None:
        """List rows as a table, or as JSON; where there are none, say so in a sentence."""
        if as_json:
            self.show_json(rows)
        elif not rows:
            self.say(nothing)
        else:
            self.out.print(_table(rows))

    def show_pairs(self, title: str, pairs: Row) -> None:
        """Show one thing: its fields below its title."""
        table = Table.grid(padding=(0, 2))
        for name, value in pairs.items():
            table.add_row(f"  {name.replace('_', ' ')}", Text(_cell(value), overflow="fold"))
        self.out.print(title, style="bold", markup=False)
        self.out.print(table)

    def show_json(self, value: Any) -> None:
        """Print a value as JSON."""
        self.out.print(json.dumps(value, default=_as_json, indent=2, ensure_ascii=False), markup=False)

    def find_project(self, project_id: int | None) -> Project:
        """The project of this id, or the only one there is. Raises NotFound, InvalidInput."""
        with self.services.store.read() as uow:
            return uow.projects.choose(project_id)


def session_of(context: typer.Context) -> Session:
    """The session that this command runs in."""
    session = context.find_root().obj
    if not isinstance(session, Session):
        raise ConfigurationError("commands run within `spanloop`")
    return session


def who() -> str:
    """Who calls, as it is noted with what they change."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container's user may have no name
        return "cli"


def shown_time(moment: datetime | None) -> str:
    """A moment as a person reads it, in the machine's own time zone."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        number = all(isinstance(row[name], int | float) for row in rows)
        # Where a table is too wide, sentences give way before figures, and what is cut shows that it is.
        short = all(len(_cell(row[name])) <= SHORT_CELL for row in rows)
        table.add_column(
            name.replace("_", " "),
            justify="right" if number else "left",
            overflow="ellipsis" if short else "fold",
            no_wrap=short,
        )
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{round(value, 3):g}"
    if isinstance(value, datetime):
        return shown_time(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return str(value)


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
