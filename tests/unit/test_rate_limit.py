"""The rate limit of one process; tests/integration holds it to a real Redis."""

from __future__ import annotations

from ml_backend.rate_limit import Allowance, LocalBuckets, RateLimiter


class Clock:
    """A clock that stands until it is told to move."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_limit_gives_out_the_limit_and_then_one_by_one() -> None:
    """A minute's requests may come at once; after that they come as time brings them."""
    clock = Clock()
    buckets = LocalBuckets(clock)
    assert [buckets.take("a", 3).allowed for _ in range(4)] == [True, True, True, False]
    clock.now += 19
    assert not buckets.take("a", 3).allowed
    clock.now += 1
    assert buckets.take("a", 3).allowed
    clock.now += 3600
    assert [buckets.take("a", 3).allowed for _ in range(4)] == [True, True, True, False]


def test_rate_limit_keeps_tokens_apart() -> None:
    """What one token uses up, another still has."""
    limiter = RateLimiter(None, processes=1, clock=Clock())
    assert [limiter.take(token, 1).allowed for token in (1, 1, 2)] == [True, False, True]


def test_rate_limit_of_one_process_is_its_share() -> None:
    """Without Redis two processes give out half each, and never nothing."""
    limiter = RateLimiter(None, processes=2, clock=Clock())
    assert [limiter.take(1, 4).allowed for _ in range(3)] == [True, True, False]
    assert limiter.take(2, 1).allowed


def test_rate_limit_tells_what_is_left() -> None:
    """The headers say the limit, what is left, and when there is more."""
    headers = Allowance(allowed=True, limit=60, left=12.5).to_headers()
    assert headers["RateLimit-Policy"] == '"token";q=60;w=60'
    assert headers["RateLimit"] == '"token";r=12;t=48'
    assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"], headers["RateLimit-Reset"]) == (
        "60",
        "12",
        "48",
    )
    assert Allowance(allowed=False, limit=60, left=0.5).retry_after == 1
    assert Allowance(allowed=False, limit=1, left=0.0).retry_after == 60
