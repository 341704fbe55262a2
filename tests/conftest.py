"""What all tests share: real servers on request, and last lines that say what was not tested here, and why."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.live.redis import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]

# As `spanloop up` sets it for its processes; read when a test first loads a pipeline.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Each of them shares what takes long to start, and some of their tests go on where the one before ended.
ONE_SYSTEM = ("tests/e2e", "tests/contract")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Let two workers share the tests out file by file; suites that start a system go to one worker as a whole."""
    return _ByFileOrSystem(config, log)


class _ByFileOrSystem(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        suite = str(PurePosixPath(file).parent)
        return suite if suite in ONE_SYSTEM else file


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
