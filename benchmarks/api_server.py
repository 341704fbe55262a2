"""What the benchmarks of the REST API share: a database, a project in it, and the web process over both."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from config.log import set_up_logging
from config.settings import Settings
from ml_backend.bootstrap import Services, utc_now
from ml_backend.projects import register_version_zero
from ml_backend.supervisor.checks import free_port
from tests.integration.conftest import find_postgres
from training.access import Role
from training.admission import create_token
from training.policy import parse_settings
from training.store.migrate import upgrade
from training.store.tables.projects import Project
from training.taxonomy import load_taxonomy

API = "/api/discovery/ml"
START_SECONDS = 120.0
DATABASES = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A web process that answers, and an admin's token for it."""

    host: str
    port: int
    token: str
    services: Services

    @property
    def headers(self) -> dict[str, str]:
        """What each request carries."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}


@contextmanager
def open_database(kind: str, folder: Path) -> Iterator[str]:
    """An empty, migrated database with the settings it would be run with; its URL."""
    if kind == "sqlite":
        url = f"sqlite:///{folder / 'store.db'}"
        upgrade(url)
        yield url
        return
    with _run_postgres() as server:
        upgrade(server)
        yield server


@contextmanager
def _run_postgres() -> Iterator[str]:
    binaries = find_postgres()
    if binaries is None:
        sys.exit("no PostgreSQL server is installed; `make test-tools` installs one where it can")
    folder = Path(tempfile.mkdtemp(prefix="spanloop-pg-", dir="/tmp"))
    folder.chmod(0o777)
    port = free_port()
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c shared_buffers=512MB -c max_wal_size=4GB"
    _call(
        [*as_user, str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    )
    control = [*as_user, str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    _call([*control, "-l", str(folder / "log"), "-o", options, "start"])
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        _call([*control, "-m", "fast", "stop"])
        _call([*as_user, "rm", "-rf", str(folder / "data")])
        shutil.rmtree(folder, ignore_errors=True)


def _call(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def add_project(services: Services, *, base_model: str) -> tuple[int, str]:
    """A project of the default labels with version 0 live, and a token for it."""
    with services.store.write() as uow:
        project = Project(
            id=1,
            title="Figures",
            language="en",
            base_model=base_model,
            label_config="",
            from_name="label",
            to_name="text",
            text_key="text",
            taxonomy=load_taxonomy(None).to_json(),
            settings=parse_settings({}).to_json(),
            created_at=utc_now(),
        )
        uow.projects.add(project)
        register_version_zero(uow, project)
        token = create_token(uow, "figures", Role.ADMIN, secret=secrets.token_urlsafe(32), now=utc_now())
        uow.commit()
    return project.id, token


@contextmanager
def serve_api(services: Services, token: str, *, workers: int) -> Iterator[ApiServer]:
    """Run the web process as `make up` does, until the block ends."""
    settings, port = services.settings, free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SPANLOOP_")},
        "SPANLOOP_DATA_DIR": str(settings.data_dir),
        "SPANLOOP_DATABASE_URL": settings.database_url,
        "SPANLOOP_REDIS_URL": settings.redis_url,
        "SPANLOOP_API_REQUESTS_PER_MINUTE": str(settings.api_requests_per_minute),
        "SPANLOOP_WEB_WORKERS": str(workers),
        "SPANLOOP_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "ml_backend.app:create_app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", str(workers), "--log-level", "warning", "--no-access-log"]
    root = Path(__file__).resolve().parents[1]
    process = subprocess.Popen(command, env=environment, cwd=root)
    try:
        _wait(f"http://127.0.0.1:{port}/health")
        yield ApiServer("127.0.0.1", port, token, services)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer within {START_SECONDS:.0f} s")


def make_services(folder: Path, database_url: str, *, redis_url: str = "") -> Services:
    """Services over a database; the rate limit is out of the way."""
    set_up_logging(level="WARNING", as_json=False)
    return Services(
        Settings(data_dir=folder, database_url=database_url, redis_url=redis_url, api_requests_per_minute=100_000_000)
    )


def database_argument(parser: argparse.ArgumentParser) -> None:
    """Let the command take --database."""
    parser.add_argument("--database", choices=DATABASES, default="sqlite", help="where the store is (sqlite)")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all stays within."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def say(sentence: str) -> None:
    """Tell how far it is, beside the figures."""
    sys.stderr.write(sentence + "\n")


def write(line: str) -> None:
    """Print a line of the figures."""
    sys.stdout.write(line + "\n")
