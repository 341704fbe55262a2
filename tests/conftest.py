"""What all tests share: real servers on request, and last lines that say what was not tested here, and why."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.live.redis import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]

# As `spanloop up` sets it for its processes; read when a test first loads a pipeline.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


# First, since pytest-xdist reads the marks in its own hook of that name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let two workers share the tests out file by file, the ones with the whole system as one, since it is one."""
    for item in items:
        whole = "tests/e2e" if item.path.parent.name == "e2e" else item.path.name
        item.add_marker(pytest.mark.xdist_group(whole))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with each reason for skipping, and how many tests of which suite it took."""
    skipped: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        suite = "/".join(Path(report.nodeid.partition("::")[0]).parts[:2])
        skipped[suite, reason.removeprefix("Skipped: ")] += 1
    terminalreporter.section("not tested here" if skipped else "nothing was skipped")
    for (suite, reason), count in sorted(skipped.items()):
        terminalreporter.line(f"{suite}: {count} skipped: {reason}")
