"""The scheduler: rings for a tick every few seconds. What is due, and for whom, is in the database."""

from __future__ import annotations

import signal
import sys
import threading

from config.errors import SpanloopError
from config.log import get_logger, set_up_logging
from ml_backend.bootstrap import Services, get_services
from ml_backend.program import run_program
from ml_backend.queues import QueueName

log = get_logger(__name__)


def run_scheduler(services: Services, stop: threading.Event) -> None:
    """Ring for ticks until told to stop; an unreachable Redis is said once, and again when it is back."""
    reachable = True
    settings = services.settings
    while not stop.wait(settings.tick_seconds):
        try:
            services.doorbell.ring("tick", queue=QueueName.SYNC, timeout=settings.sync_timeout_seconds)
        except SpanloopError as error:
            if reachable:
                log.warning("tick_not_rung", code=error.code, reason=error.message)
            reachable = False
            continue
        if not reachable:
            log.info("redis_is_back")
        reachable = True


def main() -> None:
    """Run until a signal comes. Raises ConfigurationError."""
    services = get_services()
    set_up_logging(level=services.settings.log_level, as_json=services.settings.log_json)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    run_scheduler(services, stop)


if __name__ == "__main__":
    sys.exit(run_program(main))
