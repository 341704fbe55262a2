"""Bring the database to the schema of this version."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from training.store.database import open_engine

SCRIPTS = Path(__file__).parent / "migrations"
# Any number will do, as long as every process that migrates takes the same one.
POSTGRES_LOCK = 7_304_113


def upgrade(url: str) -> None:
    """Apply every migration that the database at this URL has not seen; safe from several processes at once."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": POSTGRES_LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def pending_revision(engine: Engine) -> str | None:
    """The schema revision that the database lacks, or None where it is up to date."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return None if current == head else head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    return config
