"""Whatever comes over a socket: nothing is invented, and the next exchange is right."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.bpf.conversations import conversations, cut_points, examples, segmentations
from tests.bpf.replay import play
from tests.bpf.stream import Half, Phase

from otelauto.abi._layout import METHODS, Role

GOOD = b"POST /good?x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
ANSWER = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
SOME = examples(100)
ROLES = st.sampled_from([Role.SERVER, Role.CLIENT])
#: Bytes that meet the parser's corners oftener than chance does.
PIECES = st.sampled_from(
    [
        b"GET ",
        b"POST /",
        b" HTTP/1.",
        b"HTTP/1.",
        b" HTTP/1.1\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 ",
        b"\r\n",
        b"\n",
        b"\r",
        b"\n\n\n\n\n",
        b" ",
        b":",
        b"content-",
        b"Content-Length: ",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
        b"ffffffff;",
        b"http://",
        b"\x0b\x0b\x0b\x0b",
        b"\x00" * 9,
        b"a" * 320,
        b"/" * 400,
        b"A" * 24,
    ]
)
JUNK = st.lists(st.one_of(PIECES, st.binary(max_size=40)), max_size=12).map(b"".join)


def operations(draw_from):
    return st.lists(st.tuples(st.sampled_from(list(Half)), draw_from), min_size=1, max_size=12)


def run(machine, moves, *, role=Role.SERVER, segments=lambda data: [data]):
    """Make these operations on a new connection; returns what finished, and both streams."""
    machine.open(role)
    found = []
    streams = {Half.REQUEST: b"", Half.RESPONSE: b""}
    for now_ns, (half, data) in enumerate(moves):
        if not data:
            continue
        parts = segments(data)
        found += machine.operation(half, now_ns, *parts)
        # A step looks at a byte or more, at empty segments, or takes back what was kept.
        assert machine.steps <= 2 * len(data) + len(parts) + 2
        streams[half] += data
    return found, streams


def check(found, streams):
    """What was found can be read in what was sent: nothing is invented or left from before."""
    responses = re.findall(rb"HTTP/1\.[0-9] ([1-5][0-9][0-9])", streams[Half.RESPONSE])
    # A request line ends with its version, or is so long that its end is not waited for.
    asked = streams[Half.REQUEST]
    assert len(found) <= asked.count(b" HTTP/1.") + len(asked) // 384
    for one in found:
        assert one.method in METHODS
        assert not one.status or b"%d" % one.status in responses
        assert one.path is None or one.path in streams[Half.REQUEST]
        assert one.path is None or one.path[:1] in {b"/", b"*"}
        assert one.request_bytes <= len(streams[Half.REQUEST])
        assert one.response_bytes <= len(streams[Half.RESPONSE])
        assert one.start_ns <= one.end_ns


def assert_good_exchange(machine, now_ns):
    assert [] == machine.operation(Half.REQUEST, now_ns, GOOD)
    (found,) = machine.operation(Half.RESPONSE, now_ns + 5, ANSWER)
    assert ("POST", b"/good", 201, 4, 2, now_ns, now_ns + 5) == (
        found.method,
        found.path,
        found.status,
        found.request_bytes,
        found.response_bytes,
        found.start_ns,
        found.end_ns,
    )


@SOME
@given(operations(st.binary(max_size=600)), ROLES)
def test_random_bytes_are_no_exchange(machine, moves, role):
    found, streams = run(machine, moves, role=role)
    check(found, streams)
    if b" HTTP/1." not in streams[Half.REQUEST]:
        assert [] == found
    machine.open(role)
    assert_good_exchange(machine, 1000)


@examples(250)
@given(operations(JUNK), segmentations())
def test_pieces_of_messages_give_nothing_that_was_not_sent(machine, moves, segments):
    check(*run(machine, moves, segments=segments))
    machine.open()
    assert_good_exchange(machine, 1000)


@examples(250)
@given(JUNK)
def test_a_request_behind_junk_on_the_same_connection_is_right(machine, junk):
    machine.open()
    if junk:
        machine.operation(Half.REQUEST, 1, junk)
    # Junk that has become a message, or may yet become one, is a matter of its own.
    assume(not machine.waiting)
    unfinished = re.fullmatch(rb"[\w-]{1,23}( .*)?|\r", junk.rsplit(b"\n")[-1], re.DOTALL)
    assume(machine.phase(Half.REQUEST) == Phase.LOST or not unfinished)
    assert_good_exchange(machine, 1000)


@SOME
@given(st.data())
def test_mutated_conversations_give_nothing_that_was_not_sent(machine, data):
    turns = data.draw(conversations(most_turns=2))
    cuts = data.draw(cut_points(turns))
    moves = []
    for index, turn in enumerate(turns):
        for half in Half:
            stream = bytearray(turn.stream(half))
            for at in data.draw(st.lists(st.integers(0, len(stream) - 1), max_size=3)):
                stream[at] ^= 1 << data.draw(st.integers(0, 7))
            points = sorted({0, len(stream), *cuts[index, half]})
            moves += [(half, bytes(stream[start:end])) for start, end in pairwise(points)]
    check(*run(machine, moves, segments=data.draw(segmentations())))
    machine.open()
    assert_good_exchange(machine, 1000)


@SOME
@given(st.data())
def test_a_conversation_that_breaks_off_gives_at_most_its_own_exchanges(machine, data):
    turns = data.draw(conversations(most_turns=2))
    expected, _ = play(machine, turns)
    moves = [(half, turn.stream(half)) for turn in turns for half in Half]
    last = data.draw(st.integers(0, len(moves) - 1))
    half, stream = moves[last]
    kept = stream[: data.draw(st.integers(0, len(stream)))]
    found, _ = run(machine, [*moves[:last], (half, kept)])
    values = [(one.method, one.path, one.status) for one in expected]
    assert values[: len(found)] == [(one.method, one.path, one.status) for one in found]


@SOME
@given(st.data())
def test_bytes_that_nobody_saw_invent_nothing(machine, data):
    turns = data.draw(conversations(most_turns=2))
    moves = [(half, turn.stream(half)) for turn in turns for half in Half]
    hidden = data.draw(st.sets(st.integers(0, len(moves) - 1), min_size=1))
    machine.open()
    found = []
    for number, (half, stream) in enumerate(moves):
        if number in hidden:
            found += machine.unseen(half, number, len(stream))
        else:
            found += machine.operation(half, number, stream)
    every = [
        (truth.method if truth.method in METHODS else "_OTHER", (truth.path or b"")[:256])
        for turn in turns
        for truth in turn.truths
    ]
    assert len(found) <= len(every)
    assert {(one.method, one.path or b"") for one in found} <= set(every)
    assert_good_exchange_after_loss(machine)


def assert_good_exchange_after_loss(machine):
    """Two exchanges later everything is in step again; those before may end with the first."""
    if Phase.TUNNEL in {machine.phase(half) for half in Half}:
        return
    machine.operation(Half.REQUEST, 500, b"GET /heal HTTP/1.1\r\n\r\n")
    machine.operation(Half.RESPONSE, 501, b"HTTP/1.1 204 No\r\n\r\n")
    if Phase.START == machine.phase(Half.REQUEST) and not machine.waiting:
        assert_good_exchange(machine, 1000)


def test_nothing_of_an_earlier_operation_shows_in_a_path(machine):
    """The working memory is full of what was there before (here: 0xa5)."""
    for length in (*range(1, 20), *range(240, 300), *range(370, 400), *range(500, 530)):
        machine.open()
        request = b"GET /" + b"p" * (length - 1) + b" HTTP/1.1\r\n\r\n"
        for half, data in ((Half.REQUEST, request), (Half.RESPONSE, ANSWER)):
            found = machine.operation(half, 1, data)
        assert [b"/" + b"p" * (min(length, 256) - 1)] == [one.path for one in found]
        for point in (5, length // 2 + 5, length + 3, length + 12):
            machine.open()
            machine.operation(Half.REQUEST, 1, request[:point])
            machine.operation(Half.REQUEST, 2, request[point:])
            (one,) = machine.operation(Half.RESPONSE, 3, ANSWER)
            assert b"\xa5" not in one.path
