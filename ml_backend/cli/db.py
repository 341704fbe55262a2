"""`spanloop db`: the database's schema."""

from __future__ import annotations

import typer

from ml_backend.cli.session import session_of
from training.store.migrate import upgrade

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look after the database.")


@app.callback()
def db() -> None:
    """Look after the database."""


@app.command("upgrade")
def upgrade_database(context: typer.Context) -> None:
    """Bring the database to the schema of this version; safe to run again, and while others do."""
    session = session_of(context)
    pending = upgrade(session.settings.resolved_database_url)
    session.say("The database is up to date." if pending is None else f"The database is now at revision {pending}.")
