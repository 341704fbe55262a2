"""A worker for one queue: `python -m ml_backend.worker sync`."""

from __future__ import annotations

import os
import sys
import time

from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer

import ml_backend.jobs  # noqa: F401 (loaded before the fork, so that a job starts in milliseconds)
from config.errors import ConfigurationError
from config.log import get_logger, set_up_logging
from ml_backend.bootstrap import get_services
from ml_backend.program import run_program
from ml_backend.queues import QueueName

log = get_logger(__name__)
RETRY_SECONDS = 2.0
# A refresh has time; annotators' requests and the drain on the same machine go first.
REFRESH_NICENESS = 10
# Sync jobs are small and come every two seconds: a fork for each took 8 % of a core. Training and refreshing load
# pipelines and may be killed, so they get a process of their own that gives its memory back.
WORKERS: dict[QueueName, type[Worker]] = {
    QueueName.SYNC: SimpleWorker,
    QueueName.TRAINING: Worker,
    QueueName.REFRESH: Worker,
}


def run_worker(queue: QueueName, *, burst: bool = False) -> None:
    """Work on a queue until told to stop; with `burst`, until it is empty. Waits for Redis where it is away."""
    connection = get_services().doorbell.redis
    while True:
        try:
            worker = WORKERS[queue](
                [Queue(queue, connection=connection, serializer=JSONSerializer)],
                connection=connection,
                serializer=JSONSerializer,
            )
            worker.work(burst=burst, logging_level=None, with_scheduler=False)
            return
        except RedisError as error:
            if burst:
                raise
            log.warning("redis_unreachable", queue=queue.value, error=type(error).__name__)
            time.sleep(RETRY_SECONDS)


def main() -> None:
    """Run the worker that the command line names. Raises ConfigurationError."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in list(QueueName):
        raise ConfigurationError(f"name one queue of {', '.join(QueueName)}, e.g. python -m ml_backend.worker sync")
    settings = get_services().settings
    set_up_logging(level=settings.log_level, as_json=settings.log_json)
    if name == QueueName.REFRESH:
        os.nice(REFRESH_NICENESS)
    run_worker(QueueName(name))


if __name__ == "__main__":
    sys.exit(run_program(main))
