"""Each service's command line of docker-compose.yml runs outside a container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ml_backend.queues import open_redis
from ml_backend.supervisor.checks import free_port, web_ready, worker_listens
from ml_backend.supervisor.keeper import Keeper, State
from ml_backend.supervisor.process import ProcessSpec, settled
from ml_backend.supervisor.redis_server import find_redis_server
from ml_backend.supervisor.system import QUEUES
from tests.live.redis import wait_for_redis

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def test_compose_commands_run(tmp_path: Path, redis_url: str) -> None:
    """Told what a container would be told, with this machine's Redis and folders, every command comes up."""
    port = free_port()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SPANLOOP_")}
    told = {
        "SPANLOOP_DATA_DIR": str(tmp_path),
        "SPANLOOP_REDIS_URL": redis_url,
        "SPANLOOP_BACKEND_PASSWORD": "password",
        "SPANLOOP_LABEL_STUDIO_URL": f"http://127.0.0.1:{free_port()}",
        "SPANLOOP_LABEL_STUDIO_API_KEY": "key",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    ready = {f"worker-{queue}": worker_listens(redis_url, queue) for queue in QUEUES}
    ready["web"] = web_ready(f"http://127.0.0.1:{port}/health", workers=2, log=tmp_path / "web.log")
    specs = [
        ProcessSpec(
            name=name,
            argv=tuple(part.replace("9090", str(port)) for part in SERVICES[name]["command"]),
            log=tmp_path / f"{name}.log",
            env={**kept, **told},
            needs=() if name == "migrate" else ("migrate",),
            ready=ready.get(name, settled),
            once=name == "migrate",
            ready_within=180,
        )
        for name in OURS
    ]
    keeper = Keeper(specs, tag=f"{tmp_path}|compose")
    try:
        keeper.start()
        assert {status.state for status in keeper.statuses()} == {State.READY}
    finally:
        keeper.stop()


def test_compose_redis_starts_with_its_password(tmp_path: Path) -> None:
    """The script that starts Redis gives it the password, and keeps it out of the arguments."""
    port = free_port()
    (tmp_path / "redis-server").symlink_to(find_redis_server())
    *shell, script = SERVICES["redis"]["command"]
    script = script.replace("$$", "$").replace("/tmp/redis.conf", f"{tmp_path}/redis.conf")
    environ = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "REDISCLI_AUTH": "pass",
    }
    script = script.replace("printf '", f"printf 'port {port}\\ndir {tmp_path}\\n")
    with subprocess.Popen([*shell, script], env=environ, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"redis://:pass@127.0.0.1:{port}/0"
            wait_for_redis(url)
            with open_redis(url) as client:
                assert client.config_get("appendonly") == {"appendonly": "yes"}
        finally:
            server.terminate()
    assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
