"""The worlds the contract suite runs in: the fake, and a real Label Studio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sync.client import LabelStudio
from sync.events import Event, parse_event
from tests.fakes.label_studio import FakeLabelStudio
from tests.live.label_studio import MISSING, LiveLabelStudio, find_label_studio, run_label_studio
from tests.live.receiver import Receiver, run_receiver


@dataclass
class World:
    """A Label Studio, an address its webhooks reach, and what came there."""

    client: Any
    backend_url: str
    wait_for_event: Callable[[str], Event]
    bodies: Callable[[], list[dict[str, Any]]]
    answer: Callable[[str], None]
    """Lets the backend answer /setup and /predict with this version from now on."""


@pytest.fixture(scope="session")
def live_label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLabelStudio]:
    """A real Label Studio; skips, with the reason, where none is installed."""
    executable = find_label_studio()
    if executable is None:
        pytest.skip(MISSING)
    with run_label_studio(executable, tmp_path_factory.mktemp("label-studio")) as live:
        yield live


@pytest.fixture(params=["fake", "real"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The same suite on the fake and on the real Label Studio."""
    if request.param == "fake":
        fake = FakeLabelStudio()
        yield World(
            fake, "http://backend.test", lambda action: _last(fake.sent, action), lambda: fake.sent, lambda _: None
        )
        return
    live: LiveLabelStudio = request.getfixturevalue("live_label_studio")
    client = LabelStudio(live.url, live.api_key, timeout=60)
    with run_receiver() as receiver:
        yield World(
            client,
            receiver.url,
            lambda action: _wait(receiver, action),
            lambda: [call.body for call in receiver.events()],
            receiver.answer,
        )
    client.close()


def _wait(receiver: Receiver, action: str) -> Event:
    receiver.wait_for(lambda: receiver.events(action))
    return _last([call.body for call in receiver.events(action)], action)


def _last(bodies: list[dict[str, Any]], action: str) -> Event:
    return parse_event([body for body in bodies if body["action"] == action][-1])
