"""Bring the configured database to this version's schema: `python -m ml_backend.supervisor.migrate`."""

from __future__ import annotations

from config.log import set_up_logging
from config.settings import load_settings
from training.store.migrate import upgrade


def main() -> None:
    """Migrate the database that the settings name."""
    settings = load_settings()
    set_up_logging(level=settings.log_level, as_json=settings.log_json)
    upgrade(settings.resolved_database_url)


if __name__ == "__main__":
    main()
