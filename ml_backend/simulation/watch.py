"""What the loop is doing, what a simulation waits for, and how long it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from config.errors import WaitedTooLong
from training.policy import ProjectSettings
from training.store.tables.runs import RunStatus

FINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A training run as it stands; `activated` says that its version has been live."""

    id: str
    status: RunStatus
    version: str | None = None
    activated: bool = False
    training_seconds: float | None = None
    verdict: dict[str, Any] | None = None
    error: str | None = None
    progress: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class LoopState:
    """A project's loop at one moment.

    `live` is the version that serves, `announced` the one Label Studio is told of, `shown` the one it shows; `shown`
    is None as long as the other two differ. `unpushed` counts the waiting tasks without a pre-label of `announced`.
    """

    tasks: int
    unpushed: int
    annotations: frozenset[int]
    verified: int
    newly_verified: int
    test_texts: int
    live: str | None
    announced: str | None
    shown: str | None
    runs: tuple[RunSeen, ...] = ()

    @property
    def active(self) -> RunSeen | None:
        """The run that is pending, waiting or running."""
        return next((run for run in self.runs if run.status not in FINAL), None)

    def ended_since(self, known: Collection[str]) -> list[RunSeen]:
        """The runs that are over and not among the known ones, oldest first."""
        return [run for run in self.runs if run.status in FINAL and run.id not in known]


@dataclass(frozen=True, slots=True)
class Awaited:
    """What has not happened yet, and whose logs tell why."""

    what: str
    logs: tuple[str, ...]


def awaited_at_start(state: LoopState, *, tasks: int) -> Awaited | None:
    """What is missing until every imported text is known and carries version 0's pre-label."""
    if state.tasks < tasks:
        return Awaited(f"{tasks - state.tasks} of {tasks} tasks to reach the store", ("worker-sync", "web"))
    if state.unpushed:
        return Awaited(f"the first pre-labels of {state.unpushed} tasks", ("worker-refresh",))
    return awaited_version(state)


def awaited_after_batch(
    state: LoopState, *, submitted: Collection[int], known: Collection[str], settings: ProjectSettings
) -> Awaited | None:
    """What is missing until the loop has answered a batch.

    `submitted` are all annotations so far, `known` the runs that were over when the batch began. A run that waits
    for test texts is no reason to wait while there are none.
    """
    missing = len(set(submitted) - state.annotations)
    if missing:
        return Awaited(f"{missing} of {len(submitted)} annotations to reach the store", ("worker-sync", "web"))
    active = state.active
    if active is None and _is_due(state, settings) and not _ended_without_model(state, known):
        return Awaited("a training run to start by the retraining policy", ("scheduler", "worker-sync"))
    if active is not None and active.status is RunStatus.PENDING:
        return Awaited("the training run to start", ("worker-training",))
    if active is not None and active.status is RunStatus.RUNNING:
        return Awaited("the training run to end", ("worker-training",))
    if active is not None and state.test_texts:
        return Awaited("the run that waited for test texts to go on", ("scheduler", "worker-sync"))
    return awaited_version(state)


def awaited_version(state: LoopState) -> Awaited | None:
    """What is missing until Label Studio shows the live version."""
    if state.live is None or state.live != state.announced or state.shown != state.live:
        return Awaited(f"Label Studio to show {state.live or 'a version'}", ("worker-refresh", "web"))
    return None


def _is_due(state: LoopState, settings: ProjectSettings) -> bool:
    return state.newly_verified >= settings.retrain_after and state.verified >= settings.min_samples


def _ended_without_model(state: LoopState, known: Collection[str]) -> bool:
    return any(run.status is not RunStatus.COMPLETED for run in state.ended_since(known))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a simulation waits: without any change, and in all."""

    idle_seconds: float = 300.0
    total_seconds: float = 6 * 3600.0
    poll_seconds: float = 0.5
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def wait_until(
    look: Callable[[], LoopState],
    awaited: Callable[[LoopState], Awaited | None],
    *,
    patience: Patience,
    on_wait: Callable[[str], None],
) -> LoopState:
    """Look again and again until nothing is awaited. Raises WaitedTooLong, naming the logs to look at."""
    started = changed = patience.clock()
    last: LoopState | None = None
    while True:
        state = look()
        missing = awaited(state)
        if missing is None:
            return state
        on_wait(missing.what)
        now = patience.clock()
        if state != last:
            last, changed = state, now
        if now - changed > patience.idle_seconds or now - started > patience.total_seconds:
            raise WaitedTooLong(
                f"waited {now - started:.0f} s for {missing.what}, the last {now - changed:.0f} s without any change; "
                f"look at {' and '.join(f'{name}.log' for name in missing.logs)} in the data folder's logs, and run "
                "`spanloop doctor`"
            )
        patience.sleep(patience.poll_seconds)
