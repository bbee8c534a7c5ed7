"""A request's head is taken apart whatever it holds; what is not understood is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.spans.head import Head, authority, parse_head

ASKED = frozenset({"x-request-id"})


def parse(text, *, cut=False, wanted=ASKED):
    return parse_head(text, cut=cut, wanted=wanted)


def test_a_request_says_what_it_wants_and_of_whom():
    head = parse(b"GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: h:81\r\nUSER-AGENT:  c/1 \r\n\r\nbody: no")
    assert ("GET", "/a/b", "x=1&y=2", "h:81") == (
        head.method,
        head.path,
        head.query,
        head.authority,
    )
    assert "c/1" == head.header("user-agent")
    assert "" == head.header("body")


@pytest.mark.parametrize(
    ("target", "path", "query", "named"),
    [
        (b"/a?b?c", "/a", "b?c", "host"),
        (b"/a#f?q", "/a", "", "host"),
        (b"*", "*", "", "host"),
        (b"http://u:p@other:82/x?q=1", "/x", "q=1", "other:82"),
        (b"http://other?q=1", "/", "q=1", "other"),
        (b"http://other", "/", "", "other"),
        (b"/http://x", "/http://x", "", "host"),
        (b"/caf\xc3\xa9", "/café", "", "host"),
        (b"/\xff", "/�", "", "host"),
    ],
)
def test_every_form_of_a_target_is_understood(target, path, query, named):
    head = parse(b"GET " + target + b" HTTP/1.1\r\nHost: host\r\n\r\n")
    assert (path, query, named) == (head.path, head.query, head.authority)


def test_a_tunnel_has_an_authority_and_no_path():
    head = parse(b"CONNECT far.example:443 HTTP/1.1\r\nHost: other\r\n\r\n")
    assert ("", "", "far.example:443") == (head.path, head.query, head.authority)


def test_user_information_never_leaves_the_head():
    head = parse(b"GET / HTTP/1.1\r\nHost: user:secret@h\r\n\r\n")
    assert "h" == head.authority


def test_only_headers_that_were_asked_for_are_kept():
    head = parse(b"GET / HTTP/1.1\r\nCookie: a\r\nX-Request-ID: 1\r\nx-request-id: 2\r\n\r\n")
    assert {"x-request-id": ("1", "2")} == head.headers


def test_a_header_that_is_not_whole_is_left_out():
    text = b"GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: half"
    assert "" == parse(text, cut=True).header("x-request-id")
    assert "half" == parse(text, cut=False).header("x-request-id")
    assert "half" == parse(text + b"\r\n\r\n", cut=True).header("x-request-id")


def test_a_request_line_longer_than_what_was_kept_gives_the_start_of_its_path():
    head = parse(b"GET /" + b"a" * 100, cut=True)
    assert "/" + "a" * 100 == head.path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h", ("h", 0)),
        ("h:80", ("h", 80)),
        ("h:", ("h", 0)),
        ("h:x", ("h", 0)),
        ("h:65536", ("h", 0)),
        ("h:999999999999", ("h", 0)),
        ("h:\u0661", ("h", 0)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::1]", ("::1", 0)),
        ("", ("", 0)),
    ],
)
def test_an_authority_is_a_host_and_perhaps_a_port(text, expected):
    assert expected == authority(text)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_are_a_fault(raw, cut):
    head = parse_head(raw, cut=cut, wanted=ASKED)
    assert isinstance(head, Head)
    assert "@" not in head.authority
    authority(head.authority)


@given(st.text(max_size=40))
def test_no_authority_is_a_fault(text):
    host, port = authority(text)
    assert isinstance(host, str)
    assert 0 <= port <= 65535
