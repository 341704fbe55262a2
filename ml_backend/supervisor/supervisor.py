"""Starts and stops a whole system on one data folder: `with Supervisor(settings) as system: ...`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from config.settings import Settings
from ml_backend.supervisor.data_folder import DataFolder
from ml_backend.supervisor.guard import Guard
from ml_backend.supervisor.keeper import Backoff, Keeper, Listener, Status
from ml_backend.supervisor.process import ProcessSpec, end_processes, tagged
from ml_backend.supervisor.system import complete_settings, keep_addresses, plan_system

Plan = Callable[[Settings, DataFolder], Sequence[ProcessSpec]]


class Supervisor:
    """One system: Redis, Label Studio, the web process, the workers, the scheduler.

    After `start`, `settings` are complete (addresses, secrets) and stand in the data folder's env file too.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        plan: Plan = plan_system,
        listener: Listener = lambda _name, _sentence: None,
        backoff: Backoff | None = None,
    ) -> None:
        self.settings = settings
        self.folder = DataFolder(settings.data_dir)
        self.specs: Sequence[ProcessSpec] = ()
        self._plan = plan
        self._listener = listener
        self._backoff = backoff
        self._keeper: Keeper | None = None
        self._guard: Guard | None = None

    def start(self) -> None:
        """Start everything; returns when all of it is ready.

        Raises a SpanloopError, with everything stopped again: Conflict where the folder is in use,
        ConfigurationError for a port in use, a missing program, or a process that did not come up.
        """
        self.folder.acquire()
        try:
            self._start_processes()
        except BaseException:
            self.stop()
            raise

    def _start_processes(self) -> None:
        end_processes(tagged(f"{self.folder.path}|"), grace=5.0)  # left by a supervisor that was killed
        remembered = self.folder.memory()
        self.settings = complete_settings(self.settings, self.folder)
        try:
            self.specs = self._plan(self.settings, self.folder)
        except BaseException:
            # The env file still names our own as they were; moved in memory alone they would be somebody else's.
            self.folder.remember(remembered)
            raise
        # Only now: an address where nothing answers would come back at the next start, whoever has mended it since.
        keep_addresses(self.settings, self.folder)
        tag = f"{self.folder.path}|{secrets.token_hex(4)}"
        self._guard = Guard(tag)
        self._keeper = Keeper(
            self.specs, tag=tag, listener=self._listener, backoff=self._backoff, on_spawn=self._guard.watch
        )
        self._keeper.start()

    def wait(self) -> None:
        """Return when `stop` was called elsewhere; raises what ended the system before that."""
        if self._keeper is not None:
            self._keeper.wait()

    def stop(self) -> None:
        """Stop everything in reverse order; returns when no process is left. Safe to call twice."""
        if self._keeper is not None:
            self._keeper.stop()
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None
        self.folder.release()

    def hurry(self) -> None:
        """Let `stop` kill what takes its time."""
        if self._keeper is not None:
            self._keeper.hurry()

    def statuses(self) -> list[Status]:
        """How every process stands now, in starting order; empty before `start`."""
        return self._keeper.statuses() if self._keeper is not None else []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
