"""Bring the database to the schema of this version."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from config.errors import StoreUnavailable
from training.store.database import describe_failure, open_engine, sqlite_file

SCRIPTS = Path(__file__).parent / "migrations"
# Any number will do, as long as every process that migrates takes the same one.
POSTGRES_LOCK = 7_304_113


def upgrade(url: str) -> str | None:
    """Apply every migration that the database at this URL has not seen; safe from several processes at once.

    Returns the revision that it lacked, None where it was up to date. Raises StoreUnavailable.
    """
    engine = open_engine(url)
    try:
        file = sqlite_file(engine)
        if file is not None:
            _make_folder(file.parent)
        failure = describe_failure(engine)
        if failure is not None:
            raise StoreUnavailable(f"{_name(engine)} cannot be used: {failure}")
        pending = pending_revision(engine)
        with engine.connect() as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": POSTGRES_LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
    return pending


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the folder {folder} cannot be made: {error.strerror or error}") from error


def pending_revision(engine: Engine) -> str | None:
    """The schema revision that the database lacks, or None where it is up to date."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return None if current == head else head


def explain_fault(engine: Engine) -> str | None:
    """Why statements fail on this database, with the way out; None where it is in order, and the fault is ours."""
    failure = describe_failure(engine)
    if failure is not None:
        return f"{_name(engine)} cannot be used: {failure}; check SPANLOOP_DATABASE_URL, and that the server runs"
    pending = pending_revision(engine)
    if pending is not None:
        return f"{_name(engine)} lacks revision {pending} of this version; run `spanloop db upgrade`"
    return None


def _name(engine: Engine) -> str:
    return f"the database {engine.url.render_as_string(hide_password=True)}"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    return config
