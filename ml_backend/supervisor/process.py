"""One process of the system: what it is, and the running child."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from config.errors import ConfigurationError

# Every process that we start, and every process that those start, carries this variable: so the whole family
# is found again even when a member left its group or lost its parent.
TAG = "_SPANLOOP_SYSTEM"
MAX_LOG_BYTES = 20 * 1024 * 1024
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1

# Asks whether the process with this pid does its work yet; the second argument is its age in seconds.
ReadyCheck = Callable[[int, float], bool]


def settled(_pid: int, age: float) -> bool:
    """Ready once it has lived a second: for a process that nothing can be asked of."""
    return age >= 1.0


@dataclass(frozen=True)
class ProcessSpec:
    """What to start, when it is ready, and how long it may take to come and to go."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    needs: tuple[str, ...] = ()
    ready: ReadyCheck = settled
    once: bool = False  # ends by itself with exit code 0, and is ready then
    ready_within: float = 60.0
    stop_within: float = 10.0
    where: str = ""
    login: str = ""


class Child:
    """The running process of one spec, in a group of its own."""

    def __init__(self, spec: ProcessSpec, tag: str) -> None:
        self.spec = spec
        self.tag = f"{tag}:{spec.name}:"
        self.started_at = time.monotonic()
        self._family: list[psutil.Process] = []
        self._kill_at = 0.0
        rotate_log(spec.log)
        with spec.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = self._spawn(log.fileno())
        self.pid = self._process.pid

    def _spawn(self, log: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.spec.argv,
                env={**self.spec.env, TAG: self.tag},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_follow_parent(os.getpid()),
            )
        except OSError as error:
            raise ConfigurationError(
                f"{self.spec.name} cannot be started: {self.spec.argv[0]}: {error.strerror}"
            ) from error

    @property
    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_at

    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def log_tail(self, lines: int = 8) -> str:
        """The last lines that this run of the process wrote."""
        with self.spec.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 16_384))
            written = log.read().decode(errors="replace").splitlines()
        return "\n".join([line for line in written if line.strip()][-lines:])

    def stop(self, hurry: threading.Event) -> None:
        """End the process and all its descendants: asked first, killed after the grace time or when in a hurry."""
        self.ask_to_stop()
        self.finish(hurry)

    def ask_to_stop(self) -> None:
        """Ask the process to end; its grace time begins."""
        self._family = descendants(self.pid)
        self._kill_at = time.monotonic() + self.spec.stop_within
        self._signal_group(signal.SIGTERM)

    def finish(self, hurry: threading.Event) -> None:
        """Wait until the process that was asked has ended, and kill what is left of it and its descendants."""
        while self.exit_code() is None and time.monotonic() < self._kill_at and not hurry.is_set():
            time.sleep(POLL_SECONDS)
        self.kill()
        end_processes(self._family, grace=0)

    def kill(self) -> None:
        """End the whole group at once and reap the process."""
        self._signal_group(signal.SIGKILL)
        self._process.wait()

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _follow_parent(parent: int) -> Callable[[], None] | None:
    """What a child runs before its program: it asks the kernel to be ended when the thread that made it ends."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def follow() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel was asked
            os._exit(1)

    return follow


def rotate_log(log: Path) -> None:
    """Make the log's folder, and move a log that grew too long aside; one old log is kept."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(log.suffix + ".1"))


def descendants(pid: int) -> list[psutil.Process]:
    """The processes that this one started, and those that they started."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def tagged(prefix: str) -> list[psutil.Process]:
    """All processes whose tag starts with this prefix."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(TAG, "").startswith(prefix):
                found.append(process)
    return found


def end_processes(processes: Sequence[psutil.Process], *, grace: float) -> None:
    """Ask these processes to end, and kill those that live after the grace time in seconds."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate() if grace else process.kill()
    _, alive = psutil.wait_procs(processes, timeout=grace or 3)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=3)
