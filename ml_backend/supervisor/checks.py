"""Questions to running processes: do you do your work yet?"""

from __future__ import annotations

import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import redis
from rq import Queue, Worker

from config.errors import ConfigurationError
from ml_backend.queues import open_redis
from ml_backend.supervisor.process import ReadyCheck, descendants

ASK_SECONDS = 1.0


def http_status(url: str, *, token: str = "") -> int | None:
    """What the address answers, or None when it does not; asked often, hence without a client's set-up."""
    parts = urlsplit(url)
    connection_type = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connection_type(parts.hostname or "", parts.port, timeout=ASK_SECONDS)
    headers = {"Authorization": f"Token {token}"} if token else {}
    try:
        connection.request("GET", parts.path or "/", headers=headers)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def http_ok(url: str) -> ReadyCheck:
    """Ready when the address answers 200."""
    return lambda _pid, _age: http_status(url) == 200


def web_ready(url: str, *, workers: int, log: Path) -> ReadyCheck:
    """Ready when the address answers; raises ConfigurationError when worker after worker dies.

    uvicorn itself stays alive then, and starts new ones for ever.
    """
    answers = http_ok(url)
    seen: dict[int, set[int]] = {}

    def ready(pid: int, age: float) -> bool:
        born = seen.setdefault(pid, set())
        born.update(process.pid for process in descendants(pid))
        if len(born) > 3 * workers + 1:  # one of them is Python's own tracker of resources
            raise ConfigurationError(f"the web process's workers die as soon as they are started; {log} says why")
        return answers(pid, age)

    return ready


def redis_answers(url: str) -> ReadyCheck:
    """Ready when Redis answers a ping. Raises ConfigurationError for an address that is none of Redis's."""

    def ready(_pid: int, _age: float) -> bool:
        try:
            with open_redis(url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    return ready


def worker_listens(redis_url: str, queue: str) -> ReadyCheck:
    """Ready when a worker of this process has announced itself for the queue."""

    def ready(pid: int, _age: float) -> bool:
        pids = {pid, *(process.pid for process in descendants(pid))}
        try:
            with open_redis(redis_url) as client:
                return any(worker.pid in pids for worker in Worker.all(queue=Queue(queue, connection=client)))
        except redis.RedisError:
            return False

    return ready


def check_port_free(host: str, port: int, *, setting: str) -> None:
    """Raise ConfigurationError, naming the setting, where another program listens on the port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on {host} cannot be listened on ({error.strerror}); "
                f"stop the program that uses it, or set {setting} to a free port"
            ) from error


def free_port(preferred: int | None = None) -> int:
    """The preferred port where it is free on this machine's loopback, else any free one."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError("no free port on 127.0.0.1")


def without_login(url: str) -> str:
    """The address as it may be shown: without user and password."""
    if "@" not in url:
        return url
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
