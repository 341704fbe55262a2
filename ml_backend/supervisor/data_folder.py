"""The data folder of one system: its lock, its secrets, and what the supervisor remembers from start to start."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from dotenv import dotenv_values

from config.errors import ConfigurationError, Conflict
from config.settings import ENV_FILE

LOCK_FILE = "supervisor.lock"
MEMORY_FILE = "supervisor.json"
PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


class DataFolder:
    """The folder, held by one supervisor at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    @property
    def env_file(self) -> Path:
        """Where the generated secrets and the addresses of the running system stand."""
        return self.path / ENV_FILE

    @property
    def logs(self) -> Path:
        """Where the processes' logs lie."""
        return self.path / "logs"

    def acquire(self) -> None:
        """Make the folder, readable by its owner alone, and hold it until `release`.

        Raises Conflict where another supervisor holds it, ConfigurationError where it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.path / LOCK_FILE).open("a+")
        except OSError as error:
            raise ConfigurationError(
                f"the data folder {self.path} cannot be used: {error.strerror}; "
                "set SPANLOOP_DATA_DIR to a folder that you may write"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise Conflict(
                f"a system runs on the data folder {self.path} already (process {holder}); "
                "stop that one, or set SPANLOOP_DATA_DIR to another folder"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Let another supervisor have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read_env(self) -> dict[str, str]:
        """The keys and values of the env file; empty where there is none."""
        if not self.env_file.exists():
            return {}
        self.env_file.chmod(0o600)
        return {key: value or "" for key, value in dotenv_values(self.env_file, interpolate=False).items()}

    def write_env(self, values: Mapping[str, str]) -> None:
        """Put these values into the env file; other lines, comments too, stay as they are."""
        old = self.env_file.read_text().splitlines() if self.env_file.exists() else [
            "# Written by `spanloop up`: secrets and addresses of the system on this folder. Environment variables",
            "# beat this file. Delete a line to have its value made anew.",
        ]  # fmt: skip
        kept = [line for line in old if line.partition("=")[0].strip() not in values]
        lines = [*kept, *(f"{key}={quote(value)}" for key, value in values.items())]
        write_private(self.env_file, "\n".join(lines) + "\n")

    def remember(self, values: Mapping[str, Any]) -> None:
        """Keep what the next start should know and nobody else needs."""
        write_private(self.path / MEMORY_FILE, json.dumps({**self.memory(), **values}, indent=2) + "\n")

    def memory(self) -> dict[str, Any]:
        """What earlier starts remembered."""
        file = self.path / MEMORY_FILE
        if not file.exists():
            return {}
        try:
            remembered: dict[str, Any] = json.loads(file.read_text())
        except ValueError as error:
            raise ConfigurationError(f"{file} is not readable JSON; delete it and start again") from error
        return remembered


def write_private(file: Path, text: str) -> None:
    """Write the file whole, readable by its owner alone."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    fresh.replace(file)


def quote(value: str) -> str:
    """The value as python-dotenv reads it back unchanged."""
    if PLAIN_VALUE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
