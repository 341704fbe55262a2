"""One running system and one browser for all tests here; where one fails, the logs of all processes."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser

from tests.live.browser import MISSING as NO_CHROMIUM
from tests.live.browser import BrowserAnnotator, find_chromium, run_browser
from tests.live.label_studio import MISSING as NO_LABEL_STUDIO
from tests.live.label_studio import find_label_studio
from tests.live.system import RunningSystem, run_system


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """The whole system; skips where no Label Studio is installed."""
    executable = find_label_studio()
    if executable is None:
        pytest.skip(NO_LABEL_STUDIO)
    with run_system(tmp_path_factory.mktemp("system"), label_studio=executable) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless browser; skips where no Chromium is installed."""
    program = find_chromium()
    if program is None:
        pytest.skip(NO_CHROMIUM)
    with run_browser(program) as running:
        yield running


@pytest.fixture(scope="session")
def person(browser: Browser, system: RunningSystem) -> Iterator[BrowserAnnotator]:
    """A person who is logged in to Label Studio, with a mouse."""
    settings = system.settings
    annotator = BrowserAnnotator(browser, settings.label_studio_url)
    annotator.log_in(settings.label_studio_email, settings.label_studio_password.get_secret_value())
    yield annotator
    annotator.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the last lines of each process's log under a failure."""
    report = yield
    running = getattr(item, "funcargs", {}).get("system")
    if report.failed and isinstance(running, RunningSystem):
        for name, tail in running.log_tails().items():
            report.sections.append((f"{name}.log ends with", tail))
    return report
