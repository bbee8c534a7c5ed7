"""The fine buckets are those of the kernel: two an octave from 2^13 ns on."""

from __future__ import annotations

import bisect
import math
import re
from pathlib import Path

import pytest

from otelauto.abi import _layout as abi
from otelauto.metrics.fine import FINE_BOUNDS_SECONDS

ABI = Path(__file__).parents[3] / "bpf" / "abi.h"


def kernel_bucket(nanoseconds: int) -> int:
    """As bpf/abi.h states it: 1 + 2 * l + h begins at 2^(13 + l) * (1 + h / 2)."""
    if nanoseconds < 1 << 13:
        return 0
    log2 = nanoseconds.bit_length() - 1
    half = (nanoseconds >> (log2 - 1)) & 1
    return min(1 + 2 * (log2 - 13) + half, abi.FINE_BUCKETS - 1)


def test_the_law_is_the_one_that_the_contract_states():
    assert re.search(
        r"0 is below 2\^13 ns, 1 \+ 2 \* l \+ h begins at 2\^\(13 \+ l\) \* \(1 \+ h / 2\) ns",
        ABI.read_text(),
    )


def test_there_is_a_bound_for_each_bucket_and_the_last_is_infinite():
    assert abi.FINE_BUCKETS == len(FINE_BOUNDS_SECONDS)
    assert sorted(set(FINE_BOUNDS_SECONDS)) == list(FINE_BOUNDS_SECONDS)
    assert [math.inf] == [bound for bound in FINE_BOUNDS_SECONDS if math.isinf(bound)]


@pytest.mark.parametrize("shift", range(13, 41))
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_duration_is_at_or_below_the_bound_of_its_bucket_and_above_the_one_before(
    shift, half, off
):
    nanoseconds = (1 << shift) + half * (1 << (shift - 1)) + off
    assert kernel_bucket(nanoseconds) == bisect.bisect_left(FINE_BOUNDS_SECONDS, nanoseconds / 1e9)
