"""The keeper with real, small processes: order, readiness, restarts, endings."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from config.errors import ConfigurationError
from ml_backend.supervisor.keeper import Backoff, Keeper, State
from ml_backend.supervisor.process import ProcessSpec, tagged

QUICK = Backoff(first=0.05, longest=0.1, deaths_to_report=3, stable_after=60)
SECONDS = 30.0
SLEEP = "import time; time.sleep(600)"


def ready_at_once(_pid: int, _age: float) -> bool:
    """Ready as soon as it runs."""
    return True


def never_ready(_pid: int, _age: float) -> bool:
    """Not ready, ever."""
    return False


class Kept:
    """A keeper and what it said."""

    def __init__(self, specs: Sequence[ProcessSpec], tag: str) -> None:
        self.said: list[str] = []
        self.tag = tag
        self.keeper = Keeper(specs, tag=tag, listener=lambda _name, sentence: self.said.append(sentence), backoff=QUICK)

    def pid(self, name: str) -> int:
        """The process id of the named process."""
        return next(status.pid for status in self.keeper.statuses() if status.name == name and status.pid)

    def hear(self, text: str) -> str:
        """Wait for a sentence that holds the text."""
        deadline = time.monotonic() + SECONDS
        while not (heard := [sentence for sentence in self.said if text in sentence]):
            assert time.monotonic() < deadline, f"never said {text!r}, but {self.said}"
            time.sleep(0.02)
        return heard[0]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., Kept]]:
    """Makes keepers and stops them after the test."""
    made: list[Kept] = []

    def make(*specs: ProcessSpec) -> Kept:
        made.append(Kept(specs, f"{tmp_path}|{len(made)}"))
        return made[-1]

    yield make
    for kept in made:
        kept.keeper.stop()
        assert tagged(kept.tag) == []


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., ProcessSpec]:
    """Makes the spec of a process that runs this Python code."""

    def make(name: str, code: str = SLEEP, **more: object) -> ProcessSpec:
        fields = {"ready": ready_at_once, "stop_within": 1.0, **more}
        return ProcessSpec(name, (sys.executable, "-c", code), tmp_path / "logs" / f"{name}.log", **fields)  # type: ignore[arg-type]

    return make


def test_keeper_starts_a_process_after_what_it_needs(
    keep: Callable[..., Kept], spec: Callable[..., ProcessSpec], tmp_path: Path
) -> None:
    """A process starts only when those that it needs are ready, one that ends by itself included."""
    prepare = spec("prepare", f"open({str(tmp_path / 'made')!r}, 'w').close()", once=True)
    check = f"import os; assert os.path.exists({str(tmp_path / 'made')!r}); {SLEEP}"
    kept = keep(spec("user", check, needs=("prepare",)), prepare)
    kept.keeper.start()
    assert kept.said == ["prepare is done", "user is ready after 0 s"]
    assert {status.state for status in kept.keeper.statuses()} == {State.READY}


def test_keeper_stops_in_reverse_order(
    keep: Callable[..., Kept], spec: Callable[..., ProcessSpec], tmp_path: Path
) -> None:
    """What others need is stopped after them, and every process may say goodbye."""
    goodbye = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('gone at', time.monotonic(), flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    slow = goodbye.replace("def end(*_):\n", "def end(*_):\n    time.sleep(0.2)\n")
    specs = [
        spec("a", goodbye, ready=wrote(tmp_path / "logs" / "a.log")),
        spec("b", slow, ready=wrote(tmp_path / "logs" / "b.log"), needs=("a",)),
    ]
    kept = keep(*specs)
    kept.keeper.start()
    kept.keeper.stop()
    ended = {spec.name: float(spec.log.read_text().split()[-1]) for spec in specs}
    assert ended["b"] < ended["a"]


def test_keeper_kills_what_does_not_listen(
    keep: Callable[..., Kept], spec: Callable[..., ProcessSpec], tmp_path: Path
) -> None:
    """A process that ignores the request to end is killed after its grace time, with its own children."""
    stubborn = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)\n"
        "print('deaf', flush=True); time.sleep(600)"
    )
    kept = keep(spec("stubborn", stubborn, ready=wrote(tmp_path / "logs" / "stubborn.log"), stop_within=0.3))
    kept.keeper.start()
    family = [psutil.Process(kept.pid("stubborn")), *psutil.Process(kept.pid("stubborn")).children()]
    assert len(family) == 2
    kept.keeper.stop()
    assert not any(process.is_running() for process in family)


def test_keeper_restarts_what_dies_and_says_so(keep: Callable[..., Kept], spec: Callable[..., ProcessSpec]) -> None:
    """A process that dies is started again, and its user hears how it ended."""
    kept = keep(spec("web"), spec("worker"))
    kept.keeper.start()
    first = kept.pid("web")
    os.kill(first, signal.SIGKILL)
    assert "was ended by signal 9; it is started again" in kept.hear("web was ended")
    deadline = time.monotonic() + SECONDS
    while kept.pid("web") == first or kept.keeper.statuses()[0].state is not State.READY:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not any("worker was" in sentence for sentence in kept.said)


def test_keeper_ends_what_a_dead_process_left_behind(
    keep: Callable[..., Kept], spec: Callable[..., ProcessSpec]
) -> None:
    """A job whose worker was killed does not go on beside the next worker's jobs."""
    leave = (
        f"import subprocess, sys, time; "
        f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True); time.sleep(600)"
    )
    kept = keep(spec("worker", leave, ready=lambda pid, _age: bool(psutil.Process(pid).children())))
    kept.keeper.start()
    (job,) = psutil.Process(kept.pid("worker")).children()
    os.kill(kept.pid("worker"), signal.SIGKILL)
    kept.hear("worker was ended")
    with contextlib.suppress(psutil.NoSuchProcess):
        job.wait(SECONDS)


def test_keeper_reports_what_keeps_dying_once(
    keep: Callable[..., Kept], spec: Callable[..., ProcessSpec], tmp_path: Path
) -> None:
    """A process that dies again and again is reported once, with the last lines of its log."""
    fuse = tmp_path / "fuse"
    code = f"import os, time\nif os.path.exists({str(fuse)!r}): raise SystemExit('no space left')\ntime.sleep(600)"
    kept = keep(spec("web", code))
    kept.keeper.start()
    fuse.touch()
    os.kill(kept.pid("web"), signal.SIGKILL)
    assert kept.hear("keeps dying").endswith("no space left")
    kept.keeper.stop()
    assert len([sentence for sentence in kept.said if "keeps dying" in sentence]) == 1


@pytest.mark.parametrize(
    ("code", "more", "expected"),
    [
        ("raise SystemExit('the disk is full')", {"ready": never_ready}, "web ended with exit code 1"),
        (SLEEP, {"ready": never_ready, "ready_within": 0.3}, "web was not ready within 0 s"),
    ],
    ids=["ends", "too slow"],
)
def test_keeper_start_fails_with_one_sentence(
    keep: Callable[..., Kept],
    spec: Callable[..., ProcessSpec],
    code: str,
    more: dict[str, object],
    expected: str,
) -> None:
    """A start that fails names the process, what happened and its log, and leaves nothing running."""
    kept = keep(spec("redis"), spec("web", code, **more))
    with pytest.raises(ConfigurationError, match=expected) as caught:
        kept.keeper.start()
    assert "web.log" in caught.value.message
    if "disk" in code:
        assert caught.value.message.endswith("the disk is full")
    assert tagged(kept.tag) == []


def test_keeper_names_a_missing_program(keep: Callable[..., Kept], tmp_path: Path) -> None:
    """A program that does not exist is named in the error."""
    kept = keep(ProcessSpec("redis", ("/nowhere/redis-server",), tmp_path / "redis.log"))
    with pytest.raises(ConfigurationError, match="redis cannot be started: /nowhere/redis-server: No such file"):
        kept.keeper.start()


def wrote(log: Path) -> Callable[[int, float], bool]:
    """Ready when the log holds something."""
    return lambda _pid, _age: log.exists() and log.stat().st_size > 0
