"""The whole real system for tests and figures: every process, on free ports of the loopback interface."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import psutil

from config.settings import Settings
from ml_backend.bootstrap import Services
from ml_backend.cli.main import run
from ml_backend.supervisor.checks import free_port
from ml_backend.supervisor.keeper import Backoff, State
from ml_backend.supervisor.supervisor import Supervisor
from sync.annotator import Annotator
from sync.client import LabelStudio
from sync.labelling import parse_config
from training.store.unit_of_work import Store

Found = TypeVar("Found")
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.1
# A process that a test ends stays away so long before the supervisor starts it again.
AWAY_SECONDS = 3.0
TAIL_LINES = 15


class RunningSystem:
    """A system that runs, as its operator and its annotators meet it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.settings = supervisor.settings
        self.services = Services(self.settings)

    @property
    def store(self) -> Store:
        """The training store."""
        return self.services.store

    @property
    def label_studio(self) -> LabelStudio:
        """Label Studio, for its first user."""
        return self.services.label_studio

    @property
    def url(self) -> str:
        """Our address."""
        return self.settings.resolved_backend_url

    @property
    def credential(self) -> tuple[str, str]:
        """What Label Studio sends with every call."""
        return self.settings.backend_user, self.settings.backend_password.get_secret_value()

    def spanloop(self, *arguments: str | int | Path, code: int = 0) -> str:
        """Run a command line, and return what it wrote; it must end with this exit code."""
        written = io.StringIO()
        with redirect_stdout(written), redirect_stderr(written):
            ended = run([str(argument) for argument in arguments], self.services)
        assert ended == code, f"spanloop {arguments} ended with {ended}: {written.getvalue()}"
        return written.getvalue()

    def annotator(self, project_id: int) -> Annotator:
        """An annotator of the project who works through the API that the labelling page uses."""
        with self.store.read() as uow:
            config = parse_config(uow.projects.get(project_id).label_config)
        return Annotator(self.label_studio, project_id, config)

    def process(self, name: str) -> psutil.Process:
        """One of the system's processes, by its name in the table of `spanloop up`."""
        pid = next(status.pid for status in self._supervisor.statuses() if status.name == name)
        assert pid is not None, f"{name} does not run"
        return psutil.Process(pid)

    def kill(self, name: str) -> None:
        """Kill a process and all that it started, without a chance to say anything."""
        process = self.process(name)
        for one in [process, *process.children(recursive=True)]:
            one.kill()

    def wait_until_ready(self, name: str) -> None:
        """Return once the supervisor has it running again."""
        self.wait_for(f"{name} to be ready", lambda: self._state(name) is State.READY)

    def wait_until_down(self, name: str) -> None:
        """Return once the supervisor has seen its end."""
        self.wait_for(f"{name} to be down", lambda: self._state(name) is not State.READY)

    def _state(self, name: str) -> State:
        return next(status.state for status in self._supervisor.statuses() if status.name == name)

    def wait_for(self, what: str, found: Callable[[], Found | None], *, seconds: float = PATIENCE_SECONDS) -> Found:
        """What `found` answers as soon as it is true; fails, saying what was waited for, after the deadline."""
        return wait_for(what, found, seconds=seconds)

    def close(self) -> None:
        """Let go of all connections."""
        self.services.label_studio.close()
        self.services.doorbell.redis.close()
        self.store.engine.dispose()

    def log(self, name: str) -> str:
        """All that a process has written."""
        file = self._supervisor.folder.logs / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def log_tails(self) -> dict[str, str]:
        """The last lines of every process's log."""
        names = [spec.name for spec in self._supervisor.specs]
        return {name: "\n".join(self.log(name).splitlines()[-TAIL_LINES:]) for name in names}


def wait_for(what: str, found: Callable[[], Found | None], *, seconds: float = PATIENCE_SECONDS) -> Found:
    """What `found` answers as soon as it is true; fails, saying what was waited for, after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        answer = found()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(POLL_SECONDS)


@contextmanager
def run_system(folder: Path, *, label_studio: Path, **settings: Any) -> Iterator[RunningSystem]:
    """Start everything on a folder, with this Label Studio, and stop it at the end.

    Ticks come fast, a lost run is noticed early, and a pull never comes by itself, unless `settings` say otherwise.
    """
    chosen = {
        "data_dir": folder,
        "port": free_port(),
        "label_studio_port": free_port(),
        "tick_seconds": 0.5,
        "heartbeat_timeout_seconds": 10,
        "reconcile_seconds": 36_000,
        "full_reconcile_seconds": 36_000,
        **settings,
    }
    with _own_environment(folder, label_studio):
        supervisor = Supervisor(Settings(**chosen), backoff=Backoff(first=AWAY_SECONDS, longest=AWAY_SECONDS))
        try:
            supervisor.start()
            with closing(RunningSystem(supervisor)) as system:
                yield system
        finally:
            supervisor.stop()


@contextmanager
def _own_environment(folder: Path, label_studio: Path) -> Iterator[None]:
    """Hide the settings of whoever runs the tests, and put this Label Studio on PATH."""
    before = dict(os.environ)
    programs = folder / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "label-studio").unlink(missing_ok=True)
    (programs / "label-studio").symlink_to(label_studio)
    for name in before:
        if name.startswith(("SPANLOOP_", "LABEL_STUDIO_")):
            del os.environ[name]
    os.environ["PATH"] = f"{programs}{os.pathsep}{before.get('PATH', '')}"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
