"""After bytes were missed the state machine finds its place again, and only by a start line."""

from __future__ import annotations

import pytest
from tests.bpf.build import HERE
from tests.bpf.stream import Half, Phase

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#: The kernel allows 33 tail calls, and a program makes STEPS steps.
PROGRAMS = 34


def lose(machine):
    """A connection on which a request was lost."""
    machine.open()
    machine.unseen(Half.REQUEST, 1, 100)
    assert Phase.LOST == machine.phase(Half.REQUEST)


def assert_healed(machine, request, method, path):
    lose(machine)
    for now_ns, part in enumerate(request, start=10):
        assert [] == machine.operation(Half.REQUEST, now_ns, part)
    (found,) = machine.operation(Half.RESPONSE, 90, ANSWER)
    assert (method, path) == (found.method, found.path)
    return found


@pytest.mark.parametrize(
    ("line", "method"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", "GET"),
        (b"VERSION-CONTROL /a HTTP/1.1\r\n\r\n", "VERSION-CONTROL"),
        (b"PURGE /a HTTP/1.1\r\n\r\n", "_OTHER"),
    ],
)
def test_a_request_line_heals_wherever_it_is_cut(line, method, machine):
    for point in range(1, len(line)):
        found = assert_healed(machine, (line[:point], line[point:]), method, b"/a")
        assert 10 == found.start_ns


@pytest.mark.parametrize("junk", [b"abc", b"x", b"0123456789abcdef", b"Zm9v", b"a" * 300, b"\r"])
def test_a_short_piece_of_a_body_does_not_spoil_the_request_behind_it(junk, machine):
    found = assert_healed(machine, (junk, b"GET /a HTTP/1.1\r\n\r\n"), "GET", b"/a")
    assert 11 == found.start_ns


@pytest.mark.parametrize("junk", [b"GET", b"GE", b"ABC\x00", b"POST /x\n", b"GET / HTTP/2\r\n"])
def test_what_began_like_a_request_and_was_none_does_not_hide_the_next(junk, machine):
    lose(machine)
    machine.operation(Half.REQUEST, 10, junk)
    machine.operation(Half.REQUEST, 11, b"\x00\x01\x02")
    machine.operation(Half.REQUEST, 12, b"GET /a HTTP/1.1\r\n\r\n")
    (found,) = machine.operation(Half.RESPONSE, 90, ANSWER)
    assert ("GET", b"/a", 12) == (found.method, found.path, found.start_ns)


@pytest.mark.parametrize(
    "piece",
    [
        b"not a request /a HTTP/1.1\r\n\r\n",
        b"get /a HTTP/1.1\r\n\r\n",
        b"a /a HTTP/1.1\r\n\r\n",
        b"1 /a HTTP/1.1\r\n\r\n",
        b"\r\nGET /a HTTP/1.1\r\n\r\n",
        b"xGET /a HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"GET /a HTTP/1.1",
    ],
)
def test_only_what_looks_like_a_method_begins_a_request_then(piece, machine):
    lose(machine)
    assert [] == machine.operation(Half.REQUEST, 10, piece)
    assert 0 == machine.waiting


def test_a_response_of_which_the_end_was_missed_ends_with_the_next(machine):
    machine.open()
    for number in (1, 2):
        machine.operation(Half.REQUEST, number, b"GET /%d HTTP/1.1\r\n\r\n" % number)
    machine.operation(Half.RESPONSE, 10, b"HTTP/1.1 201 OK\r\nContent-Length: 5\r\n\r\nab")
    assert [] == machine.unseen(Half.RESPONSE, 11, 30)
    (first, second) = machine.operation(Half.RESPONSE, 12, ANSWER)
    assert (b"/1", 201) == (first.path, first.status)
    assert (b"/2", 200, 12) == (second.path, second.status, second.end_ns)


@pytest.mark.parametrize("line_size", [10, 100, 200, 256, 257, 260, 300, 510, 513, 700, 16_000])
def test_a_head_of_16_kib_takes_no_more_steps_than_the_kernel_lets_a_program_make(
    line_size, machine
):
    limits = (HERE.parents[1] / "bpf" / "limits.h").read_text()
    (steps,) = [int(line.split()[2]) for line in limits.splitlines() if " STEPS " in line]
    line = b"X: " + b"v" * (line_size - 5) + b"\r\n"
    head = b"GET /a HTTP/1.1\r\n" + line * (16_300 // line_size) + b"\r\n"
    machine.open()
    machine.operation(Half.REQUEST, 1, head)
    assert machine.steps <= PROGRAMS * steps
    assert 1 == machine.waiting
    assert Phase.START == machine.phase(Half.REQUEST)
