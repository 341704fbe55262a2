"""The doorbell: RQ queues on Redis. Losing Redis loses nothing, since the database says what is to be done."""

from __future__ import annotations

import socket
from enum import StrEnum

import psutil
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, Worker
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException as JobTimeoutException  # for jobs, which know nothing else of RQ

from config.errors import ConfigurationError, RedisUnavailable
from config.log import get_logger

log = get_logger(__name__)
# A bell that was rung and never answered (its worker died) can be rung again after this.
BELL_SECONDS = 30
# So long a Redis that hangs may keep somebody waiting.
RING_SECONDS = 2.0


class QueueName(StrEnum):
    """The queues, each with a worker of its own, so that a long run never holds up an annotator's feedback."""

    SYNC = "sync"
    TRAINING = "training"
    REFRESH = "refresh"


class Doorbell:
    """Rings for a job by its name; rung twice before the job starts, it is put into the queue once."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def ring(self, job: str, *args: int | str | bool, queue: QueueName, timeout: int) -> bool:
        """Put `ml_backend.jobs.<job>` into the queue; False where it waits there already.

        Raises RedisUnavailable; the scheduler's next tick rings again.
        """
        key = bell_key(job, *args)
        try:
            if not self.redis.set(key, "1", nx=True, ex=BELL_SECONDS):
                return False
            Queue(queue, connection=self.redis, serializer=JSONSerializer).enqueue_call(
                f"ml_backend.jobs.{job}",
                args=args,
                timeout=timeout,
                result_ttl=0,
                failure_ttl=3600,
            )
        except RedisError as error:
            raise RedisUnavailable(
                f"Redis does not answer ({type(error).__name__}); jobs start once it is back"
            ) from error
        return True

    def count_workers(self) -> dict[QueueName, int]:
        """How many workers listen on each queue; those of this machine whose process is gone are left out.

        Raises RedisUnavailable.
        """
        try:
            workers = Worker.all(connection=self.redis, serializer=JSONSerializer)
        except RedisError as error:
            raise RedisUnavailable(f"Redis does not answer ({type(error).__name__})") from error
        alive = [worker for worker in workers if _is_alive(worker)]
        return {name: sum(name.value in worker.queue_names() for worker in alive) for name in QueueName}

    def answer(self, job: str, *args: int | str | bool) -> None:
        """Say that the job has started: whoever rings from now on means a new one."""
        try:
            self.redis.delete(bell_key(job, *args))
        except RedisError as error:
            log.warning("bell_not_answered", job=job, error=type(error).__name__)


def _is_alive(worker: Worker) -> bool:
    # A killed worker's entry stays for minutes; only on its own machine can be seen that it is gone.
    return worker.hostname != socket.gethostname() or worker.pid is None or psutil.pid_exists(worker.pid)


def bell_key(job: str, *args: int | str | bool) -> str:
    """The Redis key that stands while a job waits to be started."""
    return ":".join(["spanloop", "bell", job, *map(str, args)])


def open_redis(url: str) -> Redis:
    """A client for the job queues. Short waits only: nobody stands in line for a doorbell.

    Raises ConfigurationError for an address that is none of Redis's.
    """
    once = Retry(NoBackoff(), retries=0)  # redis-py 8 would try again for seconds, in a thread of the web process
    # An RQ worker lengthens the time-out of the connection it is given to what its blocking calls need.
    try:
        return Redis.from_url(
            url,
            socket_connect_timeout=RING_SECONDS,
            socket_timeout=RING_SECONDS,
            health_check_interval=30,
            retry=once,
        )
    except ValueError as error:
        raise ConfigurationError(
            "SPANLOOP_REDIS_URL is not the address of a Redis, such as redis://127.0.0.1:6379/0"
        ) from error
