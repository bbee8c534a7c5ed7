"""From the kernel's monotonic clock to the time of day.

Only this conversion lives here. The offset is taken once for all spans that are made together, and
a span's end is its start and its duration: a step of the wall clock cannot bend a span.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["unix_offset_nano"]

_TRIES = 3
#: A reading between two of the other clock that are further apart than this is taken again.
_SPREAD_NANO = 20_000


def unix_offset_nano(
    monotonic: Callable[[], int] = time.monotonic_ns, wall: Callable[[], int] = time.time_ns
) -> int:
    """What to add to a time of CLOCK_MONOTONIC to have nanoseconds since the epoch.

    Args:
        monotonic: nanoseconds of the clock that the kernel programs read.
        wall: nanoseconds since the epoch.
    """
    best: tuple[int, int] | None = None
    for _ in range(_TRIES):
        before, now, after = monotonic(), wall(), monotonic()
        reading = (after - before, now - (before + after) // 2)
        best = reading if best is None else min(best, reading, key=lambda one: one[0])
        if best[0] <= _SPREAD_NANO:
            break
    assert best is not None  # noqa: S101 - there was a try
    return best[1]
