"""A real Label Studio for tests: started on a free port with a data folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 420.0  # 20 on an idle machine; its migrations are slow where others compute


@dataclass(frozen=True)
class LiveLabelStudio:
    """Where it runs, and its first user's login and API key."""

    url: str
    api_key: str
    email: str
    password: str
    log: Path


def find_label_studio() -> Path | None:
    """The executable: $LABEL_STUDIO_BIN, else the one that `make up` installs; None where neither exists."""
    named = os.environ.get("LABEL_STUDIO_BIN")
    path = Path(named) if named else REPOSITORY / ".venv-label-studio" / "bin" / "label-studio"
    return path if path.is_file() else None


MISSING = (
    "no Label Studio to test with: `make install-label-studio` installs one, or set LABEL_STUDIO_BIN to its executable"
)


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_label_studio(executable: Path, folder: Path) -> Iterator[LiveLabelStudio]:
    """Start a Label Studio with its data in `folder`, wait until it answers, and stop it at the end."""
    port = free_port()
    live = LiveLabelStudio(
        url=f"http://127.0.0.1:{port}",
        api_key="7e57" * 10,
        email="annotator@spanloop.test",
        password="not-a-secret-1",  # a throw-away server on the loopback interface
        log=folder / "label-studio.log",
    )
    with live.log.open("wb") as log:
        process = subprocess.Popen(
            _command(executable, port, live),
            env=_environment(folder),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_up(live, process)
            yield live
        finally:
            _stop(process)


def _command(executable: Path, port: int, live: LiveLabelStudio) -> list[str]:
    where = ["--port", str(port), "--internal-host", "127.0.0.1"]
    who = ["--username", live.email, "--password", live.password, "--user-token", live.api_key]
    return [str(executable), "start", "--no-browser", *where, *who]


def _environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LABEL_STUDIO", "DJANGO"))}
    return kept | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "SSRF_PROTECTION_ENABLED": "false",
        "ML_BLOCK_LOCAL_IP": "false",
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "REDIS_ENABLED": "false",
    }


def _wait_until_up(live: LiveLabelStudio, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    headers = {"Authorization": f"Token {live.api_key}"}
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Label Studio ended with {process.returncode}; {_tail(live.log)}")
        try:
            if httpx.get(f"{live.url}/api/current-user/whoami", headers=headers, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise RuntimeError(f"Label Studio did not answer within {START_SECONDS:.0f} s; {_tail(live.log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
