"""How long HTTP/1 exchanges last and how large their bodies are, by the origin's own record."""

from __future__ import annotations

import http.client
import random
import socket
import sys
import threading
import time

import pytest
from tests.live.scene import Witness, assert_seen
from tests.servers import origin as origin_program
from tests.servers import raw
from tests.servers.agent import until

pytestmark = pytest.mark.live

CLOSE = b"Connection: close\r\n\r\n"


def test_durations_and_sizes_of_many_are_those_of_the_origin(origin):
    """Four clients at once, 160 exchanges of all kinds, in random order."""
    port, since, witness = origin
    kinds = (
        ("GET", "/slow?ms=10", b""), ("GET", "/bytes?n=70000", b""),
        ("GET", "/chunked?n=5&size=300&ms=2", b""), ("HEAD", "/bytes?n=5", b""),
        ("POST", "/echo", b"p" * 10_000), ("GET", "/iov", b""), ("GET", "/304", b""),
        ("GET", "/sendfile?size=20000", b""), ("PUT", "/echo", b"q"), ("GET", "/204", b""),
    )  # fmt: skip

    def client(seed):
        chosen = list(kinds) * 4
        random.Random(seed).shuffle(chosen)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for method, target, body in chosen:
            connection.request(method, target, body=body)
            connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: sum(since.requests().values()) >= 160, timeout_seconds=3)
    time.sleep(0.1)
    records = witness.records()
    by_kind = {}
    for record in records:
        key = (record["method"], record["target"].partition("?")[0], str(record["status"]))
        by_kind[key] = by_kind.get(key, 0) + 1
    labels = ("http_request_method", "http_route", "http_response_status_code")
    assert by_kind == since.requests(*labels)
    assert 160 == len(records)
    assert sum(r["request_bytes"] for r in records) == since.body_bytes("request")
    assert sum(r["response_bytes"] for r in records) == since.body_bytes("response")
    witness.assert_same_times(since)


def test_a_finished_response_is_reported_while_its_connection_stays_open(origin):
    port, since, witness = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /chunked?n=3&size=100&ms=2 HTTP/1.1\r\nHost: h\r\n\r\n")
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += sock.recv(4096)
        time.sleep(0.5)
        assert_seen(since, {("GET", "/chunked", "200", ""): 1})
        witness.assert_same_times(since)
    time.sleep(0.1)
    assert {(): 1} == since.requests(), "the close adds nothing"


def test_a_chunked_response_lasts_to_its_last_chunk_and_counts_no_framing(origin):
    port, since, witness = origin
    raw.exchange(port, [(0, b"GET /chunked?n=3&size=1000&ms=200 HTTP/1.1\r\n" + CLOSE)])
    assert_seen(since, {("GET", "/chunked", "200", ""): 1})
    assert since.duration_seconds() >= 0.4
    witness.assert_same_times(since)
    assert 3000 == since.body_bytes("response")


def test_an_event_stream_lasts_as_long_as_it_flows(origin):
    port, since, witness = origin
    raw.exchange(port, [(0, b"GET /events?n=10&size=40&ms=100 HTTP/1.1\r\n" + CLOSE)])
    assert_seen(since, {("GET", "/events", "200", ""): 1})
    assert since.duration_seconds() >= 0.9
    witness.assert_same_times(since)
    assert 400 == since.body_bytes("response")


def test_a_response_that_ends_with_the_connection_has_its_size(origin):
    port, since, witness = origin
    head = b"GET /close-delimited?size=5000&ms=100 HTTP/1.0\r\n\r\n"
    raw.exchange(port, [(0, head)])
    assert_seen(since, {("GET", "/close-delimited", "200", ""): 1})
    assert 5000 == since.body_bytes("response")
    assert since.duration_seconds() >= 0.1
    witness.assert_same_times(since)


def test_a_slow_upload_lasts_from_its_first_byte(origin):
    """Header and body in many writes, as http.client does it in two."""
    port, since, witness = origin
    head = b"POST /echo HTTP/1.1\r\nContent-Length: 100\r\n"
    pieces = [(0.0, head), (0.05, CLOSE)] + [(0.02, b"u" * 20)] * 5
    raw.exchange(port, pieces)
    assert_seen(since, {("POST", "/echo", "200", ""): 1})
    assert since.duration_seconds() >= 0.1
    witness.assert_same_times(since)
    assert 100 == since.body_bytes("request")


@pytest.mark.parametrize("path", ["/bytes?n=8000000", "/sendfile?size=8000000"])
def test_a_response_larger_than_the_sockets_buffer_has_its_size(path, origin):
    """Many writes that each take a part, or nothing at all (EAGAIN), to a slow reader."""
    port, since, witness = origin
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\n" + CLOSE)
        time.sleep(0.2)
        while sock.recv(1 << 20):
            pass
    assert_seen(since, {("GET", path.partition("?")[0], "200", ""): 1})
    assert 8_000_000 == since.body_bytes("response")
    assert since.duration_seconds() > 0.15
    witness.assert_same_times(since)


def test_a_spliced_body_has_its_size(origin):
    port, since, witness = origin
    request = b"GET /splice?size=6000 HTTP/1.1\r\nHost: h\r\n\r\n"
    raw.exchange(port, [(0, request), (0.1, b"GET /last HTTP/1.1\r\n" + CLOSE)])
    assert_seen(since, {("GET", "/splice", "200", ""): 1, ("GET", "/last", "200", ""): 1})
    assert 6002 == since.body_bytes("response")
    witness.assert_same_times(since)


def test_what_a_server_peeks_at_is_counted_when_it_reads_it(scene, origin):
    """MSG_PEEK before each read, which also fails where there is nothing yet."""
    _, since, _ = origin
    port, log = scene.spare.pop(), scene.log.with_name("peek.jsonl")
    argv = [sys.executable, origin_program.__file__, "--peek", "--access", str(log)]
    server = scene.supervisor.start("peek", [*argv, "--port", str(port)], ports=(port,))
    try:
        time.sleep(0.1)
        head = b"POST /echo HTTP/1.1\r\nContent-Length: 30\r\n" + CLOSE
        for _ in range(3):
            raw.exchange(port, [(0, head[:20]), (0.02, head[20:]), (0.02, b"x" * 30)])
        assert_seen(since, {("POST", "/echo", "200", ""): 3})
        assert 90 == since.body_bytes("request")
        Witness(log, 0).assert_same_times(since)
    finally:
        scene.supervisor.stop(server)
