"""Which start lines begin a message, and what is read from them: tables, whole and cut."""

from __future__ import annotations

import pytest
from tests.bpf.stream import Half, Phase

from otelauto.abi._layout import METHODS, PATH_BYTES, Count, Role, Route, Version

HEADERS = b"Host: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def exchange(machine, request, response=ANSWER, *, size=None):
    """One request and its response on a new connection, whole or in small operations."""
    machine.open()
    found = []
    for half, data in ((Half.REQUEST, request), (Half.RESPONSE, response)):
        step = size or len(data)
        for at in range(0, len(data), step):
            found += machine.operation(half, 1000 * half + at, data[at : at + step])
    return found


@pytest.fixture(params=[None, 1, 3], ids=["whole", "bytes", "threes"])
def size(request):
    return request.param


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_registered_method_is_read(method, size, machine):
    (found,) = exchange(machine, f"{method} / HTTP/1.1\r\n".encode() + HEADERS, size=size)
    assert method == found.method


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_name_that_is_close_to_a_registered_one_is_another(method, machine):
    for name in (method + "X", "X" + method, method.lower(), method[:-1] or "x"):
        (found,) = exchange(machine, f"{name} / HTTP/1.1\r\n".encode() + HEADERS)
        assert "_OTHER" == found.method or name in METHODS


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (b"HTTP/1.0", Version.HTTP_1_0),
        (b"HTTP/1.1", Version.HTTP_1_1),
        (b"HTTP/1.9", Version.HTTP_1_1),
    ],
)
def test_the_version_is_the_requests(version, expected, size, machine):
    (found,) = exchange(machine, b"GET / " + version + b"\r\n" + HEADERS, size=size)
    assert expected == found.version


BAD_REQUESTS = (
    b"GETAWAY x\r\n\r\n",
    b"PUT\n",
    b"PUT \r\n",
    b"GET\r\n\r\n",
    b"GET  HTTP/1.1\r\n\r\n",
    b"GET HTTP/1.1\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"GET / HTTP/1.\r\n\r\n",
    b"GET / HTTP/1.x\r\n\r\n",
    b"GET / HTTP/1.1 \r\n\r\n",
    b"GET / http/1.1\r\n\r\n",
    b"GET / HTTPS/1.1\r\n\r\n",
    b"GET /HTTP/1.1\r\n\r\n",
    b"GET /aaaaaaaaa \xff\xff\r\n\r\n",
    b"GET \x00/ HTTP/1.1\r\n\r\n",
    b"GET ?q HTTP/1.1\r\n\r\n",
    b"GET 1/ HTTP/1.1\r\n\r\n",
    b"GE\x00T / HTTP/1.1\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"X: \xf0\x28\r\n\r\n",
    b"A23456789012345678901234 / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    bytes(range(256)) * 20,
)


@pytest.mark.parametrize("junk", BAD_REQUESTS, ids=lambda junk: repr(junk[:24]))
def test_what_is_no_request_line_is_counted_as_an_error_and_never_as_a_request(
    junk, size, machine
):
    assert [] == exchange(machine, junk, size=size)
    assert 0 == machine.waiting
    assert 1 <= machine.counts()[Count.PARSE_ERROR]
    assert Phase.LOST == machine.phase(Half.REQUEST)


@pytest.mark.parametrize("junk", BAD_REQUESTS, ids=lambda junk: repr(junk[:24]))
def test_the_request_behind_junk_is_right(junk, size, machine):
    exchange(machine, junk, size=size)
    request = b"POST /good?x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    assert [] == machine.operation(Half.REQUEST, 70_000, request)
    (found,) = machine.operation(Half.RESPONSE, 90_000, ANSWER)
    assert ("POST", b"/good", 200, 3, 0) == (
        found.method,
        found.path,
        found.status,
        found.request_bytes,
        found.response_bytes,
    )
    assert (70_000, 90_000) == (found.start_ns, found.end_ns)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", b"/"),
        (b"/a/b", b"/a/b"),
        (b"/a?b=c/d", b"/a"),
        (b"/a#b?c", b"/a"),
        (b"/?", b"/"),
        (b"//a", b"//a"),
        (b"/a%20b;c=d", b"/a%20b;c=d"),
        (b"/\xc3\xa4\xff", b"/\xc3\xa4\xff"),
        (b"/http://x/y", b"/http://x/y"),
        (b"*", b"*"),
        (b"http://h/p", b"/p"),
        (b"HTTPS://u:p@h:1/p?q", b"/p"),
        (b"http://[2001:db8::1]:80/", b"/"),
        (b"http://h", None),
        (b"http://h?x=/y", None),
        (b"http://h#x/y", None),
        (b"ftp://h/p", None),
        (b"http:/p", None),
        (b"h:443", None),
    ],
)
def test_the_path_is_what_stands_between_authority_and_query(target, path, size, machine):
    (found,) = exchange(machine, b"GET " + target + b" HTTP/1.1\r\n" + HEADERS, size=size)
    assert path == found.path
    assert (Route.NONE if path is None else Route.PENDING) == found.route


@pytest.mark.parametrize("prefix", [b"", b"http://" + b"h" * 95, b"https://" + b"h" * 95])
@pytest.mark.parametrize("method", [b"GET", b"UPDATEREDIRECTREF", b"A2345678901234567890123"])
def test_paths_of_every_length_are_the_same_wherever_they_are_cut(prefix, method, machine):
    for length in (*range(250, 262), *range(300, 560, 13)):
        path = b"/" + b"p" * (length - 1)
        for end in (b" ", b"?q ", b"#f "):
            request = method + b" " + prefix + path + end + b"HTTP/1.1\r\n" + HEADERS
            for point in {1, len(method) + 1, 300, 319, 320, 321, 383, 384, 385, 511, 512, 513}:
                machine.open()
                parts = [request[:point], request[point:]]
                for now_ns, part in enumerate(filter(None, parts)):
                    machine.operation(Half.REQUEST, now_ns, part)
                (found,) = machine.operation(Half.RESPONSE, 9, ANSWER)
                assert path[:PATH_BYTES] == found.path
                assert (length > PATH_BYTES) == found.truncated
                assert 0 == found.start_ns
                assert 0 == machine.collisions


def test_paths_that_differ_have_different_hashes(machine):
    machine.open()
    paths = [b"/", b"/a", b"//", b"/\x00", b"/\x00\x00", b"/" + bytes(7), b"/" + bytes(8)]
    paths += [b"/%d" % number for number in range(2000)]
    paths += [b"/" + b"a" * 254, b"/" + b"a" * 255, b"/" + b"a" * 256]
    for now_ns, path in enumerate(paths):
        machine.operation(Half.REQUEST, now_ns, b"GET " + path + b" HTTP/1.1\r\n\r\n")
        (found,) = machine.operation(Half.RESPONSE, now_ns, ANSWER)
        assert path[:PATH_BYTES] == found.path
    assert 0 == machine.collisions


GOOD_STATUS = (
    (b"HTTP/1.1 200 OK", 200),
    (b"HTTP/1.1 200", 200),
    (b"HTTP/1.1 200 ", 200),
    (b"HTTP/1.0 404 Not Found", 404),
    (b"HTTP/1.1 599 \xff\x00", 599),
    (b"HTTP/1.7 300 Many", 300),
    (b"HTTP/1.1 201 " + b"r" * 700, 201),
)


@pytest.mark.parametrize(("line", "status"), GOOD_STATUS, ids=lambda value: repr(value)[:24])
def test_a_status_line_gives_its_status(line, status, size, machine):
    response = line + b"\r\nContent-Length: 0\r\n\r\n"
    (found,) = exchange(machine, b"GET / HTTP/1.1\r\n\r\n", response, size=size)
    assert status == found.status


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1 20",
        b"HTTP/1.1 abc",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 999 x",
        b"HTTP/1.1 600 x",
        b"HTTP/1.1 000 x",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.x 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/2 200",
        b"http/1.1 200 OK",
        b"HTTPS/1.1 200 OK",
        b"ICY 200 OK",
        b"200 OK",
        b"GET / HTTP/1.1",
    ],
)
def test_what_is_no_status_line_gives_no_status(line, size, machine):
    response = line + b"\r\nContent-Length: 0\r\n\r\n"
    assert [] == exchange(machine, b"GET / HTTP/1.1\r\n\r\n", response, size=size)
    assert 1 == machine.waiting
    assert Phase.LOST == machine.phase(Half.RESPONSE)
    # The next exchange says that the one before is over, and is right itself.
    assert [] == machine.operation(Half.REQUEST, 70_000, b"GET /next HTTP/1.1\r\n\r\n")
    assert 1 == machine.counts()[Count.RESPONSE_UNSEEN]
    (found,) = machine.operation(Half.RESPONSE, 80_000, ANSWER)
    assert (b"/next", 200, 70_000) == (found.path, found.status, found.start_ns)


@pytest.mark.parametrize("junk", [b" ", b"\x00", b"\xff\xfe", b"-", b"(junk)"])
def test_a_start_line_behind_junk_of_the_same_operation_is_none(junk, machine):
    request = b"GET / HTTP/1.1\r\n\r\n"
    assert [] == exchange(machine, junk + request)
    assert 0 == machine.waiting
    assert [] == exchange(machine, request, junk + ANSWER)
    assert 1 == machine.waiting


def test_a_response_to_nothing_is_an_orphan(size, machine):
    machine.open(Role.SERVER)
    for at in range(0, len(ANSWER), size or len(ANSWER)):
        part = ANSWER[at : at + (size or len(ANSWER))]
        assert [] == machine.operation(Half.RESPONSE, at, part)
    assert 1 == machine.counts()[Count.ORPHAN_RESPONSE]
    machine.operation(Half.REQUEST, 1000, b"GET / HTTP/1.1\r\n\r\n")
    (found,) = machine.operation(Half.RESPONSE, 2000, ANSWER)
    assert 200 == found.status
