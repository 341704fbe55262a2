"""How many requests a token may make: a token bucket in Redis, shared by all web processes.

Without Redis each process counts for itself, and gives out its share.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError

from config.log import get_logger

log = get_logger(__name__)
WINDOW_SECONDS = 60
# While Redis is away, every request would otherwise wait for its time-out.
PAUSE_SECONDS = 5.0
REDIS_SECONDS = 0.25

# Atomic: two processes that look at the same time never give out the same request twice.
_TAKE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local capacity = tonumber(ARGV[1])
local state = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = tonumber(state[1]) or capacity
local passed = math.max(0, now - (tonumber(state[2]) or now))
left = math.min(capacity, left + passed * capacity / tonumber(ARGV[2]))
local allowed = 0
if left >= 1 then
  allowed = 1
  left = left - 1
end
redis.call('HSET', KEYS[1], 'left', left, 'at', now)
redis.call('EXPIRE', KEYS[1], 2 * tonumber(ARGV[2]))
return {allowed, tostring(left)}
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a request may go on, and what is left of `limit` requests a minute."""

    allowed: bool
    limit: int
    left: float

    @property
    def remaining(self) -> int:
        """How many requests may follow at once."""
        return math.floor(self.left)

    @property
    def reset_seconds(self) -> int:
        """Seconds until all of the limit is there again."""
        return math.ceil((self.limit - self.left) * WINDOW_SECONDS / self.limit)

    @property
    def retry_after(self) -> int:
        """Seconds until the next request may be made."""
        return max(math.ceil((1 - self.left) * WINDOW_SECONDS / self.limit), 1)

    def to_headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers-10, and the three of its earlier versions."""
        return {
            "RateLimit-Policy": f'"token";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"token";r={self.remaining};t={self.reset_seconds}',
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class LocalBuckets:
    """The buckets of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._state: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str, limit: int) -> Allowance:
        """Take one request out of the bucket, if there is one."""
        with self._lock:
            now = self._clock()
            left, at = self._state.get(key, (float(limit), now))
            left = min(float(limit), left + (now - at) * limit / WINDOW_SECONDS)
            allowed = left >= 1
            left -= allowed
            self._state[key] = (left, now)
        return Allowance(allowed, limit, left)


class RateLimiter:
    """Counts requests in Redis, or in this process for as long as Redis is away."""

    def __init__(self, redis: Redis | None, *, processes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._take = redis.register_script(_TAKE) if redis is not None else None
        self._processes, self._clock = processes, clock
        self._local = LocalBuckets(clock)
        self._again_at = -math.inf

    def take(self, token_id: int, limit: int) -> Allowance:
        """Take one of the token's `limit` requests a minute."""
        if self._take is not None and self._clock() >= self._again_at:
            try:
                answer = self._take(keys=[f"spanloop:rate:{token_id}"], args=[limit, WINDOW_SECONDS])
                allowed, left = cast("tuple[int, bytes]", answer)
                return Allowance(bool(allowed), limit, float(left))
            except RedisError as error:
                self._again_at = self._clock() + PAUSE_SECONDS
                log.warning("rate_limit_without_redis", error=type(error).__name__, seconds=PAUSE_SECONDS)
        return self._local.take(str(token_id), max(limit // self._processes, 1))


def open_limiter(redis_url: str, *, processes: int) -> RateLimiter:
    """A limiter on this Redis; an empty URL counts in this process alone."""
    settings: dict[str, Any] = {"socket_connect_timeout": REDIS_SECONDS, "socket_timeout": REDIS_SECONDS}
    return RateLimiter(Redis.from_url(redis_url, **settings) if redis_url else None, processes=processes)
