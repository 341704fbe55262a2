"""Ringing from the command line, where the system itself may not run."""

from __future__ import annotations

from config.errors import ConfigurationError
from config.log import get_logger
from ml_backend import jobs
from ml_backend.bootstrap import Services

log = get_logger(__name__)


def ring(services: Services, job: str, *args: int | str | bool) -> None:
    """Ring for a job; where that cannot be done, the scheduler rings for it once the system runs."""
    try:
        jobs.ring(services, job, *args)
    except ConfigurationError as error:
        log.warning("job_not_rung", job=job, reason=error.message)
