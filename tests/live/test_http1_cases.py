"""Odd but real HTTP/1 exchanges at a server: each is counted once, with the right values.

The origin witnesses what it did. Every case runs with both ways of hooking. How long and how large
exchanges are is in test_http1_measures.py, several in one write in test_http1_pipelines.py.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import sys
import time

import pytest
from tests.live.scene import LABELS, assert_seen
from tests.servers import raw, runtimes
from tests.servers.agent import until

from otelauto.abi._layout import METHODS

pytestmark = pytest.mark.live

CLOSE = b"Connection: close\r\n\r\n"
KEEP = b"Host: h\r\n\r\n"
LAST = ("GET", "/last", "200", "")


@contextlib.contextmanager
def raw_server(scene, steps, name="raw"):
    """A server that says so and nothing else; its port and process."""
    port = scene.spare.pop()
    argv = [sys.executable, raw.__file__, str(port), json.dumps(steps)]
    running = scene.supervisor.start(name, argv, ports=(port,))
    time.sleep(0.1)  # its LISTEN event and its scan by the agent
    try:
        yield port, running
    finally:
        scene.supervisor.stop(running)


def assert_unanswered(since, path, errors):
    """One exchange without a status, and why."""
    until(lambda: bool(since.requests()), timeout_seconds=3)
    time.sleep(0.1)
    ((method, route, status, error),) = since.requests(*LABELS)
    assert ("GET", path, "") == (method, route, status)
    assert error in errors
    assert {(): 1} == since.requests()


# --- heads ---------------------------------------------------------------------------------------


def test_an_interim_response_is_not_the_answer(origin):
    port, since, _ = origin
    head = b"POST /continue?ms=100 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 6\r\n"
    raw.exchange(port, [(0, head + CLOSE), (0.02, b"abcdef")])
    raw.exchange(port, [(0, b"GET /early-hints HTTP/1.1\r\n" + CLOSE)])
    assert_seen(
        since, {("POST", "/continue", "201", ""): 1, ("GET", "/early-hints", "200", ""): 1}
    )
    assert since.duration_seconds() >= 0.1
    assert 6 == since.body_bytes("request")


def test_any_number_of_interim_responses_is_not_the_answer(scene, origin):
    _, since, _ = origin
    interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    steps = [[0, interim], [0.02, interim * 3], [0.02, interim + "HTTP/1.1 204 None\r\n\r\n"]]
    with raw_server(scene, steps) as (port, _):
        raw.exchange(port, [(0, b"GET /hints HTTP/1.1\r\n" + KEEP)])
        assert_seen(since, {("GET", "/hints", "204", ""): 1})


def test_heads_in_pieces_are_one_exchange_from_the_first_byte_to_the_last(origin):
    port, since, witness = origin
    pieces = [b"GE", b"T /split?ms=20 HT", b"TP/1.1\r\nHost: h\r\n", CLOSE]
    raw.exchange(port, [(0.02, piece) for piece in pieces])
    assert_seen(since, {("GET", "/split", "200", ""): 1})
    witness.assert_same_times(since)


def test_one_byte_at_a_time_is_one_exchange(origin):
    port, since, _ = origin
    request = b"GET /status/404 HTTP/1.1\r\n" + CLOSE
    raw.exchange(port, [(0.001, request[n : n + 1]) for n in range(len(request))])
    assert_seen(since, {("GET", "/status/404", "404", ""): 1})


def test_a_response_one_byte_at_a_time_is_one_exchange(scene, origin):
    _, since, _ = origin
    response = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    with raw_server(scene, [[0.001, byte] for byte in response]) as (port, _):
        raw.exchange(port, [(0, b"GET /slowly HTTP/1.1\r\n" + KEEP)])
        assert_seen(since, {("GET", "/slowly", "201", ""): 1})
        assert 2 == since.body_bytes("response")


def test_a_fragment_does_not_poison_what_follows_on_the_connection(origin):
    port, since, _ = origin
    pieces = [b"G", b"ET /a HTTP/1.1\r\n" + KEEP, b"P", b"UT /b HTTP/1.1\r\n" + KEEP]
    last = b"GET /last HTTP/1.1\r\n" + CLOSE
    raw.exchange(port, [(0.02, piece) for piece in [*pieces, last]])
    assert_seen(since, {("GET", "/a", "200", ""): 1, ("PUT", "/b", "200", ""): 1, LAST: 1})


def test_vectored_writes_are_read_whole(origin):
    port, since, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendmsg([b"GET /io", b"v HTTP/1.1\r\n", CLOSE])
        while sock.recv(4096):
            pass
    assert_seen(since, {("GET", "/iov", "200", ""): 1})
    assert 5 == since.body_bytes("response")


def test_requests_of_every_awkward_size_keep_their_own_path(origin):
    """255 to 16384 bytes, between requests of a few, on the same connection."""
    port, since, _ = origin
    sizes = [n + d for n in (256, 512, 1024, 4096, 8192) for d in (-1, 0, 1)] + [16384]
    pieces = []
    for size in sizes:
        pieces += [raw.padded_request(size, f"/sz/{size}"), b"GET /s HTTP/1.1\r\n" + KEEP]
    raw.exchange(port, [(0.01, p) for p in [*pieces, b"GET /last HTTP/1.1\r\n" + CLOSE]])
    expected = {("GET", f"/sz/{size}", "200", ""): 1 for size in sizes}
    assert_seen(since, {**expected, ("GET", "/s", "200", ""): len(sizes), LAST: 1})


@pytest.mark.parametrize("methods", [METHODS[1:21], METHODS[21:]], ids=["first", "second"])
def test_every_registered_method_has_its_name_and_any_other_has_none(methods, origin):
    """RFC 9110 section 16.1.1; names are case-sensitive."""
    port, since, _ = origin
    known = [method for method in methods if method != "CONNECT"]
    expected = {(method, "/any", "200", ""): 1 for method in known}
    for method in [*known, "BREW"]:
        raw.exchange(port, [(0, f"{method} /any HTTP/1.1\r\n".encode() + CLOSE)])
    # On a connection that is known to speak HTTP a method may look like anything.
    others = ("GET", "get", "X", "A-B_c9", "CONNECTS")
    pieces = [f"{method} /odd HTTP/1.1\r\n".encode() + KEEP for method in others]
    raw.exchange(port, [(0.02, piece) for piece in [*pieces, b"GET /last HTTP/1.1\r\n" + CLOSE]])
    expected |= {("_OTHER", "/any", "200", ""): 1, ("_OTHER", "/odd", "200", ""): 4, LAST: 1}
    assert_seen(since, {**expected, ("GET", "/odd", "200", ""): 1})


def test_http_1_0_says_so(origin):
    port, since, _ = origin
    raw.exchange(port, [(0, b"GET /old HTTP/1.0\r\n\r\n")])
    until(lambda: bool(since.requests()), timeout_seconds=3)
    assert {("/old", "1.0"): 1} == since.requests("http_route", "network_protocol_version")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("HEAD /bytes?n=500", ("HEAD", "/bytes", "200", "")),
        ("HEAD /chunked", ("HEAD", "/chunked", "200", "")),
        ("GET /204", ("GET", "/204", "204", "")),
        ("GET /304", ("GET", "/304", "304", "")),
        ("GET http://absolute.example/status/201?q=secret", ("GET", "/status/201", "201", "")),
        ("GET http://absolute.example:81?q=secret", ("GET", "", "200", "")),
        ("GET /q?a=/b&c=%20", ("GET", "/q", "200", "")),
        ("OPTIONS *", ("OPTIONS", "*", "200", "")),
        ("GET /status/503", ("GET", "/status/503", "503", "503")),
        ("BREW /status/418", ("_OTHER", "/status/418", "418", "")),
        ("DELETE /status/404", ("DELETE", "/status/404", "404", "")),
    ],
)
def test_the_next_request_of_the_connection_is_found_after_each_kind(line, key, origin):
    port, since, _ = origin
    first = f"{line} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    raw.exchange(port, [(0, first), (0.05, b"GET /last HTTP/1.1\r\n" + CLOSE)])
    assert_seen(since, {key: 1, LAST: 1})


# --- bodies --------------------------------------------------------------------------------------

EVIL = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_response_body_that_looks_like_a_message_is_a_body(scene, origin):
    _, since, _ = origin
    head = "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n"
    steps = [[0.05, head], [0.05, "HTTP/1.1 500 Oops!!!!\r\n\r\n"]]
    with raw_server(scene, steps) as (port, _):
        request = b"POST /upload HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(EVIL)
        raw.exchange(port, [(0, request), (0.02, EVIL)])
        assert_seen(since, {("POST", "/upload", "200", ""): 1})
        # This server answers before it reads the body, so only the response's size is certain.
        assert 25 == since.body_bytes("response")
        assert since.duration_seconds() > 0.09, "from the head on, not from the body"


def test_a_request_body_that_looks_like_a_request_has_its_size(origin):
    port, since, _ = origin
    head = b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n" % len(EVIL)
    raw.exchange(port, [(0, head + CLOSE), (0.02, EVIL)])
    assert_seen(since, {("POST", "/echo", "200", ""): 1})
    assert len(EVIL) == since.body_bytes("request")


def test_a_chunked_request_body_counts_its_data_only(origin):
    """With extensions and trailers, cut in the middle of the framing; then another request."""
    port, since, _ = origin
    head = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n"
    body = b"5;name=value\r\nhello\r\n" + b"1e\r\n" + EVIL[:30] + b"\r\n" + b"00\r\n"
    pieces = [head, body[:1], body[1:8], body[8:29], body[29:], b"\r\n"]
    pieces.append(b"GET /last HTTP/1.1\r\n" + CLOSE)
    raw.exchange(port, [(0.02, piece) for piece in pieces])
    assert_seen(since, {("POST", "/echo", "200", ""): 1, LAST: 1})
    assert 35 == since.body_bytes("request")


JUNK = (
    b"GETAWAY x\r\n\r\n", b"PUT\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 999 x\r\n\r\n", b"GET /aaaaaaaaa \xff\xff\r\n\r\n", b"X: \xf0\x28\r\n\r\n",
    bytes(range(256)) * 20, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
)  # fmt: skip


def test_junk_is_not_counted_and_does_not_hurt_the_next_request(scene, origin):
    port, since, _ = origin
    for junk in JUNK:
        connection = socket.create_connection(("127.0.0.1", port))
        # The origin may hang up before it has read everything.
        with connection as sock, contextlib.suppress(ConnectionError):
            sock.sendall(junk)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        raw.exchange(port, [(0, b"GET /last HTTP/1.1\r\n" + CLOSE)])
    assert_seen(since, {LAST: len(JUNK)})
    assert "Traceback" not in scene.agent.running.log_text()


def test_what_others_sent_is_in_no_ones_telemetry(scene, origin):
    """Large bodies to a watched and to an unwatched server, then the shortest messages."""
    port, since, _ = origin
    secret = b"SECRETSECRET" * 400
    upload = b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n" % len(secret)
    with (
        socket.create_server(("127.0.0.1", 0)) as unwatched,
        socket.create_connection(unwatched.getsockname()) as sock,
    ):
        sock.sendall(upload + CLOSE + secret)
        unwatched.accept()[0].close()
    for _ in range(5):
        raw.exchange(port, [(0, upload + CLOSE + secret)])
        raw.exchange(port, [(0, upload + b"Cookie: " + secret + b"\r\n" + CLOSE + secret)])
        raw.exchange(port, [(0, b"GET /s?" + secret + b" HTTP/1.1\r\n" + CLOSE)])
        raw.exchange(port, [(0, b"G"), (0.01, b"ET /s HTTP/1.0\r\n\r\n")])
    assert_seen(since, {("POST", "/echo", "200", ""): 10, ("GET", "/s", "200", ""): 10})
    assert "SECRET" not in scene.agent.page()
    assert "SECRET" not in scene.agent.running.log_text(1_000_000)


# --- ends ----------------------------------------------------------------------------------------


def test_a_client_that_gives_up_has_no_status(origin):
    port, since, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /slow?ms=300 HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert_unanswered(since, "/slow", {"connection_closed", "connection_reset"})
    assert since.duration_seconds() < 0.5
    assert 0 == since.body_bytes("response")


@pytest.mark.parametrize("path", ["/abort", "/reset"])
def test_a_server_that_closes_without_an_answer_has_no_status(path, origin):
    port, since, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        try:
            assert b"" == sock.recv(4096)
        except ConnectionResetError:
            assert "/reset" == path
    assert_unanswered(since, path, {"no_response", "connection_reset"})


def test_a_server_that_is_killed_has_no_status(scene, origin):
    _, since, _ = origin
    with raw_server(scene, [[30, "HTTP/1.1 200 OK\r\n\r\n"]]) as (port, running):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET /never HTTP/1.1\r\n" + KEEP)
            time.sleep(0.1)
            running.process.send_signal(signal.SIGKILL)
            with contextlib.suppress(ConnectionResetError):
                assert b"" == sock.recv(4096)
        assert_unanswered(since, "/never", {"no_response", "connection_reset"})
        assert since.duration_seconds() < 1


def test_half_a_response_has_its_status_and_a_fault(origin):
    port, since, _ = origin
    raw.exchange(port, [(0, b"GET /partial HTTP/1.1\r\n" + KEEP)])
    assert_seen(since, {("GET", "/partial", "200", "no_response"): 1})
    assert 500 == since.body_bytes("response")


@pytest.mark.parametrize("hook", ["sock", "syscall"])
def test_a_request_from_before_the_agent_is_no_exchange(
    hook, supervisor, tmp_path, port, agent_on
):
    """The agent starts between request and response: nothing is made up, and the loss is said."""
    runtimes.start_origin(supervisor, tmp_path, port=port)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /slow?ms=6000 HTTP/1.1\r\n" + KEEP)
        agent = agent_on(port, more=f"routes:\n  unmatched: path\nebpf:\n  hook: {hook}\n")
        assert b" 200 " in sock.recv(4096)
        time.sleep(0.1)
        assert {} == agent.requests()
        sock.sendall(b"GET /last HTTP/1.1\r\n" + KEEP)
        assert b" 200 " in sock.recv(4096)
        until(lambda: bool(agent.requests()), timeout_seconds=3)
        assert {LAST: 1} == agent.requests(*LABELS)


@pytest.mark.parametrize(
    ("request_line", "status"), [(b"GET /upgrade", "101"), (b"CONNECT host.example:443", "200")]
)
def test_what_follows_an_upgrade_is_not_http(request_line, status, origin):
    port, since, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(request_line + b" HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert f" {status} ".encode() in sock.recv(4096)
        for _ in range(5):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
            sock.recv(4096)
            time.sleep(0.05)
    until(lambda: bool(since.requests()), timeout_seconds=3)
    time.sleep(0.1)
    labels = ("http_request_method", "http_response_status_code")
    assert {(request_line.split()[0].decode(), status): 1} == since.requests(*labels)
    assert since.duration_seconds() < 0.1
    assert 1 == since.total("otelauto_connections_unread_total", otelauto_protocol="tunnel")
