"""The edge of a program: what ends it is one sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from config.errors import SpanloopError


def run_program(work: Callable[[], None]) -> int:
    """A program's exit code: 0, or that of the error which ended its work and is said in one sentence."""
    try:
        work()
    except SpanloopError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0
