"""docker-compose.yml, Dockerfile and .env.example agree with each other, the settings and the supervisor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import PREFIX, Settings
from ml_backend.supervisor.system import QUEUES, web_command

ROOT = Path(__file__).parents[2]
KNOWN = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ["migrate", "web", *(f"worker-{queue}" for queue in QUEUES), "scheduler"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_compose_runs_the_processes_of_up() -> None:
    """The services are those that `spanloop up` starts, and the database."""
    assert sorted(SERVICES) == sorted(["postgres", "redis", "label-studio", *OURS])


@pytest.mark.parametrize("name", ["docker-compose.yml", "Dockerfile", ".env.example"])
def test_compose_names_known_settings_only(name: str) -> None:
    """A variable that no setting reads would be refused at the start, so none is written down."""
    written = set(re.findall(r"\bSPANLOOP_[A-Z0-9_]+", (ROOT / name).read_text()))
    assert written
    assert written <= KNOWN


def test_compose_takes_every_secret_from_the_env_file() -> None:
    """Each variable that compose asks for is in .env.example, and no password has a value there or here."""
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text()))
    example = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert asked == set(example)
    assert not [name for name, value in example.items() if value and name.endswith(("PASSWORD", "KEY"))]
    for name, value in environment("web").items():
        if name.endswith(("PASSWORD", "KEY")):
            assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?.+\}", value)


def test_compose_serves_as_up_does() -> None:
    """The web process is called alike by the supervisor, the compose file and the image."""
    up = web_command(Settings(host="0.0.0.0", port=9090))
    assert SERVICES["web"]["command"] == up
    image = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert image is not None
    assert json.loads(image.group(1)) == up


@pytest.mark.parametrize("service", OURS)
def test_compose_waits_for_what_a_service_needs(service: str) -> None:
    """Our processes start after the migration, which starts after the database; each runs from the one image."""
    needs = {name: need["condition"] for name, need in SERVICES[service]["depends_on"].items()}
    if service == "migrate":
        assert needs == {"postgres": "service_healthy"}
        assert SERVICES[service]["restart"] == "no"
    else:
        assert needs == {"migrate": "service_completed_successfully", "redis": "service_healthy"}
        assert SERVICES[service]["restart"] == "unless-stopped"
    assert SERVICES[service]["build"] == "."


def test_compose_opens_no_port_to_the_network() -> None:
    """Published ports are this machine's own; who lets others in does so knowingly."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_pins_the_label_studio_of_the_lock() -> None:
    """The image and the locked package are the same version."""
    pinned = re.search(r"^label-studio==(\S+)$", (ROOT / "label-studio.in").read_text(), re.MULTILINE)
    assert pinned is not None
    assert SERVICES["label-studio"]["image"].endswith(f":{pinned.group(1)}")


def test_compose_leaves_label_studio_one_open_network() -> None:
    """Label Studio's guards against inner addresses stay on, but for the network that our web process is in."""
    from ipaddress import ip_network

    told = environment("label-studio")
    (pool,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    ours = ip_network(pool["subnet"])
    banned = [ip_network(subnet) for subnet in told["USER_ADDITIONAL_BANNED_SUBNETS"].split(",")]
    assert told["USE_DEFAULT_BANNED_SUBNETS"] == "false"
    assert not [subnet for subnet in banned if subnet.version == ours.version and subnet.overlaps(ours)]
    for inner in ("127.0.0.1/32", "169.254.169.254/32", "10.0.0.1/32", "192.168.0.1/32"):
        assert any(subnet.version == 4 and subnet.supernet_of(ip_network(inner)) for subnet in banned)


def test_image_installs_the_lock_and_runs_as_nobody_special() -> None:
    """The image holds what the lock says, with hashes, and its processes are not root."""
    assert "uv pip sync" in DOCKERFILE
    assert "--require-hashes requirements.lock" in DOCKERFILE
    assert "--no-deps" in DOCKERFILE
    assert re.search(r"^USER (?!root)", DOCKERFILE, re.MULTILINE)


def test_image_copies_files_that_exist_and_are_sent() -> None:
    """Every file that the image copies is in the repository, and .dockerignore lets it through."""
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == set(sent)
    assert all((ROOT / name).exists() for name in names)


def environment(service: str) -> dict[str, str]:
    """The variables of a service."""
    told: dict[str, str] = SERVICES[service]["environment"]
    return told
