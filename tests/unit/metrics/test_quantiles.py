"""Quantiles from buckets against the exact ones of the same observations."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelauto.metrics.quantiles import buckets_of, quantile
from otelauto.model import HistogramPoint

BOUNDS = (0.0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def bucketed(values, bounds=BOUNDS):
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return list(zip((*bounds, math.inf), counts, strict=True))


def exact(values, share):
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=200),
    st.floats(0, 1),
)
def test_the_estimate_is_in_the_bucket_of_the_exact_quantile(values, share):
    truth = exact(values, share)
    estimate = quantile(bucketed(values), share)
    index = bisect_left(BOUNDS, truth)
    lower = BOUNDS[index - 1] if index else 0.0
    upper = BOUNDS[index] if index < len(BOUNDS) else BOUNDS[-1]
    assert lower <= estimate <= upper


@settings(deadline=None)
@given(st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=50))
def test_a_larger_share_never_has_a_smaller_quantile(values):
    buckets = bucketed(values)
    found = [quantile(buckets, share / 20) for share in range(21)]
    assert sorted(found) == found


def test_evenly_spread_observations_are_met_exactly():
    buckets = bucketed([n / 1000 for n in range(1, 1001)], tuple(n / 10 for n in range(11)))
    for share in (0.01, 0.1, 0.5, 0.95, 0.99, 1.0):
        assert quantile(buckets, share) == pytest.approx(share)


def test_two_buckets_an_octave_err_by_a_third_at_most():
    bounds = tuple(1e-6 * 2 ** (n / 2) for n in range(56))
    values = [1e-4 * 1.01**n for n in range(900)]
    for share in (0.5, 0.95, 0.99):
        assert quantile(bucketed(values, bounds), share) == pytest.approx(
            exact(values, share), rel=0.34
        )


def test_nothing_observed_has_no_quantile():
    assert quantile([], 0.5) is None
    assert quantile(bucketed([]), 0.5) is None


def test_above_the_last_bound_the_last_bound_is_given():
    assert quantile(bucketed([11.0, 12.0]), 0.5) == 10.0


def point(**changes):
    fields = {
        "attributes": (),
        "start_unix_nano": 1,
        "sum": 1.0,
        "bounds": (1.0,),
        "counts": (2, 1),
    }
    return HistogramPoint(**(fields | changes))


def test_fine_buckets_are_used_if_they_hold_every_observation():
    fine = ((0.5, 1), (1.0, 1), (2.0, 1))
    assert buckets_of(point(fine=fine)) == fine
    coarse = ((1.0, 2), (math.inf, 1))
    assert buckets_of(point()) == coarse
    assert buckets_of(point(fine=((0.5, 1), (1.0, 1)))) == coarse
