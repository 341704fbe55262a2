"""`spanloop up` with small stand-ins for Label Studio and our own processes, on the settings of the environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from config.errors import SpanloopError
from config.settings import Settings, load_settings
from ml_backend.cli.up import run_up
from ml_backend.supervisor.checks import check_port_free, http_ok
from ml_backend.supervisor.data_folder import DataFolder
from ml_backend.supervisor.process import ProcessSpec
from ml_backend.supervisor.redis_server import redis_spec

SLEEP = "import time; time.sleep(600)"
# As RQ does with a job: a child in a session of its own, which no signal to the parent's group reaches.
WORKER = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
{SLEEP}
"""


def stand_in_plan(settings: Settings, folder: DataFolder) -> Sequence[ProcessSpec]:
    """A real Redis, a web server and a worker with a job."""
    check_port_free(settings.host, settings.port, setting="SPANLOOP_PORT")
    redis = redis_spec(settings.redis_url, data=folder.path / "redis", logs=folder.logs)
    web = python_spec("web", folder, "-m", "http.server", "--bind", "127.0.0.1", str(settings.port))
    worker = python_spec("worker", folder, "-c", WORKER)
    return [redis, with_check(web, f"http://127.0.0.1:{settings.port}/"), worker]


def python_spec(name: str, folder: DataFolder, *argv: str) -> ProcessSpec:
    """A process that runs Python with these arguments."""
    return ProcessSpec(name=name, argv=(sys.executable, *argv), log=folder.logs / f"{name}.log", needs=("redis",))


def with_check(spec: ProcessSpec, url: str) -> ProcessSpec:
    """The same process, ready when the address answers."""
    return ProcessSpec(spec.name, spec.argv, spec.log, needs=spec.needs, ready=http_ok(url), where=url)


if __name__ == "__main__":
    try:
        run_up(load_settings(), console=Console(width=200), plan=stand_in_plan)
    except SpanloopError as error:
        sys.stderr.write(error.message + "\n")
        sys.exit(error.exit_code)
