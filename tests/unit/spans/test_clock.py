"""The offset between the clocks is read where they are read closest together."""

from __future__ import annotations

import time

from otelauto.spans.clock import unix_offset_nano


def test_the_offset_brings_the_monotonic_clock_to_the_time_of_day():
    before = time.time_ns() - time.monotonic_ns()
    offset = unix_offset_nano()
    assert abs(offset - before) < 1_000_000_000


def test_a_reading_that_was_interrupted_is_taken_again():
    monotonic = iter([0, 900_000, 1_000_000, 1_000_010])
    wall = iter([5_000_000_000, 6_000_000_000 + 1_000_005])
    assert 6_000_000_000 == unix_offset_nano(lambda: next(monotonic), lambda: next(wall))


def test_the_best_of_a_few_readings_is_taken_on_a_busy_host():
    monotonic = iter([0, 900_000, 0, 100_000, 0, 500_000])
    wall = iter([1, 50_002, 3])
    assert 2 == unix_offset_nano(lambda: next(monotonic), lambda: next(wall))
