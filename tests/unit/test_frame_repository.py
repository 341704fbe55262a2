"""The Makefile, the locks and CI say what the project promises about them."""

from __future__ import annotations

import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
LOCKS = ["requirements.lock", "label-studio.lock", "scripts/uv-bootstrap.txt"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_make_lists_every_target() -> None:
    """`make` alone shows each target with what it is for."""
    shown = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^ {2}make (\S+) +\S", shown, re.MULTILINE)
    targets = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert sorted(listed) == sorted(target for line in targets for target in line.split())
    assert {"up", "test", "lint", "lock", "demo", "clean", "help"} <= set(listed)


def test_ci_runs_what_a_person_runs() -> None:
    """CI calls `make test` and hides no step of its own."""
    steps = [line for line in (ROOT / ".ci/run").read_text().splitlines()[1:] if line.strip()]
    assert steps == ["set -eu", 'cd "$(dirname "$0")/.."', "make test"]


@pytest.mark.parametrize("name", LOCKS)
def test_locks_pin_every_package_by_hash_and_name_no_index(name: str) -> None:
    """Each package has one version and its hashes; where it is fetched from is the machine's own affair."""
    text = (ROOT / name).read_text()
    packages = [block for block in re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE) if "==" in block]
    assert packages
    assert not [block.splitlines()[0] for block in packages if "--hash=sha256:" not in block]
    assert "://" not in text
    assert "index" not in "".join(line for line in text.splitlines() if line.startswith("-"))


def test_lock_holds_what_the_project_asks_for() -> None:
    """Every dependency of pyproject.toml is in requirements.lock."""
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=!~ ;]", line)[0].lower() for line in asked}
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert names - {name.replace("_", "-") for name in locked} == set()


def test_uv_lock_stays_out_of_git() -> None:
    """There is one lock of the project, requirements.lock; secrets and data stay out too."""
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"uv.lock", "var/", ".env"} <= set(ignored)


def test_scripts_can_be_run() -> None:
    """Every script that make calls exists and is executable."""
    called = set(re.findall(r"(?:^|\s)@?(scripts/[a-z-]+)", MAKEFILE))
    assert called
    for script in called:
        assert (ROOT / script).stat().st_mode & stat.S_IXUSR, script


def test_hooks_check_what_make_lint_checks() -> None:
    """pre-commit runs each checker of `make lint`, from the project's own environment."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks}
    lint = MAKEFILE.partition("\nlint: ")[2].partition("\n\n")[0]
    assert entries == set(re.findall(r"\$\(BIN\)/(\S+)", lint))
