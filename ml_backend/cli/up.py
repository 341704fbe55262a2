"""`spanloop up`: the whole system with one command, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from config.errors import SpanloopError
from config.settings import Settings, load_settings
from ml_backend.supervisor.keeper import State
from ml_backend.supervisor.supervisor import Plan, Supervisor
from ml_backend.supervisor.system import plan_system

# Makes sure that there is a project with pre-labelled texts, tells what it does, and returns the address of its
# labelling page. Called with the settings of the running system.
FirstProject = Callable[[Settings, Callable[[str], None]], str]

MARKS = {State.WAITING: "…", State.STARTING: "…", State.READY: "✓", State.RESTARTING: "!", State.STOPPED: "–"}


def up() -> None:
    """Start Redis, Label Studio, the web process, the workers and the scheduler; Ctrl-C stops them all."""
    run_up(load_settings(), console=Console(), first_project=_make_first_project)


def _make_first_project(settings: Settings, say: Callable[[str], None]) -> str:
    # Imported when the system runs: it brings in all of the core, which would hold up the start by seconds.
    from ml_backend.first_project import make_first_project

    return make_first_project(settings, say)


def run_up(
    settings: Settings, *, console: Console, first_project: FirstProject | None = None, plan: Plan = plan_system
) -> None:
    """Start the system, say where it is, and keep it running until somebody stops it."""
    announcer = _Announcer(console)
    system = Supervisor(settings, plan=plan, listener=announcer)
    stopper = _Stopper(system)
    try:
        _start(system, console)
        announcer.quiet = False
        console.print(system_table(system))
        console.print(f"Ctrl-C stops everything; the data stays in {system.folder.path}.", soft_wrap=True)
        _show_first_page(system, console, first_project)
        system.wait()
    except KeyboardInterrupt:
        pass
    finally:
        stopper.asked = True
        system.stop()
    console.print("Everything is stopped.")


def _start(system: Supervisor, console: Console) -> None:
    if console.is_terminal:
        with Live(get_renderable=lambda: _progress(system), console=console, refresh_per_second=4, transient=True):
            system.start()
    else:
        system.start()


def _progress(system: Supervisor) -> Table:
    table = Table.grid(padding=(0, 2))
    for status in system.statuses():
        seconds = f"{status.seconds:.0f} s" if status.state is State.STARTING else ""
        table.add_row(MARKS[status.state], status.name, status.state.value, seconds)
    return table


def system_table(system: Supervisor) -> Table:
    """What runs, where, with which login, and where its log is."""
    table = Table(
        title="spanloop is running",
        title_justify="left",
        caption=f"The log of each: {system.folder.logs}/WHAT.log",
        caption_justify="left",
    )
    table.add_column("What", no_wrap=True)
    table.add_column("Where", no_wrap=True)
    table.add_column("Login", overflow="fold")
    for spec in system.specs:
        if not spec.once:
            table.add_row(spec.name, escape(spec.where), _login(spec.login, system))
    return table


def _login(user: str, system: Supervisor) -> str:
    """The login as it may be shown: the password on a person's screen only, never in a captured output."""
    if not user:
        return ""
    if sys.stdout.isatty():
        return f"{user}\n{escape(system.settings.label_studio_password.get_secret_value())}"
    return f"{user}\npassword in {system.folder.env_file.name}"


def _show_first_page(system: Supervisor, console: Console, first_project: FirstProject | None) -> None:
    """End with the page to open; a project that cannot be made is no reason to stop the system."""
    if first_project is None:
        return
    say = partial(console.print, markup=False, soft_wrap=True)
    try:
        with console.status("Setting up a first project …") as status:
            page = first_project(system.settings, status.update)
    except SpanloopError as error:
        say(f"The first project could not be set up: {error.message}")
        say(f"Label Studio is at {system.settings.label_studio_url}")
        return
    say(f'Label here, by the button "Label All Tasks", which brings up the most uncertain texts: {page}')
    say(f"Or look at a labelling page at once, where texts come by their numbers: {page}?labeling=1")


class _Announcer:
    """Prints what happens to the processes; on a terminal the start is shown by the live table instead."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.quiet = console.is_terminal

    def __call__(self, _name: str, sentence: str) -> None:
        if not self.quiet:
            self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


class _Stopper:
    """The first signal asks for a stop, the next ones for a quicker one."""

    def __init__(self, system: Supervisor) -> None:
        self.system = system
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self)

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            self.system.hurry()
            return
        self.asked = True
        # Not through the console: the signal may have come in the middle of its own printing.
        os.write(sys.stderr.fileno(), b"\nStopping everything (Ctrl-C again: at once) ...\n")
        raise KeyboardInterrupt


def main() -> None:
    """`python -m ml_backend.cli.up`: the command by itself."""
    try:
        typer.run(up)
    except SpanloopError as error:
        Console(stderr=True).print(error.message, markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
