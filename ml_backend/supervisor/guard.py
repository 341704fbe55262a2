"""A small process that outlives a killed supervisor just long enough to end what it started.

The kernel's parent-death signal reaches direct children only, and asks; this finds grandchildren too, and insists.
"""

from __future__ import annotations

import subprocess
import sys

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

    def dismiss(self) -> None:
        """Send it home: everything has been stopped."""
        self._process.communicate(DONE, timeout=10)


def main(tag: str) -> None:
    """Wait until the supervisor says it is done, or is gone; in that case end its processes."""
    if sys.stdin.buffer.readline() != DONE:
        end_processes(tagged(tag), grace=GRACE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
