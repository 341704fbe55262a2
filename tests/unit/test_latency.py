"""Quantiles from buckets: as good as the exact ones, within 1 %."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.latency import ERROR, SHORTEST_MS, bucket_of, quantile


@given(st.lists(st.floats(SHORTEST_MS, 1e7), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_latency_quantile_is_off_by_one_percent_at_most(durations: list[float], share: float) -> None:
    """The quantile lies within 1 % of the one over all durations."""
    rank = max(-(-round(share * 100) * len(durations) // 100), 1)
    exact = sorted(durations)[rank - 1]
    found = quantile(Counter(map(bucket_of, durations)), share)
    assert found == pytest.approx(exact, rel=ERROR * 1.0001)


def test_latency_of_nothing_is_unknown() -> None:
    """Without durations there is no quantile; a duration of nothing counts as the shortest."""
    assert quantile({}, 0.5) is None
    assert bucket_of(0.0) == bucket_of(SHORTEST_MS)
