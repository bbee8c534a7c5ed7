"""Conversations, and how they are replayed on the state machine in operations of any size.

A turn is what a client sends without waiting and what the server answers to it. The exchanges
that must come out are told by the corpus or by the reference parser; their times are those of the
operations that hold the first byte of the request and the last of the response, however cut.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    eager: bool = False,
) -> tuple[list[Exchange], list[Exchange]]:
    """Replay on a new connection. Returns the exchanges that are expected and those that came.

    Args:
        machine: on which.
        turns: of the conversation.
        role: of the process that is watched.
        cuts: where operations end, beside the ends of turns.
        segments: of an operation.
        eager: a response is sent as soon as its request has come, not when the turn has.
    """
    machine.open(role)
    expected: list[Exchange] = []
    found: list[Exchange] = []
    for index, turn in enumerate(turns):
        moves = _moves(index, turn, cuts or {}, eager=eager)
        for move in moves:
            parts = segments(turn.stream(move.half)[move.start : move.end])
            found += machine.operation(move.half, move.time_ns, *parts)
            assert machine.steps <= move.end - move.start + len(parts) + len(turn.truths)
        if turn.closed and role == Role.CLIENT:
            found += machine.end(Half.RESPONSE, (index + 2) * TURN_NS - 1)
        elif turn.closed:
            found += machine.close((index + 2) * TURN_NS - 1, Fault.NO_RESPONSE)
        expected += [
            _exchange(
                truth,
                start_ns=_time(moves, Half.REQUEST, truth.first),
                end_ns=_time(moves, Half.RESPONSE, truth.last),
            )
            for truth in turn.truths
        ]
    return expected, found


@dataclass(frozen=True, slots=True)
class _Move:
    """An operation: these bytes of the turn's stream."""

    half: Half
    start: int
    end: int
    time_ns: int = 0


def _moves(index: int, turn: Turn, cuts: Cuts, *, eager: bool) -> list[_Move]:
    """The operations of a turn, in order."""
    waiting = {}
    for half in Half:
        size = len(turn.stream(half))
        inner = sorted({point for point in cuts.get((index, half), ()) if 0 < point < size})
        pairs = pairwise([0, *inner, size])
        waiting[half] = [_Move(half, start, end) for start, end in pairs if start < end]
    ordered = []
    if eager:
        for move in waiting[Half.REQUEST]:
            ordered.append(move)
            answerable = _answerable(turn, move.end)
            while waiting[Half.RESPONSE] and waiting[Half.RESPONSE][0].end <= answerable:
                ordered.append(waiting[Half.RESPONSE].pop(0))
    else:
        ordered = waiting[Half.REQUEST]
    begin_ns = (index + 1) * TURN_NS
    return [
        replace(move, time_ns=begin_ns + number * OPERATION_NS)
        for number, move in enumerate([*ordered, *waiting[Half.RESPONSE]])
    ]


def _answerable(turn: Turn, sent: int) -> int:
    """Bytes of responses whose requests have been sent whole."""
    begins = [truth.first for truth in turn.truths]
    ends = [*begins[1:], len(turn.requests)][: len(begins)]
    lasts = [truth.last + 1 for truth, end in zip(turn.truths, ends, strict=True) if end <= sent]
    return max(lasts, default=0)


def _time(moves: Sequence[_Move], half: Half, offset: int) -> int:
    (time_ns,) = (
        move.time_ns for move in moves if move.half == half and move.start <= offset < move.end
    )
    return time_ns


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
