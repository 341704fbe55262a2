"""A run's sign of life: progress goes to the database every few seconds, and a cancel comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from config.errors import RunCancelled, RunLost
from config.log import get_logger
from training.learning.trainer import Progress
from training.store.database import StoreFault
from training.store.unit_of_work import Store

log = get_logger(__name__)
BEAT_SECONDS = 2.0


class Heartbeat:
    """Beats while its `with` block runs, also during steps that report nothing."""

    def __init__(self, store: Store, run_id: str, *, worker: str, clock: Callable[[], datetime]) -> None:
        self._store, self._run_id, self._worker, self._clock = store, run_id, worker, clock
        self._progress: Progress | None = None
        self._cancelled = self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def report(self, progress: Progress) -> None:
        """Take the newest progress. Raises RunCancelled or RunLost where the run is to stop."""
        self._progress = progress
        self.check()

    def check(self) -> None:
        """Raise RunCancelled or RunLost where the run is to stop."""
        if self._cancelled:
            raise RunCancelled(f"run {self._run_id} was cancelled")
        if self._lost:
            raise RunLost(f"run {self._run_id} was taken from this worker")

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self._beat()
            except StoreFault as error:
                # The database may be away for a moment; the next beat tries again.
                log.warning("heartbeat_failed", run_id=self._run_id, error=type(error).__name__)

    def _beat(self) -> None:
        progress = self._progress
        values: dict[str, object] = {}
        if progress is not None:
            values = {
                "epoch": progress.epoch,
                "step": progress.step,
                "loss": progress.loss,
                "dev_f1": progress.dev_f1,
                "seconds_left": progress.seconds_left,
            }
        with self._store.write() as uow:
            answer = uow.runs.beat(self._run_id, self._worker, self._clock(), values)
            uow.commit()
        self._cancelled, self._lost = answer is True, answer is None
