"""The doorbell of a Redis that is there and never answers."""

from __future__ import annotations

import socket
import time

import pytest

from config.errors import RedisUnavailable
from ml_backend.queues import Doorbell, QueueName, open_redis

PATIENCE_SECONDS = 10.0


def test_ringing_gives_up_on_a_redis_that_hangs() -> None:
    """Whoever rings is told within seconds; a web process that waited would soon have no thread left to serve."""
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        doorbell = Doorbell(open_redis(f"redis://127.0.0.1:{hanging.getsockname()[1]}/0"))
        started = time.monotonic()
        with pytest.raises(RedisUnavailable):
            doorbell.ring("drain", queue=QueueName.SYNC, timeout=60)
        assert time.monotonic() - started < PATIENCE_SECONDS
        doorbell.redis.close()
