"""`spanloop`: finds the command, runs it, and turns an error into one sentence and an exit code."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
import typer.main

from config.errors import ConfigurationError, SpanloopError, StoreUnavailable
from config.log import set_up_logging
from config.settings import load_settings
from ml_backend.cli.session import Session

if TYPE_CHECKING:
    from ml_backend.bootstrap import Services

CRASH_LOG = "cli.log"
CRASHED = 1
# Where each command is: a function, or a group. Loaded when it is called, since spaCy alone takes a second or two.
COMMANDS = {
    "up": "ml_backend.cli.up:up",
    "project": "ml_backend.cli.project:app",
    "import": "ml_backend.cli.importing:import_file",
    "export": "ml_backend.cli.export:export",
    "train": "ml_backend.cli.train:train",
    "runs": "ml_backend.cli.runs:app",
    "models": "ml_backend.cli.models:app",
    "labels": "ml_backend.cli.labels:app",
    "sync": "ml_backend.cli.sync:app",
    "tokens": "ml_backend.cli.tokens:app",
    "db": "ml_backend.cli.db:app",
    "doctor": "ml_backend.cli.doctor:doctor",
    "simulate": "ml_backend.cli.simulate:simulate",
    "demo": "ml_backend.cli.demo:demo",
}


class CommandGroup(typer.core.TyperGroup):
    """The commands, each loaded when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (Typer fixes the signature)
        """The names of the commands, in the order of the help page."""
        return [name for name, place in COMMANDS.items() if find_spec(place.partition(":")[0])]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(importlib.import_module(module), name)
        if not isinstance(found, typer.Typer):
            command = typer.Typer(add_completion=False)
            command.command(cmd_name)(found)
            found = command
        return _named(typer.main.get_command(found), cmd_name)


def _named(command: Any, name: str) -> Any:
    command.name = name
    return command


app = typer.Typer(
    name="spanloop",
    cls=CommandGroup,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="An active-learning loop for entity spans around Label Studio.",
)


def _print_version(value: bool) -> None:  # Typer calls it with the option's value
    if value:
        typer.echo(f"spanloop {version('spanloop')}")
        raise typer.Exit


@app.callback()
def spanloop(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything, and show the traceback of a crash.")] = False,
) -> None:
    """An active-learning loop for entity spans around Label Studio."""
    session: Session = context.obj
    session.debug = debug
    if debug:
        logging.getLogger().setLevel(logging.DEBUG)


def run(arguments: Sequence[str], services: Services | None = None) -> int:
    """Run one command; its exit code. Everything that went wrong is one sentence on standard error."""
    session = Session(services)
    try:
        typer.main.get_command(app)(args=list(arguments), prog_name="spanloop", obj=session)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except SpanloopError as error:
        session.warn(error.message)
        return error.exit_code
    except BrokenPipeError:
        # Who read our output has gone; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CRASHED
    except Exception as error:  # noqa: BLE001 (the edge of a command)
        fault = _explain_fault(session, error)
        if fault is not None:
            session.warn(fault.message)
            return fault.exit_code
        session.warn(_tell_of_crash(error, debug=session.debug))
        return CRASHED
    return 0


def _explain_fault(session: Session, error: Exception) -> StoreUnavailable | None:
    """What the command's database lacks, where that is what the error comes from."""
    from training.store.database import StoreFault  # loads SQLAlchemy
    from training.store.migrate import explain_fault

    if not isinstance(error, StoreFault) or not session.has_store:
        return None
    told = explain_fault(session.services.store.engine)
    return None if told is None else StoreUnavailable(told)


def _tell_of_crash(error: Exception, *, debug: bool) -> str:
    if debug:
        return "".join(traceback.format_exception(error)).rstrip()
    kept = None
    with suppress(OSError, ConfigurationError):
        kept = _keep_crash(error, load_settings().data_dir)
    place = f"where it happened is kept in {kept}; " if kept else ""
    return f"Something went wrong that was not foreseen ({type(error).__name__}); {place}`spanloop --debug …` shows it."


def _keep_crash(error: Exception, data_dir: Path) -> Path | None:
    # The error's own message stays out: it may quote a text or a secret.
    if not data_dir.is_dir():
        return None
    folder = data_dir / "logs"
    folder.mkdir(exist_ok=True)
    frames = "".join(traceback.format_tb(error.__traceback__))
    with (folder / CRASH_LOG).open("a", encoding="utf-8") as log:
        log.write(f"{datetime.now(UTC).isoformat()} {type(error).__name__}\n{frames}\n")
    return folder / CRASH_LOG


def main() -> None:
    """The program `spanloop`."""
    set_up_logging(level="WARNING", as_json=False)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
