"""`spanloop up` as its user meets it: one process to start, to interrupt, to kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from dotenv import dotenv_values

from ml_backend.supervisor.checks import free_port
from ml_backend.supervisor.process import tagged

SECONDS = 60.0


class Up:
    """A running `spanloop up` on a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.data = folder / "var"
        environ = {key: value for key, value in os.environ.items() if not key.startswith("SPANLOOP_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.stand_in_system"],
            env={**environ, "SPANLOOP_DATA_DIR": str(self.data), "SPANLOOP_PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []

    def read_until(self, text: str) -> None:
        """Read its output up to the line that holds the text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"it ended without saying {text!r}: {''.join(self.lines)}")

    def end(self) -> tuple[int, str]:
        """Its exit code and all its output, once it ended."""
        rest, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, "".join(self.lines) + rest

    def family(self) -> list[psutil.Process]:
        """What it started and is still there: Redis, web, worker, the worker's job, and the guard."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        """End it, if the test did not."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=SECONDS)


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts systems on the test's folder, and ends what the test left running."""
    started: list[Up] = []

    def start(*, port: int | None = None, ready: bool = True) -> Up:
        started.append(Up(tmp_path, port or free_port()))
        if ready:
            started[-1].read_until("Ctrl-C stops")
        return started[-1]

    yield start
    for up in started:
        up.close()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that only waits for its parent to look at it does not."""
    return [process for process in processes if runs(process)]


def runs(process: psutil.Process) -> bool:
    """Whether the process does anything."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll the condition; fail after a deadline."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_stops_everything_when_asked(start_up: Callable[..., Up], number: signal.Signals) -> None:
    """Ctrl-C, a termination and a closed terminal each end every process, also those in sessions of their own."""
    up = start_up()
    family = up.family()
    assert len(family) == 5
    up.process.send_signal(number)
    code, output = up.end()
    assert code == 0
    assert "Everything is stopped." in output
    assert alive(family) == []


def test_up_killed_leaves_no_orphan(start_up: Callable[..., Up]) -> None:
    """A supervisor that is killed cannot clean up; its processes end all the same, grandchildren too."""
    up = start_up()
    family = up.family()
    up.process.kill()
    wait_until(lambda: alive(family) == [], "processes outlived the supervisor")


def test_up_goes_on_with_the_same_secrets(start_up: Callable[..., Up]) -> None:
    """Secrets are made once, readable by their owner alone; started again the system has the same ones."""
    files = []
    for _ in range(2):
        up = start_up(port=None)
        env_file = up.data / "spanloop.env"
        assert env_file.stat().st_mode & 0o777 == 0o600
        files.append(dotenv_values(env_file))
        up.process.send_signal(signal.SIGINT)
        up.end()
    first, second = files
    for key in ("SPANLOOP_BACKEND_PASSWORD", "SPANLOOP_LABEL_STUDIO_API_KEY", "SPANLOOP_REDIS_URL"):
        assert first[key]
        assert first[key] == second[key]


def test_up_says_which_port_is_in_use(start_up: Callable[..., Up]) -> None:
    """A port in use is one sentence that names the port and its setting, and no process is left."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        up = start_up(port=port, ready=False)
        code, output = up.end()
    assert code == 2
    assert f"port {port} on 127.0.0.1" in output
    assert "set SPANLOOP_PORT to a free port" in output
    assert len(output.strip().splitlines()) == 1
    assert tagged(f"{up.data}|") == []


def test_up_refuses_a_folder_in_use(start_up: Callable[..., Up]) -> None:
    """A second system on the same data folder is refused in one sentence; the first goes on."""
    first = start_up()
    second = start_up(ready=False)
    code, output = second.end()
    assert code == 4
    assert f"process {first.process.pid}" in output
    assert "SPANLOOP_DATA_DIR" in output
    assert len(output.strip().splitlines()) == 1
    assert len(alive(first.family())) == 5


def test_up_shows_no_password_in_captured_output(start_up: Callable[..., Up]) -> None:
    """What goes into a file or a CI log names where the secrets are, and none of them."""
    up = start_up()
    secrets = dotenv_values(up.data / "spanloop.env")
    up.process.send_signal(signal.SIGINT)
    _, output = up.end()
    hidden = [value for key, value in secrets.items() if key.endswith(("PASSWORD", "API_KEY"))]
    assert hidden
    assert not [value for value in hidden if value and value in output]
