"""Several requests in one write, several responses in one: paired in order, or counted as lost."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time

import pytest
from tests.live.scene import assert_seen, losses
from tests.servers import raw
from tests.servers.agent import until

pytestmark = pytest.mark.live

CLOSE = b"Connection: close\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\n" + CLOSE


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def test_pipelined_requests_are_paired_in_order(origin):
    port, since, _ = origin
    batch = b"".join(get(f"/status/{status}") for status in (200, 404, 503))
    raw.exchange(port, [(0, batch * 2 + LAST)])
    expected = {
        ("GET", "/status/200", "200", ""): 2,
        ("GET", "/status/404", "404", ""): 2,
        ("GET", "/status/503", "503", "503"): 2,
        ("GET", "/last", "200", ""): 1,
    }
    assert_seen(since, expected)


@pytest.mark.parametrize("depth", [2, 16, 64])
def test_a_pipeline_of_any_usual_depth_is_followed(depth, origin):
    """In one write, with every kind of request among them, and paths known before or not."""
    port, since, _ = origin
    kinds = [
        (get("/pipe/a"), ("GET", "/pipe/a", "200", "")),
        (b"HEAD /bytes?n=9 HTTP/1.1\r\n\r\n", ("HEAD", "/bytes", "200", "")),
        (get("/status/404"), ("GET", "/status/404", "404", "")),
    ]
    post = b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /"
    if depth < 64:  # a body is a message's second part, and one write may have 66 parts
        kinds.append((post, ("POST", "/echo", "200", "")))
    batch, expected = [], {}
    for number in range(depth):
        request, key = kinds[number % len(kinds)]
        batch.append(request)
        expected[key] = expected.get(key, 0) + 1
    raw.exchange(port, [(0, b"".join(batch)), (0.3, LAST)])
    assert_seen(since, {**expected, ("GET", "/last", "200", ""): 1})
    assert {} == losses(since)
    assert batch.count(post) * 5 == since.body_bytes("request")


def test_a_pipeline_that_is_sent_piece_by_piece_is_followed(origin):
    """Requests that begin and end anywhere within the reads, while earlier ones are answered."""
    port, since, _ = origin
    stream = b"".join(get(f"/slow?ms=1&{n}") for n in range(40)) + LAST
    raw.exchange(port, [(0.002, stream[at : at + 33]) for at in range(0, len(stream), 33)])
    assert_seen(since, {("GET", "/slow", "200", ""): 40, ("GET", "/last", "200", ""): 1})


@pytest.mark.parametrize("depth", [66, 120, 300])
def test_a_deeper_pipeline_is_counted_and_its_loss_is_said(depth, origin):
    """Beyond 65 in flight not everything is known, but nothing is invented or forgotten."""
    port, since, _ = origin
    raw.exchange(port, [(0, get("/slow?ms=1") * depth), (0.5, LAST)])
    until(lambda: bool(since.requests("http_route").get(("/last",))), timeout_seconds=5)
    time.sleep(0.1)
    seen = since.requests("http_route")
    lost = losses(since)
    assert 1 == seen.pop(("/last",)), "the connection is followed again"
    assert seen["/slow",] >= 64
    assert set(seen) <= {("/slow",), ("other",), ("",)}
    assert lost
    assert sum(seen.values()) <= depth


@contextlib.contextmanager
def answering_at_once(scene, text):
    """A server that answers a whole batch with this text; its port."""
    port = scene.spare.pop()
    argv = [sys.executable, raw.__file__, str(port), json.dumps([[0.1, text]])]
    server = scene.supervisor.start("batch", argv, ports=(port,))
    try:
        time.sleep(0.1)
        yield port
    finally:
        scene.supervisor.stop(server)


def ask_at_once(port, batch):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(batch)
        while sock.recv(65536):
            pass


ANSWERS = (
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
)


@pytest.mark.parametrize("half", [1, 8, 16])
def test_responses_in_one_write_end_one_request_each(half, scene, origin):
    port, since, _ = origin
    raw.exchange(port, [(0, b"GET /batch HTTP/1.1\r\n" + CLOSE)])
    batch = (get("/batch") + get("/status/404")) * half
    with answering_at_once(scene, ANSWERS * half) as batching:
        ask_at_once(batching, batch)
        expected = {
            ("GET", "/batch", "200", ""): half + 1, ("GET", "/status/404", "404", ""): half,
        }  # fmt: skip
        assert_seen(since, expected)
        assert 2 + 3 * half == since.body_bytes("response")
        assert {} == losses(since)


def test_more_responses_in_one_write_than_are_followed_are_no_faults(scene, origin):
    """What was not looked at was not seen: no error is made up for it, and the loss is said."""
    _, since, _ = origin
    batch = (get("/batch") + get("/status/404")) * 32
    with answering_at_once(scene, ANSWERS * 32) as batching:
        ask_at_once(batching, batch)
        until(lambda: bool(losses(since).get("response_unseen")), timeout_seconds=3)
        time.sleep(0.1)
        seen = sum(since.requests().values())
        unseen = losses(since)["response_unseen"]
        assert {("",)} == set(since.requests("error_type"))
        assert 64 == seen + unseen, "each is one or the other"
