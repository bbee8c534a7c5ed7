"""The kernel's fine duration buckets, two an octave (bpf/abi.h, FINE_BUCKETS).

Only their bounds live here.
"""

from __future__ import annotations

import math
from typing import Final

from otelauto.abi import _layout as abi

__all__ = ["FINE_BOUNDS_SECONDS"]

_FIRST_LOG2: Final = 13


def _bounds() -> tuple[float, ...]:
    found = [float(1 << _FIRST_LOG2)]
    for index in range(1, abi.FINE_BUCKETS - 1):
        octave, half = divmod(index - 1, 2)
        found.append((1 << (_FIRST_LOG2 + octave)) * (1 + (half + 1) / 2))
    # Bucket i holds whole nanoseconds below its bound: inclusive bounds are one less.
    return (*((bound - 1) / 1e9 for bound in found), math.inf)


#: Upper bounds, inclusive; the last is infinite.
FINE_BOUNDS_SECONDS: Final[tuple[float, ...]] = _bounds()
