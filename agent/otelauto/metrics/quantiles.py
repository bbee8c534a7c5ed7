"""Quantiles of observations of which only a histogram is left.

Pure functions on buckets. An estimate is always inside the bucket that holds the exact quantile,
so its error is at most that bucket's width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otelauto.model import HistogramPoint

__all__ = ["Buckets", "buckets_of", "quantile"]

#: Upper bound (inclusive; the last may be infinite) and count, ascending.
Buckets: TypeAlias = "Sequence[tuple[float, int]]"


def buckets_of(point: HistogramPoint) -> Buckets:
    """The finest buckets that the point has: its fine ones if they hold every observation."""
    if point.fine and sum(count for _, count in point.fine) == point.count:
        return point.fine
    return tuple(zip((*point.bounds, math.inf), point.counts, strict=True))


def quantile(buckets: Buckets, share: float) -> float | None:
    """The value that this share of the observations does not exceed; None without observations.

    Inside a bucket the observations are taken to be spread evenly, from the bound below (0 for the
    first). Of a bucket without an upper bound the bound below is given: the true value is larger.

    Args:
        buckets: the observations.
        share: 0 to 1, such as 0.99.
    """
    total = sum(count for _, count in buckets)
    if total <= 0:
        return None
    # The rank of an observation, from 1: the smallest with at least this share at or below it.
    rank = max(1, math.ceil(share * total))
    below = 0
    lower = 0.0
    for upper, count in buckets:
        if count > 0 and below + count >= rank:
            if math.isinf(upper):
                return lower
            lower = min(lower, upper)
            return lower + (upper - lower) * (rank - below) / count
        below += count
        lower = upper
    return lower
