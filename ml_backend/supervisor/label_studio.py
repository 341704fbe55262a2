"""The Label Studio that `spanloop up` starts: pinned, in an environment of its own, on this machine only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from config.errors import ConfigurationError
from config.settings import Settings
from ml_backend.supervisor.checks import http_status
from ml_backend.supervisor.process import ProcessSpec, ReadyCheck

VENV = ".venv-label-studio"
# It reads plain names such as DEBUG, HOST or DATABASE_NAME, so it gets little of the user's environment.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
LOOPBACK = "127.0.0.1"


def find_label_studio() -> Path:
    """The program in the environment that `make` builds, else the one on PATH."""
    checkout = Path(__file__).parents[2]
    for place in (Path.cwd(), checkout):
        program = place / VENV / "bin" / "label-studio"
        if program.exists():
            return program
    on_path = shutil.which("label-studio")
    if on_path is None:
        raise ConfigurationError(
            f"Label Studio is not installed: there is no {checkout / VENV}; run `make install-label-studio`, "
            "or set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to use one that runs elsewhere"
        )
    return Path(on_path)


def label_studio_spec(settings: Settings, *, data: Path, logs: Path) -> ProcessSpec:
    """Label Studio on SQLite, with its first user and that user's API key made at the first start."""
    data.mkdir(parents=True, exist_ok=True)
    url = f"http://{LOOPBACK}:{settings.label_studio_port}"
    token = settings.label_studio_api_key.get_secret_value()
    return ProcessSpec(
        name="label-studio",
        argv=(
            str(find_label_studio()),
            "start",
            "--no-browser",
            f"--internal-host={LOOPBACK}",
            f"--port={settings.label_studio_port}",
        ),
        env=label_studio_env(settings, data=data),
        log=logs / "label-studio.log",
        ready=token_accepted(url, token, data=data),
        ready_within=900,
        where=url,
        login=settings.label_studio_email,
    )


def label_studio_env(settings: Settings, *, data: Path) -> dict[str, str]:
    """What it is told by environment, the secrets too: an argument could be read by every user of the machine."""
    inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
    return {
        **inherited,
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_USERNAME": settings.label_studio_email,
        "LABEL_STUDIO_PASSWORD": settings.label_studio_password.get_secret_value(),
        "LABEL_STUDIO_USER_TOKEN": settings.label_studio_api_key.get_secret_value(),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        # Its guards refuse webhooks and backends on local addresses, which is where ours are.
        "SSRF_PROTECTION_ENABLED": "false",
        "ML_BLOCK_LOCAL_IP": "false",
        # Without this flag of its own each bulk import of predictions writes every task of the project that has some.
        "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short": "true",
        "NO_PROXY": "*",
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "PYTHONUNBUFFERED": "1",
    }


def token_accepted(url: str, token: str, *, data: Path) -> ReadyCheck:
    """Ready when our API key opens its API; raises ConfigurationError when it runs and refuses the key."""

    def ready(_pid: int, _age: float) -> bool:
        status = http_status(f"{url}/api/current-user/whoami", token=token)
        if status == 401:
            raise ConfigurationError(
                f"Label Studio's data in {data} was made with another API key than the one in spanloop.env; "
                "put that key back (SPANLOOP_LABEL_STUDIO_API_KEY), or move the folder away to start anew"
            )
        return status == 200

    return ready
