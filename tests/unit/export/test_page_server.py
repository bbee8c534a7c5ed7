"""The HTTP server: nothing but its pages, and nobody can hold it up."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time

import pytest
from tests.unit.export.prometheus_rig import (
    Endpoint,
    expected_of_rich,
    samples,
)
from tests.unit.export.samples import histogram, service, snapshot

from otelauto.export._page_server import Answer, Limits, PageServer


def test_gzip_is_used_if_the_client_takes_it(rich):
    with Endpoint(lambda: rich) as endpoint:
        _, headers, body = endpoint.get(Accept_Encoding="gzip")
        assert headers["Content-Encoding"] == "gzip"
        assert expected_of_rich() == samples(gzip.decompress(body).decode())
        _, headers, _ = endpoint.get(Accept_Encoding="gzip;q=0, identity")
        assert headers["Content-Encoding"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/-/config",
        "/debug/pprof",
        "//metrics",
        "/metrics/",
        "/metrics/../config",
        "/METRICS",
        "/%6detrics",
    ],
)
def test_nothing_else_is_served(rich, path):
    with Endpoint(lambda: rich) as endpoint:
        assert endpoint.get(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "get"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
def test_other_methods_are_refused(rich, method, path):
    with Endpoint(lambda: rich) as endpoint:
        status, headers, _ = endpoint.get(path, method=method, body=b"x" * 70_000)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_the_heads_of_get_and_no_body(rich):
    with Endpoint(lambda: rich) as endpoint:
        status, headers, body = endpoint.get(method="HEAD")
        assert (status, body) == (200, b"")
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 505),
        (b"GET metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET http://x HTTP/1.1\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\n\r\n", 400),
        (b"GET http://x/metrics?y HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
        (b"GET http://x//metrics HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"G\xffT /metrics HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
        (b"GET /metrics HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_odd_heads_get_their_status_and_the_connection_ends(rich, data, status):
    with Endpoint(lambda: rich) as endpoint:
        assert endpoint.raw(data).startswith(f"HTTP/1.1 {status} ".encode())
        assert endpoint.get("/healthz")[0] == 200


def test_one_connection_serves_many_scrapes_also_pipelined(rich):
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"
    with Endpoint(lambda: rich) as endpoint:
        assert endpoint.raw(head * 3 + last).count(b"HTTP/1.1 200 OK") == 4


def test_a_body_is_never_taken_for_a_request(rich):
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    data = b"GET /healthz HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(smuggled), smuggled)
    with Endpoint(lambda: rich) as endpoint:
        assert endpoint.raw(data).count(b"HTTP/1.1 ") == 1


def test_idle_connections_cannot_keep_a_scraper_out(rich):
    with Endpoint(lambda: rich, limits=Limits(connections=8)) as endpoint:
        idle = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(100)]
        try:
            assert endpoint.get()[0] == 200
        finally:
            for one in idle:
                one.close()


def drip(connection):
    for _ in range(50):
        connection.sendall(b"G")
        time.sleep(0.1)


def test_a_head_that_drips_is_cut_off(rich):
    with (
        Endpoint(lambda: rich, limits=Limits(head_seconds=0.4)) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=5) as one,
    ):
        begin = time.monotonic()
        with pytest.raises(OSError, match=r"."):
            drip(one)
        assert time.monotonic() - begin < 2


def test_a_reader_that_does_not_read_is_cut_off_and_others_are_served():
    big = snapshot(service(*(histogram(route=f"/{n}" + "x" * 900) for n in range(3000))))
    limits = Limits(piece_seconds=0.5)
    with Endpoint(lambda: big, limits=limits) as endpoint:
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", endpoint.port))
        with lazy:
            lazy.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert endpoint.get("/healthz")[0] == 200
            assert endpoint.get()[0] == 200
            time.sleep(0.8)
            assert not endpoint.exporter._servers[0]._open
            assert endpoint.get("/healthz")[0] == 200


def test_stop_closes_the_port_at_once(rich):
    with Endpoint(lambda: rich) as endpoint:
        port = endpoint.port
        one = socket.create_connection(("127.0.0.1", port))
        begin = time.monotonic()
    assert time.monotonic() - begin < 1
    one.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def broken_off(_):
    def pieces():
        yield b"half"
        raise RuntimeError("the map is gone")

    return Answer(200, "text/plain", pieces())


def test_a_page_that_breaks_off_is_seen_as_such_and_the_server_goes_on():
    """The end of the chunked body is missing: half a page is never taken for a whole."""
    failures = []
    server = PageServer("127.0.0.1", 0, pages={"/x": broken_off}, failed=failures.append)
    server.start()
    try:
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request("GET", "/x")
            with pytest.raises(http.client.IncompleteRead):
                connection.getresponse().read()
            connection.close()
    finally:
        server.stop()
    assert [str(one) for one in failures] == ["the map is gone"] * 2


def test_a_client_that_is_busy_is_never_the_one_that_makes_room(rich):
    slow = threading.Event()

    def page(_):
        slow.wait(10)
        return Answer(200, "text/plain", (b"done",))

    server = PageServer("127.0.0.1", 0, pages={"/x": page}, limits=Limits(connections=2))
    server.start()
    try:
        busy = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(2)]
        for one in busy:
            one.request("GET", "/x")
        deadline = time.monotonic() + 5
        while sum(not one.idle for one in server._open) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as third:
            assert third.recv(1) == b""
        slow.set()
        assert [one.getresponse().read() for one in busy] == [b"done"] * 2
        for one in busy:
            one.close()
    finally:
        server.stop()
