"""Bring the configured database to this version's schema: `python -m ml_backend.supervisor.migrate`."""

from __future__ import annotations

import sys

from config.log import set_up_logging
from config.settings import load_settings
from ml_backend.program import run_program
from training.store.migrate import upgrade


def main() -> None:
    """Migrate the database that the settings name. Raises ConfigurationError, StoreUnavailable."""
    settings = load_settings()
    set_up_logging(level=settings.log_level, as_json=settings.log_json)
    upgrade(settings.resolved_database_url)


if __name__ == "__main__":
    sys.exit(run_program(main))
