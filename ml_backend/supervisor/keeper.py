"""Keeps a list of processes running: starts them in order, restarts what dies, stops them in reverse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from config.errors import ConfigurationError
from ml_backend.supervisor.process import Child, ProcessSpec, end_processes, tagged

TICK_SECONDS = 0.1
ASK_EVERY_SECONDS = 0.3


class State(StrEnum):
    """Where a process stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


MOVES: Mapping[State, frozenset[State]] = {
    State.WAITING: frozenset({State.STARTING, State.STOPPED}),
    State.STARTING: frozenset({State.READY, State.RESTARTING, State.STOPPED}),
    State.READY: frozenset({State.RESTARTING, State.STOPPED}),
    State.RESTARTING: frozenset({State.STARTING, State.STOPPED}),
    State.STOPPED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a dead process is started again, doubling from first to longest, in seconds."""

    first: float = 1.0
    longest: float = 30.0
    deaths_to_report: int = 5
    stable_after: float = 60.0  # a process that lived so long starts counting anew

    def delay(self, deaths: int) -> float:
        """Seconds to wait after this many deaths in a row."""
        return float(min(self.longest, self.first * 2 ** (deaths - 1)))


@dataclass(frozen=True, slots=True)
class Status:
    """One process as a person sees it."""

    name: str
    state: State
    seconds: float  # in this state
    pid: int | None


# Hears one sentence about one process; called from the keeper's thread.
Listener = Callable[[str, str], None]


class _Slot:
    """One spec with its child, if it has one."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.state = State.WAITING
        self.since = time.monotonic()
        self.child: Child | None = None
        self.deaths = 0
        self.retry_at = 0.0
        self.asked_at = 0.0

    def due_to_ask(self, now: float) -> bool:
        """Whether it is time to ask the process again whether it is ready."""
        if now - self.asked_at < ASK_EVERY_SECONDS:
            return False
        self.asked_at = now
        return True

    def move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise AssertionError(f"{self.spec.name} cannot go from {self.state} to {state}")
        self.state = state
        self.since = time.monotonic()


class Keeper:
    """Runs the processes from one thread of its own, which lives as long as they do.

    The kernel ends a child when the *thread* that made it ends, so no other thread may start one.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        tag: str,
        listener: Listener = lambda _name, _sentence: None,
        backoff: Backoff | None = None,
        on_spawn: Callable[[int], None] = lambda _pid: None,
    ) -> None:
        self._slots = [_Slot(spec) for spec in specs]
        self._tag = tag
        self._listener = listener
        self._backoff = backoff or Backoff()
        self._on_spawn = on_spawn
        self._all_ready = threading.Event()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keeper")
        self._work: Future[None] | None = None

    def start(self) -> None:
        """Start everything and return when all are ready.

        Raises ConfigurationError, with everything stopped again, when one of them ends or is too slow.
        """
        self._work = self._pool.submit(self._keep)
        while not self._all_ready.wait(TICK_SECONDS):
            if self._work.done():
                self._work.result()
                return

    def wait(self) -> None:
        """Return when somebody calls `stop`; raises what ended the keeping before that."""
        while self._work is not None and not self._work.done():
            self._stopping.wait(1.0)
            if self._stopping.is_set():
                return
        if self._work is not None:
            self._work.result()

    def stop(self) -> None:
        """Stop everything in reverse order; returns when nothing is left. Safe to call twice."""
        self._stopping.set()
        if self._work is not None:
            while not self._work.done():
                time.sleep(TICK_SECONDS)
        self._pool.shutdown()

    def hurry(self) -> None:
        """Stop waiting for processes that take their time to end."""
        self._hurry.set()

    def statuses(self) -> list[Status]:
        """How every process stands now, in starting order."""
        now = time.monotonic()
        return [
            Status(slot.spec.name, slot.state, now - slot.since, slot.child.pid if slot.child else None)
            for slot in self._slots
        ]

    def _keep(self) -> None:
        try:
            while not self._stopping.is_set():
                for slot in self._slots:
                    self._step(slot)
                if all(slot.state is State.READY for slot in self._slots):
                    self._all_ready.set()
                self._stopping.wait(TICK_SECONDS)
        finally:
            self._stop_all()

    def _step(self, slot: _Slot) -> None:
        """Move one process on, if there is something to move."""
        child, now = slot.child, time.monotonic()
        due = slot.state is State.WAITING or (slot.state is State.RESTARTING and now >= slot.retry_at)
        if due and self._needs_met(slot.spec):
            self._spawn(slot)
        elif child is not None and slot.state in (State.STARTING, State.READY):
            code = child.exit_code()
            if code is not None:
                self._on_exit(slot, child, code)
            elif slot.state is State.STARTING and (slot.spec.once or slot.due_to_ask(now)):
                self._on_starting(slot, child)

    def _needs_met(self, spec: ProcessSpec) -> bool:
        return all(slot.state is State.READY for slot in self._slots if slot.spec.name in spec.needs)

    def _spawn(self, slot: _Slot) -> None:
        slot.child = Child(slot.spec, self._tag)
        self._on_spawn(slot.child.pid)
        slot.move(State.STARTING)

    def _on_starting(self, slot: _Slot, child: Child) -> None:
        if not slot.spec.once and slot.spec.ready(child.pid, child.age):
            slot.move(State.READY)
            self._listener(slot.spec.name, f"{slot.spec.name} is ready after {child.age:.0f} s")
        elif child.age > slot.spec.ready_within:
            child.stop(self._hurry)
            self._on_death(slot, child, f"was not ready within {slot.spec.ready_within:.0f} s")

    def _on_exit(self, slot: _Slot, child: Child, code: int) -> None:
        if slot.spec.once and code == 0:
            if slot.state is State.STARTING:
                slot.move(State.READY)
                self._listener(slot.spec.name, f"{slot.spec.name} is done")
            return
        # What it left behind would work beside its successor.
        end_processes(tagged(child.tag), grace=1.0)
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._on_death(slot, child, ended if self._all_ready.is_set() else f"{ended} before it was ready")

    def _on_death(self, slot: _Slot, child: Child, what: str) -> None:
        name = slot.spec.name
        tail = child.log_tail()
        story = f"its log {slot.spec.log} ends with:\n{tail}" if tail else f"it wrote nothing into {slot.spec.log}"
        if not self._all_ready.is_set():
            raise ConfigurationError(f"{name} {what}; {story}")
        slot.deaths = 1 if child.age > self._backoff.stable_after else slot.deaths + 1
        delay = self._backoff.delay(slot.deaths)
        slot.retry_at = time.monotonic() + delay
        slot.move(State.RESTARTING)
        if slot.deaths == self._backoff.deaths_to_report:
            sentence = f"{name} keeps dying ({slot.deaths} times in a row; it is tried again all the same); {story}"
        else:
            sentence = f"{name} {what}; it is started again in {delay:.0f} s (log: {slot.spec.log})"
        self._listener(name, sentence)

    def _stop_all(self) -> None:
        """Stop in waves: first those that no other needs, all at the same time, then what only they needed."""
        left = list(self._slots)
        while left:
            needed = {name for slot in left for name in slot.spec.needs}
            wave = [slot for slot in reversed(left) if slot.spec.name not in needed]
            self._stop_wave(wave or left)
            left = [slot for slot in left if slot.state is not State.STOPPED]
        end_processes(tagged(self._tag), grace=2.0)

    def _stop_wave(self, wave: Sequence[_Slot]) -> None:
        alive = [slot.child for slot in wave if slot.child is not None and slot.child.exit_code() is None]
        for child in alive:
            child.ask_to_stop()
        for child in alive:
            child.finish(self._hurry)
        for slot in wave:
            slot.move(State.STOPPED)
