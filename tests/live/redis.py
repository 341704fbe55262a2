"""A real Redis for tests: started on a free port with a folder of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from config.errors import ConfigurationError
from ml_backend.queues import open_redis
from ml_backend.supervisor.checks import free_port
from ml_backend.supervisor.redis_server import find_redis_server

START_SECONDS = 20.0


@contextmanager
def run_redis(folder: Path) -> Iterator[str]:
    """Run a Redis without persistence; yields its URL."""
    port = free_port()
    command = [str(find_redis_server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    url = f"redis://127.0.0.1:{port}/0"
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen([*command, "--save", "", "--appendonly", "no"], stdout=log, stderr=log)
        try:
            wait_for_redis(url)
            yield url
        finally:
            server.terminate()
            server.wait(10)


def wait_for_redis(url: str) -> None:
    """Return once it answers; raises TimeoutError."""
    deadline = time.monotonic() + START_SECONDS
    with open_redis(url) as client:
        while time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
    raise TimeoutError(f"Redis at {url} did not answer within {START_SECONDS:.0f} s")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of this session's Redis; skips where none is installed."""
    try:
        find_redis_server()
    except ConfigurationError as error:
        pytest.skip(error.message)
    with run_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of a real Redis that is empty when the test starts."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server
