"""A small process that outlives a killed supervisor just long enough to end what it started.

The kernel's parent-death signal reaches direct children only, and asks; this finds grandchildren too, and insists.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

import psutil

from ml_backend.supervisor.process import end_processes, tagged

DONE = b"done\n"
GRACE_SECONDS = 5.0


class Guard:
    """The guard process of one run; it acts when the pipe to us breaks without a farewell."""

    def __init__(self, tag: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ml_backend.supervisor.guard", tag],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        """Name a process to it; some programs, Redis among them, overwrite the tag that it looks for."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(f"{pid}\n".encode())
                self._process.stdin.flush()

    def dismiss(self) -> None:
        """Send it home: everything has been stopped."""
        self._process.communicate(DONE, timeout=10)


def main(tag: str) -> None:
    """Wait until the supervisor says it is done, or is gone; in that case end its processes."""
    named = []
    for line in sys.stdin.buffer:
        if line == DONE:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            named.append(psutil.Process(int(line)))
    # A Process remembers when it was born, so a number that was given away again does no harm.
    end_processes([*tagged(tag), *(process for process in named if process.is_running())], grace=GRACE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
