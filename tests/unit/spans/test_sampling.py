"""A sampler is a bound that the kernel compares half of a trace id with."""

from __future__ import annotations

import os

import pytest

from otelauto.abi._layout import SpanBit
from otelauto.spans.sampling import OFF, tracing


@pytest.mark.parametrize(
    ("sampler", "ratio", "below", "bits"),
    [
        ("always_on", 0.1, 2**63, SpanBit.ON),
        ("always_off", 0.1, 0, SpanBit.ON),
        ("traceidratio", 0.25, 2**61, SpanBit.ON),
        ("traceidratio", 0.0, 0, SpanBit.ON),
        ("traceidratio", 1.0, 2**63, SpanBit.ON),
        ("parentbased_always_on", 0.1, 2**63, SpanBit.ON | SpanBit.PARENT),
        ("parentbased_always_off", 0.1, 0, SpanBit.ON | SpanBit.PARENT),
        ("parentbased_traceidratio", 0.5, 2**62, SpanBit.ON | SpanBit.PARENT),
    ],
)
def test_a_sampler_becomes_a_bound_and_bits(sampler, ratio, below, bits):
    found = tracing(sampler, ratio, exe="/usr/bin/python3")
    assert (below, bits) == (found.sample_below, found.bits)


@pytest.mark.parametrize(
    ("exe", "proxy"),
    [("/usr/sbin/nginx", True), ("nginx", True), ("/opt/nginx/bin/node", False), ("", False)],
)
def test_a_proxy_is_known_by_its_executable(exe, proxy):
    assert proxy == bool(tracing("always_on", 1.0, exe=exe).bits & SpanBit.PROXY)


def test_a_share_of_random_traces_is_kept():
    below = tracing("traceidratio", 0.3, exe="").sample_below
    kept = sum(int.from_bytes(os.urandom(8), "big") >> 1 < below for _ in range(20_000))
    assert 5_500 < kept < 6_500


def test_off_has_no_bits():
    assert (0, 0) == (OFF.sample_below, OFF.bits)
