"""Requests that wait for their responses, as many as there are room for and more; lost memory."""

from __future__ import annotations

import pytest
from tests.bpf.stream import Half, Phase

from otelauto.abi._layout import Count, Fault, Role, Route

ANSWER = b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n"
#: The first, and those in the ring behind it.
ROOM = 1 + 64
RESET = 104


def numbered(number):
    """A request with a body of its own size."""
    return b"POST /p/%d HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (
        number,
        number % 5,
        b"b" * (number % 5),
    )


def ask(machine, numbers, *, one_operation):
    """Pipeline these requests; they start at 1000 plus their number."""
    if one_operation:
        machine.operation(Half.REQUEST, 1000, b"".join(map(numbered, numbers)))
    else:
        for number in numbers:
            machine.operation(Half.REQUEST, 1000 + number, numbered(number))


def answer(machine, numbers, *, one_operation):
    """Answer in order; each response has its own status and size, and ends at 5000 plus number."""
    parts = [ANSWER % (210 + number % 80, number % 7) + b"r" * (number % 7) for number in numbers]
    if one_operation:
        return machine.operation(Half.RESPONSE, 5000, b"".join(parts))
    return [
        found
        for number, part in zip(numbers, parts, strict=True)
        for found in machine.operation(Half.RESPONSE, 5000 + number, part)
    ]


@pytest.mark.parametrize("one_operation", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3, 63, 64, ROOM])
def test_each_request_keeps_its_details_up_to_the_deepest_pipeline(depth, one_operation, machine):
    machine.open()
    ask(machine, range(depth), one_operation=one_operation)
    assert depth == machine.waiting
    found = answer(machine, range(depth), one_operation=one_operation)
    own = 0 if one_operation else 1
    assert [
        (b"/p/%d" % n, 210 + n % 80, n % 5, n % 7, 1000 + n * own, 5000 + n * own)
        for n in range(depth)
    ] == [
        (
            one.path,
            one.status,
            one.request_bytes,
            one.response_bytes,
            one.start_ns,
            one.end_ns,
        )
        for one in found
    ]
    assert 0 == machine.waiting
    assert {} == machine.counts()


@pytest.mark.parametrize("one_operation", [True, False])
@pytest.mark.parametrize("depth", [ROOM + 1, ROOM + 2, 300])
def test_requests_beyond_it_are_counted_under_the_overflow_with_their_status(
    depth, one_operation, machine
):
    machine.open()
    ask(machine, range(depth), one_operation=one_operation)
    found = answer(machine, range(depth), one_operation=one_operation)
    assert [210 + n % 80 for n in range(depth)] == [one.status for one in found]
    assert [n % 7 for n in range(depth)] == [one.response_bytes for one in found]
    assert [n % 5 for n in range(ROOM)] == [one.request_bytes for one in found[:ROOM]]
    assert {(Route.PENDING, "POST")} == {(one.route, one.method) for one in found[:ROOM]}
    assert {(Route.OVERFLOW, "_OTHER", None)} == {
        (one.route, one.method, one.path) for one in found[ROOM:]
    }
    assert all(one.start_ns >= 5000 for one in found[ROOM:]), "no time is invented"
    assert {Count.PIPELINE_OVERFLOW: depth - ROOM} == machine.counts()
    assert 0 == machine.waiting


def test_a_pipeline_goes_round_its_ring(machine):
    machine.open()
    ask(machine, range(40), one_operation=False)
    for number in range(300):
        ask(machine, [40 + number], one_operation=False)
        (found,) = answer(machine, [number], one_operation=False)
        assert (b"/p/%d" % number, number % 5) == (found.path, found.request_bytes)
    assert 40 == machine.waiting


def test_after_an_overflow_the_next_requests_are_kept_again(machine):
    machine.open()
    ask(machine, range(ROOM + 3), one_operation=False)
    answer(machine, range(ROOM + 3), one_operation=False)
    ask(machine, [7, 8], one_operation=False)
    found = answer(machine, [7, 8], one_operation=False)
    assert [b"/p/7", b"/p/8"] == [one.path for one in found]


def test_the_body_of_a_request_beyond_the_pipeline_is_not_given_to_another(machine):
    machine.open()
    ask(machine, [1] * ROOM, one_operation=False)
    big = b"PUT /big HTTP/1.1\r\nContent-Length: 5000\r\n\r\n"
    machine.operation(Half.REQUEST, 2000, big + b"x" * 5000)
    assert [1] * ROOM == [
        one.request_bytes for one in answer(machine, [1] * ROOM, one_operation=False)
    ]


def test_without_room_for_a_pipeline_nothing_is_lost_from_the_count(machine):
    machine.open()
    machine.refuse()
    ask(machine, range(5), one_operation=False)
    found = answer(machine, range(5), one_operation=False)
    assert [210, 211, 212, 213, 214] == [one.status for one in found]
    assert [Route.PENDING] + [Route.OVERFLOW] * 4 == [one.route for one in found]


def test_an_evicted_pipeline_is_counted_under_the_overflow(machine):
    machine.open()
    ask(machine, range(4), one_operation=False)
    machine.evict()
    found = answer(machine, range(4), one_operation=False)
    assert 4 == len(found)
    assert [Route.PENDING] + [Route.OVERFLOW] * 3 == [one.route for one in found]
    assert all(one.start_ns >= 5000 for one in found[1:])
    assert {Count.PIPELINE_OVERFLOW: 3} == machine.counts()


def test_an_evicted_start_of_a_line_loses_one_message_and_says_so(machine):
    machine.open()
    machine.operation(Half.REQUEST, 1, b"GET /a HTTP/1.1\r\nHo")
    machine.evict()
    machine.operation(Half.REQUEST, 2, b"st: h\r\n\r\n")
    assert {Count.CARRY_LOST: 1} == machine.counts()
    assert Phase.LOST == machine.phase(Half.REQUEST)
    (found,) = machine.operation(Half.RESPONSE, 3, ANSWER % (200, 0))
    assert b"/a" == found.path
    machine.operation(Half.REQUEST, 4, b"GET /b HTTP/1.1\r\n\r\n")
    (found,) = machine.operation(Half.RESPONSE, 5, ANSWER % (200, 0))
    assert (b"/b", 4) == (found.path, found.start_ns)


def test_a_line_that_cannot_be_kept_loses_one_message_and_says_so(machine):
    machine.open()
    machine.refuse()
    machine.operation(Half.REQUEST, 1, b"GET /a HT")
    assert {Count.CARRY_LOST: 1} == machine.counts()
    machine.operation(Half.REQUEST, 2, b"TP/1.1\r\n\r\n")
    machine.operation(Half.REQUEST, 3, b"GET /b HTTP/1.1\r\n\r\n")
    (found,) = machine.operation(Half.RESPONSE, 4, ANSWER % (200, 0))
    assert (b"/b", 3) == (found.path, found.start_ns)
    assert 0 == machine.waiting


def test_when_the_connection_closes_each_waiting_request_ends_with_the_fault(machine):
    machine.open()
    ask(machine, range(3), one_operation=False)
    answer(machine, [0], one_operation=False)
    machine.operation(Half.RESPONSE, 6000, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    found = machine.close(7000, Fault.NO_RESPONSE)
    assert [
        (b"/p/1", 200, 3, Fault.NO_RESPONSE, 7000),
        (b"/p/2", 0, 0, Fault.NO_RESPONSE, 7000),
    ] == [(one.path, one.status, one.response_bytes, one.fault, one.end_ns) for one in found]
    assert 0 == machine.waiting


@pytest.mark.parametrize(
    ("role", "half", "error", "fault"),
    [
        (Role.CLIENT, Half.RESPONSE, 0, Fault.CONNECTION_CLOSED),
        (Role.CLIENT, Half.RESPONSE, RESET, Fault.CONNECTION_RESET),
        (Role.CLIENT, Half.REQUEST, 32, Fault.CONNECTION_RESET),
        (Role.SERVER, Half.RESPONSE, 32, Fault.CONNECTION_RESET),
        (Role.SERVER, Half.REQUEST, RESET, Fault.CONNECTION_RESET),
        (Role.SERVER, Half.REQUEST, 110, Fault.CONNECTION_RESET),
    ],
)
def test_an_end_before_the_answer_has_a_fault_and_no_status(role, half, error, fault, machine):
    machine.open(role)
    machine.operation(Half.REQUEST, 1000, numbered(2))
    (found,) = machine.end(half, 3000, error)
    assert (0, fault, 3000, 0) == (
        found.status,
        found.fault,
        found.end_ns,
        found.response_bytes,
    )


@pytest.mark.parametrize(
    ("role", "half", "error"),
    [
        (Role.SERVER, Half.REQUEST, 0),
        (Role.SERVER, Half.REQUEST, 11),
        (Role.CLIENT, Half.RESPONSE, 11),
        (Role.CLIENT, Half.RESPONSE, 4),
    ],
)
def test_a_half_that_ends_or_would_block_says_nothing_of_the_answer(role, half, error, machine):
    machine.open(role)
    machine.operation(Half.REQUEST, 1000, numbered(2))
    assert [] == machine.end(half, 3000, error)
    (found,) = machine.operation(Half.RESPONSE, 4000, ANSWER % (200, 0))
    assert (200, Fault.NONE, 4000) == (found.status, found.fault, found.end_ns)


def test_an_answer_before_the_end_of_the_request_is_the_answer(machine):
    machine.open()
    machine.operation(Half.REQUEST, 1, b"POST /up HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
    (found,) = machine.operation(Half.RESPONSE, 2, ANSWER % (413, 0))
    assert (413, 3, 2) == (found.status, found.request_bytes, found.end_ns)
    machine.operation(Half.REQUEST, 3, b"defghij")
    machine.operation(Half.REQUEST, 4, b"GET /next HTTP/1.1\r\n\r\n")
    (found,) = machine.operation(Half.RESPONSE, 5, ANSWER % (200, 0))
    assert (b"/next", 4, 0) == (found.path, found.start_ns, found.request_bytes)
