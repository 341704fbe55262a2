"""The settings of the installation, where they come from, and their documentation."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from config.errors import ConfigurationError
from config.settings import Settings, load_settings
from training.policy import ProjectSettings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no settings file."""
    for key in list(os.environ):
        if "LABEL_STUDIO" in key or key.startswith("SPANLOOP_"):
            monkeypatch.delenv(key)
    monkeypatch.setenv("SPANLOOP_DATA_DIR", "no-such-folder")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with the prefix sets its field, in either case; the rest keeps its default."""
    monkeypatch.setenv("SPANLOOP_PORT", "9191")
    monkeypatch.setenv("spanloop_host", "0.0.0.0")
    settings = load_settings()
    assert (settings.port, settings.host, settings.web_workers) == (9191, "0.0.0.0", 2)
    assert settings.resolved_backend_url == "http://127.0.0.1:9191"


def test_settings_take_label_studios_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are understood without the prefix."""
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://studio:8080")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "abc")
    settings = load_settings()
    assert settings.label_studio_url == "http://studio:8080"
    assert settings.label_studio_api_key.get_secret_value() == "abc"


def test_settings_refuse_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable is named instead of being ignored."""
    monkeypatch.setenv("SPANLOOP_PROT", "9191")
    with pytest.raises(ConfigurationError, match=r"unknown settings in the environment: SPANLOOP_PROT;"):
        load_settings()


@pytest.mark.parametrize(("name", "value"), [("PORT", "ninety"), ("PORT", "0"), ("LOG_LEVEL", "LOUD")])
def test_settings_refuse_a_wrong_value(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be used is refused by the setting's name."""
    monkeypatch.setenv(f"SPANLOOP_{name}", value)
    with pytest.raises(ConfigurationError, match=f"settings cannot be used: {name.lower()}: "):
        load_settings()


def test_settings_never_show_a_secret() -> None:
    """Printing the settings shows no password and no key."""
    settings = Settings(backend_password=SecretStr("hush"), label_studio_api_key=SecretStr("hush"))
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump()}"


def test_settings_cannot_be_changed() -> None:
    """Settings are read once and stay."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


def rows(heading: str) -> dict[str, tuple[str, str]]:
    """The rows of one table of docs/settings.md: name, default and meaning."""
    section = DOCS.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {
        name: (default, meaning)
        for name, default, meaning in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", section, re.M)
    }


def shown(default: Any) -> str:
    """A default as the documentation writes it."""
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    if plain == "":
        return "empty"
    return f"`{str(plain).lower() if isinstance(plain, bool) else plain}`"


@pytest.mark.parametrize(("heading", "model"), [("Of the installation", Settings), ("Of a project", ProjectSettings)])
def test_settings_are_documented(heading: str, model: type[BaseModel]) -> None:
    """docs/settings.md lists every setting with its default and its meaning, and no other."""
    assert rows(heading) == {
        name: (shown(field.default), field.description) for name, field in model.model_fields.items()
    }
