"""Quantiles of millions of durations from a few hundred counters. Pure rules.

A duration falls into the bucket of its logarithm, so that a quantile is off by 1 % at most (DDSketch: Masson, Rim and
Lee, VLDB 2019, https://doi.org/10.14778/3352063.3352135).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

ERROR = 0.01
_RATIO = (1 + ERROR) / (1 - ERROR)
SHORTEST_MS = 0.001


def bucket_of(milliseconds: float) -> int:
    """The bucket that a duration falls into."""
    return math.ceil(math.log(max(milliseconds, SHORTEST_MS), _RATIO))


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """The duration in milliseconds that this share of all stays within; None where nothing was counted."""
    total = sum(buckets.values())
    if total <= 0:
        return None
    rank = max(math.ceil(share * total), 1)
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return 2 * _RATIO**bucket / (_RATIO + 1)
    return None
