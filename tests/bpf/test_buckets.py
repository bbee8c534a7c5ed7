"""The aggregate puts every value where plain definitions put it (bpf/core/red.h, bpf/limits.h)."""

from __future__ import annotations

import ctypes
import random
from bisect import bisect_left

import pytest

from otelauto.abi._layout import (
    FINE_BUCKETS,
    RED_KEY,
    RED_KEY_OFFSETS,
    RED_VALUE,
    RED_VALUE_SLICES,
    Count,
    RedKey,
    Route,
)
from otelauto.kernel.programs import KernelSettings, cflags

DURATIONS = (0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
SIZES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
OTHER_DURATIONS = (0.000001, 0.0015, 3600)
OTHER_SIZES = (2.5, 100, 1e6)
SHARED_SHARD = 0x80


def library_for(compiled, durations, requests, responses, *, cpus=2):
    settings = KernelSettings("auto", durations, requests, responses, 1024, 1024, 1)
    flags = cflags(settings, "sock", cpus=cpus, pid_namespace=None)
    code = ctypes.CDLL(str(compiled("host_red.c", *flags)))
    code.host_add.argtypes = (ctypes.c_char_p, *[ctypes.c_uint64] * 3, ctypes.c_uint32)
    code.host_begin.argtypes = (ctypes.c_char_p,)
    code.host_series_at.restype = ctypes.POINTER(ctypes.c_char * (RED_KEY.size + RED_VALUE.size))
    code.host_count.restype = ctypes.c_uint64
    return code


@pytest.fixture(scope="module")
def usual(compiled):
    return library_for(compiled, DURATIONS, SIZES, SIZES)


@pytest.fixture(scope="module")
def unusual(compiled):
    return library_for(compiled, OTHER_DURATIONS, OTHER_SIZES, ())


def ask(function, values):
    """Call a function of many values."""
    given = (ctypes.c_uint64 * len(values))(*values)
    answer = (ctypes.c_uint32 * len(values))()
    function(given, len(values), answer)
    return list(answer)


def values_around(bounds):
    """The bounds, what is next to them, and 100,000 values of all magnitudes below 2^62."""
    edges = [int(bound) + d for bound in bounds for d in (-1, 0, 1) if int(bound) + d >= 0]
    seeded = random.Random(3)
    drawn = [seeded.getrandbits(seeded.randrange(1, 63)) for _ in range(100_000)]
    return [*edges, *drawn, 0, 1, (1 << 63) - 1]


def fine_lower_bounds():
    """What bpf/abi.h says of FINE_BUCKETS: where each bucket begins."""
    begins = [0]
    for index in range(1, FINE_BUCKETS):
        octave, half = divmod(index - 1, 2)
        begins.append((1 << (13 + octave)) * (2 + half) // 2)
    return begins


def test_fine_buckets_are_two_an_octave(usual):
    begins = fine_lower_bounds()
    assert sorted(set(begins)) == begins
    values = [*values_around(begins), *range(100_000)]
    expected = [bisect_left(begins, value + 1) - 1 for value in values]
    assert expected == ask(usual.host_fine, values)


@pytest.mark.parametrize("bounds", [DURATIONS, OTHER_DURATIONS], ids=["usual", "unusual"])
def test_durations_fall_into_the_configured_buckets(bounds, request):
    code = request.getfixturevalue("usual" if bounds is DURATIONS else "unusual")
    nanoseconds = [round(bound * 1e9) for bound in bounds]
    values = values_around(nanoseconds)
    expected = [bisect_left(nanoseconds, value) for value in values]
    assert expected == ask(code.host_duration, values)


@pytest.mark.parametrize("bounds", [SIZES, OTHER_SIZES], ids=["usual", "unusual"])
def test_sizes_fall_into_the_configured_buckets(bounds, request):
    code = request.getfixturevalue("usual" if bounds is SIZES else "unusual")
    values = values_around(bounds)
    expected = [bisect_left(bounds, value) for value in values]
    assert expected == ask(code.host_request_size, values)


def test_without_bounds_there_is_one_bucket(unusual):
    assert [0, 0, 0] == ask(unusual.host_response_size, [0, 1, 1 << 62])


def key(service, **more):
    blank = dict.fromkeys(RedKey._fields, 0) | {"address": b"", "service": service} | more
    return RED_KEY.pack(*RedKey(**blank))


def series(code):
    """Service -> members by name, of all series."""
    found = {}
    for index in range(code.host_series_len()):
        raw = code.host_series_at(index).contents.raw
        unpacked = RED_VALUE.unpack(raw[RED_KEY.size :])
        named = RedKey(*RED_KEY.unpack(raw[: RED_KEY.size]))
        found[named] = {name: unpacked[part] for name, part in RED_VALUE_SLICES.items()}
    return found


@pytest.mark.parametrize("shared", [0, 1])
@pytest.mark.parametrize("cpus", [2, 64])
def test_an_exchange_is_added_once_to_each_histogram_and_to_the_sums(shared, cpus, compiled):
    code = library_for(compiled, DURATIONS, SIZES, SIZES, cpus=cpus)
    code.host_clear(1)
    for duration_ns in (1_000_000, 5_000_000, 5_000_001, 20_000_000_000):
        code.host_add(key(7), duration_ns, 33, 0, shared)
    ((named, value),) = series(code).items()
    assert (7, 1 | shared * SHARED_SHARD) == (named.service, named.shard)
    assert ((20_011_000_001,), (132,), (0,)) == (
        value["duration_sum_ns"],
        value["request_bytes"],
        value["response_bytes"],
    )
    assert {1: 2, 2: 1, 15: 1} == {n: count for n, count in enumerate(value["duration"]) if count}
    assert {2: 4} == {n: count for n, count in enumerate(value["request_size"]) if count}
    assert {0: 4} == {n: count for n, count in enumerate(value["response_size"]) if count}
    assert 4 == sum(value["fine"])


def test_each_cpu_has_its_shard(usual):
    code = usual
    code.host_clear(0)
    code.host_add(key(1), 1, 0, 0, 0)
    code.host_add(key(1), 1, 0, 0, 1)
    assert [0, SHARED_SHARD] == [named.shard for named in series(code)]


def test_what_has_no_room_is_counted_under_the_overflow_of_its_service(usual):
    code = usual
    code.host_clear(0)
    code.host_begin(key(1, route=Route.OVERFLOW, role=2))
    for status in range(200, 210):
        code.host_add(key(1, role=2, status=status, path=status), 1_000, 1, 2, 0)
    found = series(code)
    overflow = RedKey(*RED_KEY.unpack(key(1, route=Route.OVERFLOW, role=2)))
    assert 10 == sum(sum(value["duration"]) for value in found.values())
    assert 3 == sum(found[overflow]["duration"])
    assert 3 == code.host_count(Count.SERIES_OVERFLOW)
    # A service without one, and another role, are said to be lost.
    code.host_add(key(2, role=2, status=200), 1_000, 0, 0, 0)
    code.host_add(key(1, role=1, status=200), 1_000, 0, 0, 0)
    assert 2 == code.host_count(Count.SERIES_LOST)
    assert 3 == code.host_count(Count.SERIES_OVERFLOW)


def test_the_key_is_packed_as_the_contract_says():
    packed = key(0x01020304, status=0x0506)
    assert b"\x04\x03\x02\x01" == packed[RED_KEY_OFFSETS["service"] :][:4]
    assert b"\x06\x05" == packed[RED_KEY_OFFSETS["status"] :][:2]
