"""Any bytes are a request or have a status; nothing else happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.export._http_head import BadHead, Head, accepts_gzip, authorized, parse


@given(st.one_of(st.binary(), st.binary().map(lambda rest: b"GET /m HTTP/1.1\r\n" + rest)))
def test_no_bytes_raise_anything_but_a_bad_head(data):
    head = parsed(data + b"\r\n\r\n")
    if isinstance(head, int):
        assert head in {400, 505}
        return
    assert head.path.startswith("/")
    authorized(head, username="u", password="p")
    accepts_gzip(head)


def parsed(data):
    try:
        return parse(data)
    except BadHead as bad:
        return bad.status


def test_a_whole_head():
    head = parse(
        b"GET /metrics?name[]=x HTTP/1.1\r\nHost: h\r\nACCEPT: a\r\naccept: b\r\n"
        b"Connection: Close\r\n\r\n"
    )
    assert head == Head(
        "GET",
        "/metrics",
        {"host": "h", "accept": "a, b", "connection": "Close"},
        keep_alive=False,
    )


@pytest.mark.parametrize(
    ("line", "keep", "chunked", "body"),
    [
        (b"GET / HTTP/1.1\r\n", True, True, False),
        (b"GET / HTTP/1.0\r\n", False, False, False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True, False, False),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\n", True, True, False),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n", True, True, True),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", True, True, True),
    ],
)
def test_framing(line, keep, chunked, body):
    head = parse(line + b"\r\n")
    assert (keep, chunked, body) == (head.keep_alive, head.chunked_answers, head.has_body)


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
    ],
)
def test_gzip_by_accept_encoding(value, accepted):
    assert accepts_gzip(Head("GET", "/", {"accept-encoding": value})) == accepted
