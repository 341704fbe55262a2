"""The rate limit on a real Redis, and without one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import redis

from ml_backend.rate_limit import RateLimiter, open_limiter


def test_rate_limit_is_shared_by_all_processes(redis_url: str) -> None:
    """Two limiters on one Redis give out one token's limit between them, also at the same moment."""
    limiters = [open_limiter(redis_url, processes=2) for _ in range(2)]
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda number: limiters[number % 2].take(1, 20).allowed, range(60)))
    # A request is added every three seconds, so that a slow machine may see one or two more.
    assert 20 <= sum(taken) <= 22
    assert limiters[0].take(2, 20).allowed


def test_rate_limit_fills_up_again(redis_url: str) -> None:
    """What is left, and when there is more, is told alike with and without Redis."""
    limiter = open_limiter(redis_url, processes=1)
    first, second = limiter.take(1, 60), limiter.take(1, 60)
    assert (first.remaining, second.remaining, first.limit) == (59, 58, 60)
    assert second.reset_seconds in (1, 2)


def test_rate_limit_goes_on_without_redis(redis_url: str) -> None:
    """Where Redis goes away, each process counts its own share, and asks Redis again after a pause."""
    clock = [0.0]
    client = redis.Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.2)
    limiter = RateLimiter(client, processes=2, clock=lambda: clock[0])
    assert [limiter.take(1, 4).allowed for _ in range(3)] == [True, True, False]
    there = redis.Redis.from_url(redis_url)
    limiter = RateLimiter(there, processes=1, clock=lambda: clock[0])
    assert limiter.take(1, 4).allowed
    client.close()
    there.close()


def test_rate_limit_lets_go_of_what_is_not_used(redis_url: str) -> None:
    """A token's bucket goes away by itself."""
    open_limiter(redis_url, processes=1).take(1, 60)
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys("spanloop:rate:*")
        assert 0 < client.ttl(key) <= 120
