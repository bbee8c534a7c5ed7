"""Odd but real HTTP/1 exchanges at a server: each is counted once, with the right values.

The origin witnesses what it did. Every case runs with both ways of hooking.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import time

import pytest
from tests.servers import raw, runtimes
from tests.servers.agent import until

pytestmark = pytest.mark.live

CLOSE = b"Connection: close\r\n\r\n"
LABELS = ("http_request_method", "http_route", "http_response_status_code", "error_type")
DURATION = "http_server_request_duration_seconds_sum"
REQUEST_BYTES = "http_server_request_body_size_bytes_sum"
RESPONSE_BYTES = "http_server_response_body_size_bytes_sum"


@pytest.fixture(params=["sock", "syscall"])
def watch(request, agent_on):
    """watch(port): an agent that reports every path as it is, by one way of hooking.

    Routes are learned from successes only, so the paths of failures are given as patterns.
    """
    failing = ["404", "418", "503"]
    patterns = [f"/status/{status}" for status in failing] + ["/slow", "/abort", "/reset"]

    def start(*ports):
        routes = f"routes:\n  unmatched: path\n  patterns: {json.dumps(patterns)}\n"
        more = f"{routes}ebpf:\n  hook: {request.param}\n"
        return agent_on(*ports, more=more)

    return start


@pytest.fixture
def origin(supervisor, tmp_path, port, watch):
    """The agent on an origin: (port, agent, access log)."""
    _, log = runtimes.start_origin(supervisor, tmp_path, port=port)
    return port, watch(port), log


def total(agent, name):
    return sum(sample.value for sample in agent.samples() if sample.name == name)


def assert_seen(agent, expected):
    """Exactly these exchanges; a moment's patience, and then nothing more may come."""
    number = sum(expected.values())
    until(lambda: sum(agent.requests().values()) >= number, timeout_seconds=3)
    time.sleep(0.1)
    assert expected == agent.requests(*LABELS)


def test_an_interim_response_is_not_the_answer(origin):
    port, agent, _ = origin
    head = b"POST /continue?ms=300 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 6\r\n"
    raw.exchange(port, [(0, head + CLOSE), (0.02, b"abcdef")])
    raw.exchange(port, [(0, b"GET /early-hints HTTP/1.1\r\n" + CLOSE)])
    assert_seen(
        agent, {("POST", "/continue", "201", ""): 1, ("GET", "/early-hints", "200", ""): 1}
    )
    assert total(agent, DURATION) >= 0.3
    assert 6 == total(agent, REQUEST_BYTES)


def test_heads_in_pieces_are_one_exchange_from_the_first_byte_to_the_last(origin):
    port, agent, log = origin
    pieces = [b"GE", b"T /split?ms=20 HT", b"TP/1.1\r\nHost: h\r\n", CLOSE]
    raw.exchange(port, [(0.02, piece) for piece in pieces])
    assert_seen(agent, {("GET", "/split", "200", ""): 1})
    record = json.loads(log.read_text())
    witnessed = (record["last_ns"] - record["first_ns"]) / 1e9
    assert abs(total(agent, DURATION) - witnessed) < 0.005


def test_one_byte_at_a_time_is_one_exchange(origin):
    port, agent, _ = origin
    request = b"GET /status/404 HTTP/1.1\r\n" + CLOSE
    raw.exchange(port, [(0.001, request[n : n + 1]) for n in range(len(request))])
    assert_seen(agent, {("GET", "/status/404", "404", ""): 1})


def test_a_body_that_looks_like_a_message_is_a_body(supervisor, port, watch):
    head = "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n"
    steps = [[0.05, head], [0.05, "HTTP/1.1 500 Oops!!!!\r\n\r\n"]]
    argv = [runtimes.sys.executable, raw.__file__, str(port), json.dumps(steps)]
    supervisor.start("raw", argv, ports=(port,))
    agent = watch(port)
    evil = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
    request = b"POST /upload HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(evil)
    raw.exchange(port, [(0, request), (0.02, evil)])
    assert_seen(agent, {("POST", "/upload", "200", ""): 1})
    # This server answers before it reads the body, so only the response's size is certain.
    assert 25 == total(agent, RESPONSE_BYTES)


def test_a_request_body_that_looks_like_a_request_has_its_size(origin):
    port, agent, _ = origin
    evil = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n" % len(evil)
    raw.exchange(port, [(0, head + CLOSE), (0.02, evil)])
    assert_seen(agent, {("POST", "/echo", "200", ""): 1})
    assert len(evil) == total(agent, REQUEST_BYTES)


JUNK = (
    b"GETAWAY x\r\n\r\n", b"PUT\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 999 x\r\n\r\n", b"GET /aaaaaaaaa \xff\xff\r\n\r\n", b"X: \xf0\x28\r\n\r\n",
    bytes(range(256)) * 20, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
)  # fmt: skip


def test_junk_is_not_counted_and_does_not_hurt_the_next_request(origin):
    port, agent, _ = origin
    for junk in JUNK:
        connection = socket.create_connection(("127.0.0.1", port))
        # The origin may hang up before it has read everything.
        with connection as sock, contextlib.suppress(ConnectionError):
            sock.sendall(junk)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        raw.exchange(port, [(0, b"GET /status/200 HTTP/1.1\r\n" + CLOSE)])
    assert_seen(agent, {("GET", "/status/200", "200", ""): len(JUNK)})


@pytest.mark.parametrize("number", [0, 40000])
def test_a_connection_older_than_the_agent_is_read_from_its_next_request(
    number, supervisor, tmp_path, port, watch
):
    port = number or port
    runtimes.start_origin(supervisor, tmp_path, port=port)
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", "/before")
    client.getresponse().read()
    agent = watch(port)
    for _ in range(20):
        client.request("GET", "/after")
        client.getresponse().read()
    client.close()
    assert_seen(agent, {("GET", "/after", "200", ""): 20})
    assert {(str(port),): 20} == agent.requests("server_port")


def test_vectored_writes_are_read_whole(origin):
    port, agent, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendmsg([b"GET /io", b"v HTTP/1.1\r\n", CLOSE])
        while sock.recv(4096):
            pass
    assert_seen(agent, {("GET", "/iov", "200", ""): 1})
    assert 5 == total(agent, RESPONSE_BYTES)


def test_requests_of_every_awkward_size_keep_their_own_path(origin):
    port, agent, _ = origin
    sizes = [n + d for n in (256, 1024, 4096, 8192) for d in (-1, 0, 1)] + [16384]
    for size in sizes:
        raw.exchange(port, [(0, raw.padded_request(size, f"/sz/{size}", close=True))])
    assert_seen(agent, {("GET", f"/sz/{size}", "200", ""): 1 for size in sizes})


def test_a_client_that_gives_up_has_no_status(origin):
    port, agent, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /slow?ms=500 HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: bool(agent.requests()), timeout_seconds=3)
    ((method, route, status, error),) = agent.requests(*LABELS)
    assert ("GET", "/slow", "") == (method, route, status)
    assert error in {"connection_closed", "connection_reset"}
    assert total(agent, DURATION) < 1


@pytest.mark.parametrize("path", ["/abort", "/reset"])
def test_a_server_that_closes_without_an_answer_has_no_status(path, origin):
    port, agent, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        try:
            assert b"" == sock.recv(4096)
        except ConnectionResetError:
            assert "/reset" == path
    until(lambda: bool(agent.requests()), timeout_seconds=3)
    ((method, route, status, error),) = agent.requests(*LABELS)
    assert ("GET", path, "") == (method, route, status)
    assert error in {"no_response", "connection_reset"}


def test_a_finished_response_is_reported_while_its_connection_stays_open(origin):
    port, agent, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /chunked?n=3&size=100 HTTP/1.1\r\nHost: h\r\n\r\n")
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += sock.recv(4096)
        assert_seen(agent, {("GET", "/chunked", "200", ""): 1})
        assert total(agent, DURATION) < 0.1


def test_a_chunked_response_lasts_to_its_last_chunk_and_counts_no_framing(origin):
    port, agent, log = origin
    raw.exchange(port, [(0, b"GET /chunked?n=3&size=1000&ms=300 HTTP/1.1\r\n" + CLOSE)])
    assert_seen(agent, {("GET", "/chunked", "200", ""): 1})
    record = json.loads(log.read_text())
    witnessed = (record["last_ns"] - record["first_ns"]) / 1e9
    assert abs(total(agent, DURATION) - witnessed) < 0.005
    assert total(agent, RESPONSE_BYTES) in {0, 3000}, "the truth, or nothing"


def test_a_response_that_ends_with_the_connection_has_its_size(origin):
    port, agent, _ = origin
    raw.exchange(port, [(0, b"GET /close-delimited?size=5000 HTTP/1.1\r\n" + CLOSE)])
    assert_seen(agent, {("GET", "/close-delimited", "200", ""): 1})
    assert 5000 == total(agent, RESPONSE_BYTES)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("HEAD /bytes?n=500", ("HEAD", "/bytes", "200", "")),
        ("GET /204", ("GET", "/204", "204", "")),
        ("GET /304", ("GET", "/304", "304", "")),
        ("GET http://absolute.example/status/201?q=secret", ("GET", "/status/201", "201", "")),
        ("GET /status/503", ("GET", "/status/503", "503", "503")),
        ("BREW /status/418", ("_OTHER", "/status/418", "418", "")),
        ("DELETE /status/404", ("DELETE", "/status/404", "404", "")),
    ],
)
def test_the_next_request_of_the_connection_is_found_after_each_kind(line, key, origin):
    port, agent, _ = origin
    first = f"{line} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    raw.exchange(port, [(0, first), (0.1, b"GET /last HTTP/1.1\r\n" + CLOSE)])
    assert_seen(agent, {key: 1, ("GET", "/last", "200", ""): 1})


def test_pipelined_requests_are_paired_in_order(origin):
    port, agent, _ = origin
    paths = (b"/status/200", b"/status/404", b"/status/503")
    batch = b"".join(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n" for path in paths)
    raw.exchange(port, [(0, batch * 2 + b"GET /last HTTP/1.1\r\n" + CLOSE)])
    expected = {
        ("GET", "/status/200", "200", ""): 2,
        ("GET", "/status/404", "404", ""): 2,
        ("GET", "/status/503", "503", "503"): 2,
        ("GET", "/last", "200", ""): 1,
    }
    assert_seen(agent, expected)


@pytest.mark.parametrize(
    ("request_line", "status"), [(b"GET /upgrade", "101"), (b"CONNECT host.example:443", "200")]
)
def test_what_follows_an_upgrade_is_not_http(request_line, status, origin):
    port, agent, _ = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(request_line + b" HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert f" {status} ".encode() in sock.recv(4096)
        for _ in range(5):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
            sock.recv(4096)
            time.sleep(0.05)
    until(lambda: bool(agent.requests()), timeout_seconds=3)
    time.sleep(0.1)
    labels = ("http_request_method", "http_response_status_code")
    assert {(request_line.split()[0].decode(), status): 1} == agent.requests(*labels)
    assert total(agent, DURATION) < 0.1
