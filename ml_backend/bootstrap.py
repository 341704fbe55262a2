"""The only wiring: settings in, ready services out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from config.errors import ConfigurationError, StoreUnavailable
from config.settings import Settings, load_settings
from ml_backend.group_commit import GroupCommit
from ml_backend.queues import Doorbell, open_redis
from sync.client import LabelStudio
from training.runs.run import Workshop
from training.store.database import open_engine, sqlite_file
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """Everything that doors and jobs work with; each part is made when it is first asked for."""

    settings: Settings
    # By project, the one place in this process where feedback on it is stored.
    feedback_desks: dict[int, GroupCommit[Any, Any]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def store(self) -> Store:
        """The training store. Raises StoreUnavailable where it is a file that nobody has made yet."""
        engine = open_engine(self.settings.resolved_database_url)
        file = sqlite_file(engine)
        if file is not None and not file.is_file():
            raise StoreUnavailable(
                f"there is no database {file}: run this where `make up` was started, set SPANLOOP_DATA_DIR, or make "
                "one with `spanloop db upgrade`"
            )
        return Store(engine)

    @cached_property
    def artefacts(self) -> ArtefactStore:
        """Where models lie."""
        return ArtefactStore(self.settings.resolved_artefacts_url)

    @cached_property
    def doorbell(self) -> Doorbell:
        """The job queues. Raises ConfigurationError where no Redis is set."""
        if not self.settings.redis_url:
            raise ConfigurationError("no Redis is set: start the system with `make up`, or set SPANLOOP_REDIS_URL")
        return Doorbell(open_redis(self.settings.redis_url))

    @cached_property
    def label_studio(self) -> LabelStudio:
        """Label Studio. Raises ConfigurationError where none is set."""
        url, key = self.settings.label_studio_url, self.settings.label_studio_api_key.get_secret_value()
        if not url or not key:
            raise ConfigurationError(
                "no Label Studio is set: start the system with `make up`, or set LABEL_STUDIO_URL and "
                "LABEL_STUDIO_API_KEY"
            )
        return LabelStudio(url, key, timeout=self.settings.label_studio_timeout_seconds)

    @cached_property
    def workshop(self) -> Workshop:
        """What a training run works in."""
        work_dir = Path(self.settings.data_dir).absolute() / "work"
        work_dir.mkdir(parents=True, exist_ok=True)
        return Workshop(self.store, self.artefacts, work_dir, utc_now, gpu=self.settings.gpu)


_services: dict[int, Services] = {}


def get_services() -> Services:
    """This process's services; a forked child makes its own, since connections do not survive a fork."""
    pid = os.getpid()
    if pid not in _services:
        _services.clear()
        _services[pid] = Services(load_settings())
    return _services[pid]
