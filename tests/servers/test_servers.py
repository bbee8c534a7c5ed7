"""The servers of the live tests, without an agent: what they answer is what the tests rely on."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from tests.load.generator import Load, Target, run_exact
from tests.servers import apache, nginx, raw, runtimes
from tests.servers.process import StartError, marked

COMMON = (Target("/ok"), Target("/users/{n}"), Target("/missing", 404), Target("/error", 500))


def start_application(kind, supervisor, tmp_path, port):
    if kind == "apache":
        return apache.start(supervisor, tmp_path, port=port)
    if kind == "nginx":
        return nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))
    if kind in {"sync", "gthread"}:
        return runtimes.start_gunicorn(supervisor, port=port, worker_class=kind)
    return getattr(runtimes, f"start_{kind}")(supervisor, port=port)


PROGRAMS = {"apache": "apache2", "sync": "gunicorn", "gthread": "gunicorn", "threaded": "python3"}


@pytest.mark.parametrize(
    "kind", ["nginx", "apache", "sync", "gthread", "node", "java", "threaded"]
)
def test_every_application_server_gives_the_common_answers(
    kind, need, supervisor, tmp_path, port, loadgen
):
    need(PROGRAMS.get(kind, kind))
    running = start_application(kind, supervisor, tmp_path, port)
    report = run_exact(loadgen, Load(port=port, targets=COMMON, connections=4, requests=400))
    assert {"200": 200, "404": 100, "500": 100} == report["statuses"]
    assert running.pid in marked(supervisor.sessions)
    supervisor.stop(running)
    assert {} == marked(supervisor.sessions), "nothing of the server is left"


def test_a_server_that_cannot_start_says_why(need, supervisor, tmp_path, port):
    need("nginx")
    site = nginx.Site(port=port, upstream="no such host:1")
    with pytest.raises(StartError, match=r"invalid|host not found"):
        nginx.start(supervisor, tmp_path, site)


def test_nginx_proxies_to_a_unix_socket_and_to_tcp_with_both_versions(
    need, supervisor, tmp_path, ports, loadgen
):
    need("nginx")
    socket_path = tmp_path / "app.sock"
    upstream_port = ports()
    _, unix_log = runtimes.start_origin(supervisor, tmp_path, unix=socket_path)
    _, tcp_log = runtimes.start_origin(supervisor, tmp_path, port=upstream_port)
    cases = [(f"unix:{socket_path}", "1.0"), (f"127.0.0.1:{upstream_port}", "1.1")]
    for number, (upstream, version) in enumerate(cases):
        site = nginx.Site(port=ports(), upstream=upstream, upstream_version=version)
        name = f"nginx{number}"
        nginx.start(supervisor, tmp_path, site, name=name)
        load = Load(port=site.port, targets=(Target("/app/status/418", 418),), requests=50)
        run_exact(loadgen, load)
        assert {("GET", "/app/status/418", 418): 50} == nginx.access_counts(tmp_path, name)
    for log in (unix_log, tcp_log):
        assert 50 == len(log.read_text().splitlines())


ODD = [
    ("GET /status/503", 503, 2),
    ("HEAD /bytes?n=500", 200, 0),
    ("GET /204", 204, 0),
    ("GET /304", 304, 0),
    ("GET /chunked?n=3&size=1000", 200, 3000),
    ("GET /close-delimited?size=5000", 200, 5000),
    ("GET /early-hints", 200, 2),
    ("GET /split?ms=5", 200, 2),
    ("GET /iov", 200, 5),
    ("GET /partial?size=1000", 200, 500),
    ("GET /abort", 0, 0),
    ("GET /reset", 0, 0),
    ("GET http://absolute.example/status/201", 201, 2),
]


@pytest.mark.parametrize(("line", "status", "size"), ODD)
def test_the_origin_does_what_the_path_says_and_witnesses_it(
    line, status, size, supervisor, tmp_path, port
):
    _, log = runtimes.start_origin(supervisor, tmp_path, port=port)
    request = f"{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    try:
        received = raw.exchange(port, [(0, request)])
    except ConnectionResetError:
        received = b""
    record = json.loads(log.read_text())
    assert (status, size) == (record["status"], record["response_bytes"])
    assert (b" %d " % status in received) is bool(status)


def test_the_origin_reads_bodies_after_100_continue_and_times_from_the_first_byte(
    supervisor, tmp_path, port
):
    _, log = runtimes.start_origin(supervisor, tmp_path, port=port)
    head = b"POST /continue HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
    head += b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    received = raw.exchange(port, [(0, head[:2]), (0.05, head[2:]), (0.05, b"hello")])
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")
    record = json.loads(log.read_text())
    assert (201, 5) == (record["status"], record["request_bytes"])
    assert record["last_ns"] - record["first_ns"] >= 100_000_000


def test_the_origin_takes_pipelined_and_chunked_requests(supervisor, tmp_path, port):
    _, log = runtimes.start_origin(supervisor, tmp_path, port=port)
    chunked = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    last = b"GET /status/404 HTTP/1.1\r\nConnection: close\r\n\r\n"
    raw.exchange(port, [(0, chunked * 2 + last)])
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [("/echo", 3), ("/echo", 3), ("/status/404", 0)] == [
        (record["target"], record["request_bytes"]) for record in records
    ]


def test_an_upgraded_connection_echoes_whatever_follows(supervisor, tmp_path, port):
    _, log = runtimes.start_origin(supervisor, tmp_path, port=port)
    frames = b"GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    with raw.socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /upgrade HTTP/1.1\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        sock.sendall(frames)
        assert frames == sock.recv(4096)
    assert ["/upgrade"] == [json.loads(line)["target"] for line in log.read_text().splitlines()]


def test_origin_workers_share_the_load(supervisor, tmp_path, port, loadgen):
    running, log = runtimes.start_origin(supervisor, tmp_path, port=port, workers=3)
    assert 2 == len(running.children())
    run_exact(loadgen, Load(port=port, requests=300, one_shot=True))
    targets = Counter(json.loads(line)["target"] for line in log.read_text().splitlines())
    assert {"/ok": 300} == targets


@pytest.mark.parametrize("size", [255, 256, 1024, 8192, 16384])
def test_a_padded_request_has_exactly_its_size(size):
    assert size == len(raw.padded_request(size, "/sz/1"))


def test_the_raw_server_sends_its_steps_in_time(supervisor, port):
    steps = [[0, "HTTP/1.1 100 Continue\r\n\r\n"], [0.1, "HTTP/1.1 201 Created\r\n\r\n"]]
    argv = [runtimes.sys.executable, raw.__file__, str(port), json.dumps(steps)]
    supervisor.start("raw", argv, ports=(port,))
    begin = time.monotonic()
    received = raw.exchange(port, [(0, b"POST /up HTTP/1.1\r\n\r\n")])
    assert "".join(text for _, text in steps).encode() == received
    assert time.monotonic() - begin >= 0.1
