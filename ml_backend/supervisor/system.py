"""What a whole system consists of: its complete settings, and the processes to start."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr, TypeAdapter

from config.errors import ConfigurationError, LabelStudioUnavailable, RedisUnavailable
from config.settings import PREFIX, Settings
from ml_backend.supervisor.checks import (
    check_port_free,
    free_port,
    http_ok,
    redis_answers,
    web_ready,
    without_login,
    worker_listens,
)
from ml_backend.supervisor.data_folder import DataFolder
from ml_backend.supervisor.label_studio import label_studio_spec
from ml_backend.supervisor.process import ProcessSpec
from ml_backend.supervisor.redis_server import redis_spec

QUEUES = ("sync", "training", "refresh")
LOOPBACK = "127.0.0.1"

# What another shell must know to find the running system; it goes into the env file where it is set.
ADDRESSES = (
    "database_url",
    "redis_url",
    "artefacts_url",
    "host",
    "port",
    "backend_url",
    "backend_user",
    "backend_password",
    "label_studio_url",
    "label_studio_api_key",
    "label_studio_port",
    "label_studio_email",
    "label_studio_password",
)


def complete_settings(settings: Settings, folder: DataFolder) -> Settings:
    """The settings of the system on this folder, with what was missing made.

    Strongest first: what is set in `settings`, the env file, fresh secrets and ports. Needs the folder's lock.
    `keep_addresses` puts them into the env file, once it is known that a system can be started with them.
    """
    known = _from_env_file(folder)
    chosen = {name: getattr(settings, name) for name in settings.model_fields_set}
    values = {**known, **{name: value for name, value in chosen.items() if _plain(value) != ""}}
    own: dict[str, Any] = folder.memory()
    values["data_dir"] = folder.path
    values.setdefault("port", settings.port)
    values.setdefault("label_studio_port", settings.label_studio_port)
    values.setdefault("backend_password", SecretStr(secrets.token_urlsafe(24)))
    _settle_redis(values, own)
    _settle_label_studio(values, own)
    folder.remember(own)
    return settings.model_copy(update=values)


def keep_addresses(settings: Settings, folder: DataFolder) -> None:
    """Put what another shell must know, and the next start goes on with, into the folder's env file."""
    values = env_values(settings, set(ADDRESSES) & settings.model_fields_set)
    folder.write_env({name: value for name, value in values.items() if value})


def _from_env_file(folder: DataFolder) -> dict[str, Any]:
    written = folder.read_env()
    known = {name: written.get(f"{PREFIX}{name}".upper(), "") for name in Settings.model_fields}
    return {
        name: TypeAdapter(annotation).validate_python(text)
        for name, text in known.items()
        if text and (annotation := Settings.model_fields[name].annotation) is not None
    }


def _settle_redis(values: dict[str, Any], own: dict[str, Any]) -> None:
    """Give our own Redis its address, unless another one is named."""
    named, mine = values.get("redis_url", ""), own.get("redis_url", "")
    if named and named != mine:
        return
    parts = urlsplit(mine)
    password = parts.password or secrets.token_urlsafe(24)
    values["redis_url"] = own["redis_url"] = f"redis://:{password}@{LOOPBACK}:{free_port(parts.port)}/0"


def _settle_label_studio(values: dict[str, Any], own: dict[str, Any]) -> None:
    """Give our own Label Studio its address, login and API key, unless another one is named."""
    named, key = values.get("label_studio_url", ""), _plain(values.get("label_studio_api_key", ""))
    other_url = named not in ("", own.get("label_studio_url"))
    other_key = key not in ("", own.get("label_studio_token"))
    if other_url and not other_key:
        raise ConfigurationError(
            f"LABEL_STUDIO_URL is set to {named} but LABEL_STUDIO_API_KEY is not; set both or none"
        )
    if other_key and not other_url:
        raise ConfigurationError("LABEL_STUDIO_API_KEY is set but LABEL_STUDIO_URL is not; set both or none")
    if other_url:
        return
    own.setdefault("label_studio_token", secrets.token_hex(20))
    own["label_studio_url"] = f"http://{LOOPBACK}:{values['label_studio_port']}"
    values["label_studio_url"] = own["label_studio_url"]
    values["label_studio_api_key"] = SecretStr(own["label_studio_token"])
    values.setdefault("label_studio_password", SecretStr(secrets.token_urlsafe(12)))
    values.setdefault("label_studio_email", Settings.model_fields["label_studio_email"].default)


def env_values(settings: Settings, names: set[str]) -> dict[str, str]:
    """These settings as the environment variables that they are read from, in the order of their declaration."""
    return {
        f"{PREFIX}{name}".upper(): _plain(getattr(settings, name)) for name in Settings.model_fields if name in names
    }


def _plain(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def plan_system(settings: Settings, folder: DataFolder) -> list[ProcessSpec]:
    """The processes of the system, in starting order.

    Raises ConfigurationError for a port in use or a missing program, RedisUnavailable or LabelStudioUnavailable
    where the one that was named does not answer.
    """
    own = folder.memory()
    check_port_free(settings.host, settings.port, setting="SPANLOOP_PORT")
    specs = [migration_spec(settings, folder)]
    if settings.redis_url == own.get("redis_url"):
        specs.insert(0, redis_spec(settings.redis_url, data=folder.path / "redis", logs=folder.logs))
    elif not redis_answers(settings.redis_url)(0, 0.0):
        raise RedisUnavailable(
            f"Redis at {without_login(settings.redis_url)} does not answer; start it, or take SPANLOOP_REDIS_URL out "
            f"of the environment and of {folder.env_file} to have one started here"
        )
    if settings.label_studio_url == own.get("label_studio_url"):
        if settings.label_studio_port == settings.port:
            raise ConfigurationError(
                f"SPANLOOP_PORT and SPANLOOP_LABEL_STUDIO_PORT are both {settings.port}; set one of them to a free port"
            )
        check_port_free(LOOPBACK, settings.label_studio_port, setting="SPANLOOP_LABEL_STUDIO_PORT")
        specs.append(label_studio_spec(settings, data=folder.path / "label-studio", logs=folder.logs))
    elif not http_ok(f"{settings.label_studio_url.rstrip('/')}/health")(0, 0.0):
        raise LabelStudioUnavailable(
            f"Label Studio at {settings.label_studio_url} does not answer; start it, or take LABEL_STUDIO_URL and "
            f"LABEL_STUDIO_API_KEY out of the environment and of {folder.env_file} to have one started here"
        )
    return [*specs, *our_specs(settings, folder)]


def migration_spec(settings: Settings, folder: DataFolder) -> ProcessSpec:
    """Brings the database up to date, then ends."""
    return ProcessSpec(
        name="migrate",
        argv=(sys.executable, "-m", "ml_backend.supervisor.migrate"),
        env=child_env(settings),
        log=folder.logs / "migrate.log",
        once=True,
        ready_within=600,
        where=without_login(settings.resolved_database_url),
    )


def our_specs(settings: Settings, folder: DataFolder) -> list[ProcessSpec]:
    """The web process, a worker for each queue and the scheduler."""

    def spec(name: str, *argv: str, **more: Any) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=(sys.executable, "-m", *argv),
            env=child_env(settings),
            log=folder.logs / f"{name}.log",
            needs=("redis", "migrate"),
            **{"ready_within": 300, **more},
        )

    address = local_address(settings)
    answers = web_ready(f"{address}/health", workers=settings.web_workers, log=folder.logs / "web.log")
    web = spec("web", *web_command(settings), ready=answers, where=address)
    workers = [
        spec(f"worker-{queue}", "ml_backend.worker", queue, ready=worker_listens(settings.redis_url, queue))
        for queue in QUEUES
    ]
    return [web, *workers, spec("scheduler", "ml_backend.scheduler")]


def web_command(settings: Settings) -> list[str]:
    """How uvicorn is called."""
    return [
        "uvicorn",
        "ml_backend.app:create_app",
        "--factory",
        f"--host={settings.host}",
        f"--port={settings.port}",
        f"--workers={settings.web_workers}",
        "--no-access-log",
        "--timeout-graceful-shutdown=5",
        # A worker that loads a pipeline while the cores train may stay silent longer than the default 5 s.
        "--timeout-worker-healthcheck=60",
    ]


def local_address(settings: Settings) -> str:
    """The web process as this machine reaches it."""
    host = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def child_env(settings: Settings) -> Mapping[str, str]:
    """The user's environment with the system's complete settings, so that no child can see other ones."""
    complete = env_values(settings, set(ADDRESSES) | {"data_dir"} | settings.model_fields_set)
    # The matrices are small: more threads than one only wait for each other.
    return {"OPENBLAS_NUM_THREADS": "1", **os.environ, **complete, "PYTHONUNBUFFERED": "1"}
