"""Conversations, and how they are replayed on the state machine in operations of any size.

A turn is what a client sends without waiting and what the server answers to it. The exchanges
that must come out are told by the corpus or by the reference parser; their times are those of the
operations that hold the first byte of the request and the last of the response, however cut.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.bpf.stream import Exchange, Half, Machine

from otelauto.abi._layout import METHODS, PATH_BYTES, Fault, Role, Route, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Cuts = Mapping[tuple[int, Half], Iterable[int]]
    Segments = Callable[[bytes], Sequence[bytes]]

__all__ = ["Truth", "Turn", "cuts_everywhere", "play", "single_cuts"]

#: More than a turn takes, so that times tell where they come from.
TURN_NS = 1_000_000_000
OPERATION_NS = 1_000


@dataclass(frozen=True, slots=True)
class Truth:
    """An exchange as it is on the wire. The path is whole; offsets count in the turn's streams."""

    method: str
    path: bytes | None
    status: int
    request_bytes: int
    response_bytes: int
    version: Version
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side sends without waiting and what it gets for it."""

    requests: bytes
    responses: bytes
    truths: tuple[Truth, ...]
    #: The stream of responses ends here.
    closed: bool = False

    def stream(self, half: Half) -> bytes:
        """The bytes of one direction."""
        return self.requests if half == Half.REQUEST else self.responses


def single_cuts(turns: Sequence[Turn]) -> Iterator[Cuts]:
    """Each way to cut one operation of a conversation in two."""
    for index, turn in enumerate(turns):
        for half in Half:
            for point in range(1, len(turn.stream(half))):
                yield {(index, half): (point,)}


def cuts_everywhere(turns: Sequence[Turn], size: int = 1) -> Cuts:
    """Operations of `size` bytes only."""
    return {
        (index, half): range(size, len(turn.stream(half)), size)
        for index, turn in enumerate(turns)
        for half in Half
    }


def play(
    machine: Machine,
    turns: Sequence[Turn],
    *,
    role: Role = Role.SERVER,
    cuts: Cuts | None = None,
    segments: Segments = lambda data: (data,),
) -> tuple[list[Exchange], list[Exchange]]:
    """Replay on a new connection. Returns the exchanges that are expected and those that came."""
    machine.open(role)
    expected: list[Exchange] = []
    found: list[Exchange] = []
    for index, turn in enumerate(turns):
        begin_ns = (index + 1) * TURN_NS
        points = {}
        for half in Half:
            data = turn.stream(half)
            inner = sorted(set((cuts or {}).get((index, half), ())))
            points[half] = [0, *(point for point in inner if 0 < point < len(data)), len(data)]
        times = {
            Half.REQUEST: begin_ns,
            Half.RESPONSE: begin_ns + len(points[Half.REQUEST]) * OPERATION_NS,
        }
        for half in Half:
            data = turn.stream(half)
            for number, (start, end) in enumerate(pairwise(points[half])):
                if start < end:
                    now_ns = times[half] + number * OPERATION_NS
                    parts = segments(data[start:end])
                    found += machine.operation(half, now_ns, *parts)
                    assert machine.steps <= end - start + len(parts) + len(turn.truths)
        if turn.closed:
            now_ns = begin_ns + TURN_NS - 1
            if role == Role.CLIENT:
                found += machine.end(Half.RESPONSE, now_ns)
            else:
                found += machine.close(now_ns, Fault.NO_RESPONSE)
        expected += [
            _exchange(
                truth,
                start_ns=_time(times[Half.REQUEST], points[Half.REQUEST], truth.first),
                end_ns=_time(times[Half.RESPONSE], points[Half.RESPONSE], truth.last),
            )
            for truth in turn.truths
        ]
    return expected, found


def _time(begin_ns: int, points: Sequence[int], offset: int) -> int:
    return begin_ns + (bisect_right(points, offset) - 1) * OPERATION_NS


def _exchange(truth: Truth, *, start_ns: int, end_ns: int) -> Exchange:
    path = truth.path
    return Exchange(
        method=truth.method if truth.method in METHODS else METHODS[0],
        path=None if path is None else path[:PATH_BYTES],
        status=truth.status,
        request_bytes=truth.request_bytes,
        response_bytes=truth.response_bytes,
        start_ns=start_ns,
        end_ns=end_ns,
        version=truth.version,
        fault=Fault.NONE,
        truncated=path is not None and len(path) > PATH_BYTES,
        route=Route.NONE if path is None else Route.PENDING,
    )
