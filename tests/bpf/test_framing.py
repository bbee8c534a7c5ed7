"""Where a body ends: tables of lengths, codings, chunk sizes and trailers, whole and cut."""

from __future__ import annotations

import pytest
from tests.bpf.stream import Half, Phase

from otelauto.abi._layout import Count, Role

GET = b"GET /a HTTP/1.1\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HUGE = 10**18 - 1


def feed(machine, half, data, size, now_ns):
    """Move bytes, whole or in small operations."""
    found = []
    for at in range(0, len(data), size or len(data)):
        found += machine.operation(half, now_ns + at, data[at : at + (size or len(data))])
    return found


@pytest.fixture(params=[None, 1, 7], ids=["whole", "bytes", "sevens"])
def size(request):
    return request.param


LENGTHS = [
    (b"Content-Length: 0", 0),
    (b"Content-Length: 1", 1),
    (b"content-length: 17", 17),
    (b"CONTENT-LENGTH:17", 17),
    (b"cOnTeNt-LeNgTh:\t17", 17),
    (b"Content-Length:                17", 17),
    (b"Content-Length: 17         ", 17),
    (b"Content-Length: 0017", 17),
    (b"Content-Length: 000000000000000017", 17),
    (b"Content-Length: 17, 17", 17),
    (b"Content-Length: 17\r\nContent-Length: 17", 17),
    (b"Content-Length: 17\r\n" + b"X: y\r\n" * 200 + b"Content-Length: 17", 17),
    (b"A: b\r\nContent-Length: 17\r\nC: d", 17),
]


@pytest.mark.parametrize(("header", "length"), LENGTHS)
def test_a_length_is_read(header, length, size, machine):
    machine.open()
    body = b"x" * length
    feed(machine, Half.REQUEST, b"POST /a HTTP/1.1\r\n" + header + b"\r\n\r\n" + body, size, 0)
    found = feed(machine, Half.RESPONSE, b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n", size, 5000)
    found += feed(machine, Half.RESPONSE, body, size, 9000) if body else []
    assert [(length, length)] == [(one.request_bytes, one.response_bytes) for one in found]
    assert Phase.START == machine.phase(Half.REQUEST) == machine.phase(Half.RESPONSE)


NO_LENGTHS = [
    b"Content-Length:",
    b"Content-Length: ",
    b"Content-Length: x",
    b"Content-Length: -1",
    b"Content-Length: +1",
    b"Content-Length: 1x",
    b"Content-Length: 0x10",
    b"Content-Length: 1.0",
    b"Content-Length: 1;2",
    b"Content-Length: 9999999999999999999",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 3\r\nContent-Length: x",
    b"Content-Length: 3\r\n" + b"X: y\r\n" * 200 + b"Content-Length: x",
    b"Content-Length : 3",
    b"Content-Length",
    b" Content-Length: 3",
    b"X-Content-Length: 3",
    b"Content-Lengths: 3",
    b"Content-Lengt: 3",
    b"Content-MD5: 3",
    b"Content_Length: 3",
]


@pytest.mark.parametrize("header", NO_LENGTHS)
def test_what_is_no_length_leaves_the_end_to_the_stream(header, size, machine):
    machine.open(Role.CLIENT)
    feed(machine, Half.REQUEST, GET, size, 0)
    response = b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\nbody"
    assert [] == feed(machine, Half.RESPONSE, response, size, 5000)
    assert Phase.CLOSE == machine.phase(Half.RESPONSE)
    (found,) = machine.end(Half.RESPONSE, 99_000)
    assert (200, 4) == (found.status, found.response_bytes)
    assert 5000 <= found.end_ns < 99_000


@pytest.mark.parametrize("number", [10**17, HUGE])
def test_a_long_length_is_followed_exactly(number, machine):
    machine.open()
    machine.operation(Half.REQUEST, 0, GET)
    machine.operation(Half.RESPONSE, 1, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % number)
    left, most = number, (1 << 32) - 1
    while left > most and left > number - 20 * most:
        assert [] == machine.unseen(Half.RESPONSE, 2, most)
        left -= most
    assert Phase.LENGTH == machine.phase(Half.RESPONSE)
    (found,) = machine.close(9, 3)
    assert number - left == found.response_bytes


CODINGS = [
    (b"Transfer-Encoding: chunked", True),
    (b"transfer-encoding:chunked", True),
    (b"TRANSFER-ENCODING:\tCHUNKED", True),
    (b"Transfer-Encoding: Chunked      ", True),
    (b"Transfer-Encoding: gzip, chunked", True),
    (b"Transfer-Encoding: gzip,chunked", True),
    (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", True),
    (b"Transfer-Encoding: gzip\r\n" + b"X: y\r\n" * 200 + b"Transfer-Encoding: chunked", True),
    (b"Content-Length: 3\r\nTransfer-Encoding: chunked", True),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 3", True),
    (b"Transfer-Encoding: chunked, gzip", False),
    (b"Transfer-Encoding: gzip", False),
    (b"Transfer-Encoding: xchunked", False),
    (b"Transfer-Encoding: x-chunked", False),
    (b"Transfer-Encoding: chunkedx", False),
    (b"Transfer-Encoding: chunked;q=1", False),
    (b"Transfer-Encoding: ", False),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", False),
    (b"Transfer-Encoding : chunked", False),
    (b"Transfer-Encodings: chunked", False),
    (b"X-Transfer-Encoding: chunked", False),
    (b"Content-Encoding: chunked", False),
    (b"TE: chunked", False),
]


@pytest.mark.parametrize(("header", "is_chunked"), CODINGS)
def test_a_body_is_chunked_if_its_last_coding_is(header, is_chunked, size, machine):
    machine.open()
    feed(machine, Half.REQUEST, GET, size, 0)
    response = b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    found = feed(machine, Half.RESPONSE, response, size, 5000)
    assert ([3] if is_chunked else []) == [one.response_bytes for one in found]
    if not is_chunked:
        assert Phase.CLOSE == machine.phase(Half.RESPONSE)


def chunked_response(machine, body, size):
    machine.open()
    feed(machine, Half.REQUEST, GET, size, 0)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return feed(machine, Half.RESPONSE, head + body, size, 5000)


CHUNKS = [
    (b"0\r\n\r\n", 0),
    (b"0\n\r\n", 0),
    (b"0\n\n", 0),
    (b"00000000000000000000\r\n\r\n", 0),
    (b"1\r\nx\r\n0\r\n\r\n", 1),
    (b"a\r\n0123456789\r\n0\r\n\r\n", 10),
    (b"A\r\n0123456789\r\n0\r\n\r\n", 10),
    (b"0000000000000000000a\r\n0123456789\r\n0\r\n\r\n", 10),
    (b"1f\r\n" + b"x" * 31 + b"\r\n0\r\n\r\n", 31),
    (b"200\r\n" + b"\n" * 512 + b"\r\n0\r\n\r\n", 512),
    (b"2 \r\nab\r\n0 \r\n\r\n", 2),
    (b"2\t;a\r\nab\r\n0\r\n\r\n", 2),
    (b"2;a=b;c\r\nab\r\n0;d\r\n\r\n", 2),
    (b'2;a="b;c"\r\nab\r\n0\r\n\r\n', 2),
    (b"2;" + b"e" * 61 + b"\r\nab\r\n0\r\n\r\n", 2),
    (b"2;" + b"e" * 62 + b"\r\nab\r\n0\r\n\r\n", 2),
    (b"2;" + b"e" * 2000 + b"\r\nab\r\n0;" + b"f" * 2000 + b"\r\n\r\n", 2),
    (b"1\r\nx\r\n0\r\nA: b\r\n\r\n", 1),
    (b"1\r\nx\r\n0\r\nA:b\nC:d\n\n", 1),
    (b"1\r\nx\r\n0\r\nA: " + b"b" * 58 + b"\r\n\r\n", 1),
    (b"1\r\nx\r\n0\r\nA: " + b"b" * 59 + b"\r\n\r\n", 1),
    (b"1\r\nx\r\n0\r\nA: " + b"b" * 3000 + b"\r\nB: c\r\n\r\n", 1),
    (b"1\r\nx\r\n" * 10 + b"0\r\n\r\n", 10),
]


@pytest.mark.parametrize(("body", "length"), CHUNKS, ids=lambda value: repr(value)[:24])
def test_a_chunked_body_ends_with_its_trailer_and_has_the_size_of_its_data(
    body, length, size, machine
):
    assert [length] == [one.response_bytes for one in chunked_response(machine, body, size)]
    assert Phase.START == machine.phase(Half.RESPONSE)
    assert {} == machine.counts()


BAD_CHUNKS = [
    b"\r\n",
    b"x\r\n",
    b"-1\r\n",
    b" 1\r\n",
    b";a\r\n",
    b"1x\r\nz\r\n0\r\n\r\n",
    b"0x1\r\nz\r\n0\r\n\r\n",
    b"000000000000000000000\r\n\r\n",
    b"1000000000000\r\n",
    b"ffffffffffffffff\r\n",
    b"10000000000000001\r\nz\r\n0\r\n\r\n",
    b"0" * 100 + b"\r\n\r\n",
    b"\x00\x01\x02\r\n",
]


@pytest.mark.parametrize("body", BAD_CHUNKS)
def test_what_is_no_chunk_size_loses_the_response_but_not_its_status(body, size, machine):
    assert [] == chunked_response(machine, body, size)
    assert Phase.LOST == machine.phase(Half.RESPONSE)
    assert 1 == machine.counts()[Count.PARSE_ERROR]
    # The next request says that it is over; that one is right itself.
    (lost,) = machine.operation(Half.REQUEST, 70_000, NEXT)
    (found,) = machine.operation(Half.RESPONSE, 80_000, ANSWER)
    assert (200, b"/a") == (lost.status, lost.path)
    assert lost.end_ns < 70_000
    assert (200, b"/next", 70_000) == (found.status, found.path, found.start_ns)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
@pytest.mark.parametrize(
    "header", [b"", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_some_responses_never_have_a_body(method, status, header, size, machine):
    machine.open()
    feed(machine, Half.REQUEST, method + b" /a HTTP/1.1\r\n\r\n", size, 0)
    response = b"HTTP/1.1 %d\r\n%s\r\n" % (status, header)
    found = feed(machine, Half.RESPONSE, response, size, 5000)
    bodiless = method == b"HEAD" or status != 200
    assert ([(status, 0)] if bodiless else []) == [
        (one.status, one.response_bytes) for one in found
    ]


def test_an_unseen_body_is_counted_by_its_size(machine):
    machine.open()
    machine.operation(Half.REQUEST, 0, GET)
    machine.operation(Half.RESPONSE, 1, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    assert [] == machine.unseen(Half.RESPONSE, 2, 65_536)
    (found,) = machine.unseen(Half.RESPONSE, 3, 34_464)
    assert (100_000, 3) == (found.response_bytes, found.end_ns)
    assert {} == machine.counts()


def test_an_unseen_operation_with_more_than_a_body_loses_the_place_and_says_so(machine):
    machine.open()
    machine.operation(Half.REQUEST, 0, GET)
    machine.operation(Half.RESPONSE, 1, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    assert [] == machine.unseen(Half.RESPONSE, 2, 11)
    assert Phase.LOST == machine.phase(Half.RESPONSE)
    assert {Count.PAYLOAD_UNSEEN: 1} == machine.counts()
    (found,) = machine.operation(Half.REQUEST, 3, NEXT)
    assert (200, 2) == (found.status, found.end_ns)
