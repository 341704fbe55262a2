"""The command line on a real store and a Label Studio in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from ml_backend.bootstrap import Services
from ml_backend.cli.main import run
from tests.fakes.label_studio import FakeLabelStudio
from training.store.unit_of_work import Store


class CommandLine:
    """Runs commands; `out` and `err` hold what the last one said."""

    def __init__(self, store: Store, redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.fake, self.store, self.folder, self._capsys = FakeLabelStudio(), store, folder, capsys
        settings = Settings(
            data_dir=folder,
            redis_url=redis_url,
            backend_password="secret",  # type: ignore[arg-type]
            label_studio_url=self.fake.url,
            label_studio_api_key="key",  # type: ignore[arg-type]
        )
        self.services = Services(settings)
        self.services.__dict__.update(store=store, label_studio=self.fake)
        self.out = self.err = ""

    def __call__(self, *arguments: str | int | Path, code: int = 0) -> str:
        """Run a command, which must end with this code; what it printed."""
        ended = run([str(argument) for argument in arguments], self.services)
        self.out, self.err = self._capsys.readouterr()
        assert ended == code, f"{arguments} ended with {ended}: {self.out}{self.err}"
        return self.out

    def json(self, *arguments: str | int | Path) -> Any:
        """Run a command with --json; what it printed."""
        return json.loads(self(*arguments, "--json"))

    def create(self, name: str = "Letters", *options: str | Path) -> int:
        """Make a project with two labels; its id."""
        labels = self.folder / "labels.yaml"
        labels.write_text(yaml.safe_dump({"labels": [{"name": "PERSON", "aliases": ["PER"]}, {"name": "CITY"}]}))
        self("project", "create", name, "--labels", labels, "--base-model", "blank:en", *options)
        return max(self.fake.projects)

    def file(self, name: str, *rows: Any) -> Path:
        """A .jsonl file of these rows."""
        path = self.folder / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    def rung(self) -> list[str]:
        """The jobs that were rung for."""
        keys = self.services.doorbell.redis.scan_iter("spanloop:bell:*")
        return sorted(key.decode().removeprefix("spanloop:bell:") for key in keys)
