"""From samplers to what the kernel compares (struct service of bpf/abi.h).

Only this translation lives here. A trace is kept if the last eight bytes of its id, halved, are
below a bound: on every host the same traces, whatever samples there by ratio in this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otelauto.abi import _layout as abi

__all__ = ["OFF", "Tracing", "tracing"]

_ALL: Final = 2**63
_PARENT_BASED: Final = "parentbased_"
#: Executables of which a thread that sends a request is serving the one that it read last.
_PROXIES: Final = frozenset({"nginx"})


@dataclass(frozen=True, slots=True)
class Tracing:
    """What the kernel is told of a service.

    Attributes:
        sample_below: struct service, sample_below.
        bits: abi.SpanBit.
    """

    sample_below: int = 0
    bits: int = 0


#: No exchange becomes a span.
OFF: Final = Tracing()


def tracing(sampler: str, ratio: float, *, exe: str) -> Tracing:
    """How the exchanges of a service are sampled.

    Args:
        sampler: such as "parentbased_traceidratio".
        ratio: of the ratio samplers.
        exe: path of the executable.
    """
    bits = int(abi.SpanBit.ON)
    if sampler.startswith(_PARENT_BASED):
        bits |= abi.SpanBit.PARENT
    if exe.rpartition("/")[2] in _PROXIES:
        bits |= abi.SpanBit.PROXY
    root = sampler.removeprefix(_PARENT_BASED)
    shares = {"always_on": 1.0, "always_off": 0.0}
    share = min(1.0, max(0.0, shares.get(root, ratio)))
    return Tracing(round(share * _ALL), bits)
