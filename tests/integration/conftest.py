"""What the integration tests share: the store on both databases, each test with an empty one of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from sqlalchemy import text

from training.store.database import describe_failure, open_engine
from training.store.migrate import upgrade
from training.store.unit_of_work import Store

if TYPE_CHECKING:
    from tests.integration.api import Api
    from tests.integration.command_line import CommandLine

TEMPLATE = "spanloop_template"


@pytest.fixture
def quiet_logs() -> Iterator[None]:
    """Sends log lines where pytest catches them: standard output is what a command says."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file; tests copy it."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of this session's own, as a URL without a database; skips where none is installed."""
    binaries = find_postgres()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed; `make test-tools` installs one where it can")
    folder = Path("/tmp") / f"spanloop-pg-{uuid.uuid4().hex[:8]}"  # its socket's path must stay short
    folder.mkdir()
    folder.chmod(0o777)
    data, port = folder / "data", free_port()
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    server = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    quick = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "full_page_writes=off"]
    try:
        _run([*_as_postgres(), *initdb])
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen([*_as_postgres(), *server, *quick], stdout=log, stderr=log, cwd="/")
        url = f"postgresql://postgres@127.0.0.1:{port}"
        try:
            _wait_for_server(url, running)
            yield url
        finally:
            running.send_signal(signal.SIGQUIT)
            running.wait(30)
    finally:
        _run([*_as_postgres(), "rm", "-rf", str(data)])
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres() -> list[str]:
    """What makes a command run as a user that PostgreSQL takes, and end with this process, however that ends."""
    root = os.geteuid() == 0
    if shutil.which("setpriv"):
        user = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if root else []
        return ["setpriv", *user, "--pdeathsig=QUIT", "--"]
    return ["runuser", "-u", "postgres", "--"] if root else []


def _wait_for_server(url: str, server: subprocess.Popen[bytes]) -> None:
    # It listens before it takes anybody in.
    engine = open_engine(f"{url}/postgres")
    deadline = time.monotonic() + 60
    while (failure := describe_failure(engine)) is not None:
        if time.monotonic() > deadline or server.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start; it ended with {server.poll()}: {failure}")
        time.sleep(0.05)
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """The server's URL, holding a migrated, empty database that tests copy."""
    _administer(postgres_url, f"CREATE DATABASE {TEMPLATE}")
    upgrade(f"{postgres_url}/{TEMPLATE}")
    return postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty, migrated database: each test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_template")
    name = f"test_{uuid.uuid4().hex[:12]}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield f"{server}/{name}"
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty store, on SQLite and on PostgreSQL."""
    engine = open_engine(database_url)
    yield Store(engine)
    engine.dispose()


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """An empty store on SQLite alone, for what does not depend on the database."""
    path = tmp_path / "sqlite-store.db"
    shutil.copy(sqlite_template, path)
    engine = open_engine(f"sqlite:///{path}")
    yield Store(engine)
    engine.dispose()


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Iterator[Api]:
    """A served REST API with one project (1), on SQLite and on PostgreSQL."""
    from tests.integration.api import Api, serve  # the whole application, which not every test needs

    made = Api(store, tmp_path)
    made.add_project()
    with serve(made) as served:
        yield served


@pytest.fixture
def sqlite_api(sqlite_store: Store, tmp_path: Path) -> Iterator[Api]:
    """A served REST API with one project (1), on SQLite alone."""
    from tests.integration.api import Api, serve

    made = Api(sqlite_store, tmp_path)
    made.add_project()
    with serve(made) as served:
        yield served


@pytest.fixture
def spanloop(store: Store, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line of an empty system, on SQLite and on PostgreSQL."""
    from tests.integration.command_line import CommandLine

    return CommandLine(store, redis_url, tmp_path, capsys)


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's server programs, newest first; None where there is none."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", check=False, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-2000:]}")


def _administer(server: str, statement: str) -> None:
    engine = open_engine(f"{server}/postgres")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()
