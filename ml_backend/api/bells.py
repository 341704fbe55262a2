"""Ringing for jobs after an answer went out; where Redis is away, the scheduler's next look finds the work."""

from __future__ import annotations

from config.errors import SpanloopError
from config.log import get_logger
from ml_backend import jobs
from ml_backend.bootstrap import Services

log = get_logger(__name__)


def ring_later(services: Services, job: str, *args: int | str | bool) -> None:
    """Ring for a job of ml_backend.jobs."""
    try:
        jobs.ring(services, job, *args)
    except SpanloopError as error:
        log.warning("job_not_rung", job=job, code=error.code, reason=error.message)
