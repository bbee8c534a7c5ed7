"""Where exchanges take place: unix sockets, IPv4 and IPv6, namespaces, processes and threads."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from tests.live.scene import Witness, assert_seen
from tests.load.generator import Load, Target, run_exact
from tests.servers import client, nginx, raw, runtimes
from tests.servers import origin as origin_program
from tests.servers.agent import until

pytestmark = pytest.mark.live

CLOSE = b"Connection: close\r\n\r\n"
PLACE = ("job", "http_route", "http_response_status_code", "error_type")


@contextlib.contextmanager
def unix_origin(scene, name):
    """An origin at a unix socket that the scene's agent watches by its mark: path and witness."""
    path = scene.log.with_name(f"{name}-{scene.mark}.sock")
    log = scene.log.with_name(f"{name}.jsonl")
    argv = [sys.executable, origin_program.__file__, "--access", str(log), "--unix", str(path)]
    server = scene.supervisor.start(name, argv, sockets=(path,))
    time.sleep(0.2)  # the agent has seen it start
    try:
        yield path, Witness(log, 0), server
    finally:
        scene.supervisor.stop(server)


def unix_exchange(path, request, *, read=True):
    """All that comes before the end, or nothing but the request."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(request)
        received = b""
        while read and (data := sock.recv(65536)):
            received += data
        return received


def test_a_close_ends_the_response_over_a_unix_socket(scene, origin):
    """There is no event for it; that the reader, who is not watched, comes to the end tells."""
    _, since, _ = origin
    with unix_origin(scene, "closing") as (path, witness, _):
        for _ in range(20):
            unix_exchange(path, b"GET /close-delimited?size=700&ms=5 HTTP/1.0\r\n\r\n")
        assert_seen(since, {("GET", "/close-delimited", "200", ""): 20})
        assert 20 * 700 == since.body_bytes("response")
        witness.assert_same_times(since)


def test_both_ends_of_a_unix_socket_are_counted(scene, origin):
    _, since, _ = origin
    with unix_origin(scene, "both") as (path, _, _):
        targets = ["GET:/ok", "GET:/status/503", "POST:/echo:50", "GET:/close-delimited"]
        argv = [sys.executable, client.__file__, scene.mark, "unix", str(path), "0", *targets]
        subprocess.run(argv, check=True, timeout=30)
        expected = {
            ("GET", "/ok", "200", ""): 1, ("GET", "/status/503", "503", "503"): 1,
            ("POST", "/echo", "200", ""): 1, ("GET", "/close-delimited", "200", ""): 1,
        }  # fmt: skip
        assert_seen(since, expected)
        assert_seen(since, expected, role="client")
        assert 50 == since.body_bytes("request") == since.body_bytes("request", "client")


def test_a_server_that_closes_a_unix_socket_without_an_answer_has_no_status(scene, origin):
    _, since, _ = origin
    with unix_origin(scene, "silent") as (path, _, _):
        unix_exchange(path, b"GET /abort HTTP/1.1\r\n\r\n")
        assert_seen(since, {("GET", "/abort", "", "no_response"): 1})


def test_a_killed_server_at_a_unix_socket_has_no_status(scene, origin):
    _, since, _ = origin
    with (
        unix_origin(scene, "killed") as (path, _, server),
        socket.socket(socket.AF_UNIX) as sock,
    ):
        sock.connect(str(path))
        sock.sendall(b"GET /slow?ms=20000 HTTP/1.1\r\n\r\n")
        time.sleep(0.1)
        server.process.send_signal(signal.SIGKILL)
        assert b"" == sock.recv(100)
        assert_seen(since, {("GET", "/slow", "", "no_response"): 1})
        assert since.duration_seconds() < 2


def test_a_client_that_leaves_a_unix_socket_unread_is_noticed_at_the_next_look(scene, origin):
    """Nobody reads the end of the stream: the agent looks when it collects."""
    _, since, _ = origin
    with unix_origin(scene, "unread") as (path, _, _):
        for _ in range(3):
            unix_exchange(path, b"GET /close-delimited?ms=0 HTTP/1.0\r\n\r\n", read=False)
        until(lambda: sum(since.requests().values()) >= 3, timeout_seconds=5)
        assert {(): 3} == since.requests()


def test_kept_alive_unix_connections_end_once(scene, origin):
    """Many requests on each, then the end: none is counted twice, none is missed."""
    _, since, _ = origin
    with unix_origin(scene, "kept") as (path, _, _):
        for _ in range(5):
            request = b"GET /kept HTTP/1.1\r\nHost: h\r\n\r\n" * 4
            unix_exchange(path, request + b"GET /last HTTP/1.1\r\n" + CLOSE)
        assert_seen(since, {("GET", "/kept", "200", ""): 20, ("GET", "/last", "200", ""): 5})


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("behind", ["origin", "gunicorn"])
def test_nginx_in_front_of_a_unix_socket(
    version, behind, need, scene, tmp_path, supervisor, port, loadgen, agent_on
):
    """HTTP/1.0 upstream, which is nginx's default, ends each response by a close."""
    need("nginx", "gunicorn")
    path = tmp_path / "app.sock"
    if behind == "origin":
        runtimes.start_origin(supervisor, tmp_path, unix=path, workers=2)
    else:
        runtimes.start_gunicorn(supervisor, unix=path, workers=2)
    site = nginx.Site(
        port=port, upstream=f"unix:{path}", upstream_path="/", upstream_version=version
    )
    nginx.start(supervisor, tmp_path, site)
    more = f'    - cmd_args: "*{path}*"\n      name: behind\n    - exe_path: "*/nginx"\n'
    more += f'      cmd_args: "*{tmp_path}*"\n'
    routes = 'routes:\n  patterns: ["/ok", "/users/:id", "/missing", "/error"]\n'
    agent = agent_on(port, more=f"{more}{routes}ebpf:\n  hook: {scene.hook}\n")
    targets = (Target("/ok"), Target("/users/{n}"))
    run_exact(loadgen, Load(port=port, targets=targets, requests=1_000, connections=8))
    labels = ("job", "http_route", "http_response_status_code")
    expected = {
        ("nginx", "/ok", "200"): 500, ("nginx", "/users/:id", "200"): 500,
        ("behind", "/ok", "200"): 500, ("behind", "/users/:id", "200"): 500,
    }  # fmt: skip
    until(lambda: sum(agent.requests().values()) >= 2_000, timeout_seconds=3)
    time.sleep(0.1)
    assert expected == agent.requests(*labels)
    proxied = {("nginx", "/ok", "200"): 500, ("nginx", "/users/:id", "200"): 500}
    assert proxied == agent.requests(*labels, role="client")


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listens", "asked", "named"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "::1", "::1"),
        ("::", "::ffff:127.0.0.1", "127.0.0.1"),
        ("::", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_addresses_of_both_families_are_named_as_they_are(listens, asked, named, scene, origin):
    """An IPv4 peer of an IPv6 socket is an IPv4 peer, at either end."""
    _, since, _ = origin
    port, log = scene.spare.pop(), scene.log.with_name(f"{len(scene.spare)}.jsonl")
    argv = [sys.executable, origin_program.__file__, "--access", str(log), "--address", listens]
    server = scene.supervisor.start("address", [*argv, "--port", str(port)], ports=(port,))
    try:
        time.sleep(0.1)
        argv = [sys.executable, client.__file__, scene.mark, "http.client", asked, str(port)]
        subprocess.run([*argv, "GET:/a", "GET:/a"], check=True, timeout=30)
        assert_seen(since, {("GET", "/a", "200", ""): 2})
        assert {(str(port),): 2} == since.requests("server_port")
        labels = ("server_address", "server_port")
        assert {(named, str(port)): 2} == since.requests(*labels, role="client")
    finally:
        scene.supervisor.stop(server)


# --- namespaces and processes --------------------------------------------------------------------


def test_a_container_is_watched_from_outside(need, scene, origin):
    """A server with process ids and a network of its own, asked from within its network."""
    need("unshare", "nsenter", "ip")
    _, since, _ = origin
    log = scene.log.with_name(f"container-{scene.mark}.jsonl")
    serve = f"{sys.executable} {origin_program.__file__} --access {log} --port 8080 --workers 2"
    inside = ["unshare", "--pid", "--net", "--fork", "--kill-child", "sh", "-c"]
    box = scene.supervisor.start("container", [*inside, f"ip link set lo up; {serve} & wait"])
    try:
        assert until(log.exists)
        time.sleep(0.3)
        (first,) = box.children()
        argv = ["nsenter", f"--net=/proc/{first}/ns/net", sys.executable, client.__file__]
        argv += ["from-outside", "http.client", "127.0.0.1", "8080"]
        subprocess.run([*argv, "GET:/in", "GET:/in", "GET:/status/404"], check=True, timeout=30)
        assert_seen(since, {("GET", "/in", "200", ""): 2, ("GET", "/status/404", "404", ""): 1})
        assert {(scene.mark, "8080"): 3} == since.requests("job", "server_port")
    finally:
        scene.supervisor.stop(box)


FORKING = """
import http.server, os, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    max_children = 100
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_process_for_each_connection_is_the_same_service(scene, origin, loadgen):
    """Children that live as long as one connection, many at once."""
    _, since, _ = origin
    port = scene.spare.pop()
    argv = [sys.executable, "-c", FORKING, str(port), scene.mark]
    server = scene.supervisor.start("forking", argv, ports=(port,))
    try:
        time.sleep(0.2)
        targets = (Target("/one"), Target("/two"))
        load = Load(port=port, targets=targets, requests=200, connections=8, one_shot=True)
        run_exact(loadgen, load)
        expected = {("GET", "/one", "200", ""): 100, ("GET", "/two", "200", ""): 100}
        assert_seen(since, expected)
    finally:
        scene.supervisor.stop(server)


PASSING = """
import os, socket, sys
ours, theirs = socket.socketpair()
if os.fork():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        peer, _ = listener.accept()
        head = peer.recv(20)
        socket.send_fds(ours, [b"x"], [peer.fileno()])
        peer.close()
while True:
    _, (fd,), *_ = socket.recv_fds(theirs, 1, 1)
    with socket.socket(fileno=fd) as peer:
        while b"\\r\\n\\r\\n" not in peer.recv(4096):
            pass
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
"""


def test_a_connection_that_changes_its_process_is_one_connection(scene, origin):
    """One process reads the start of the request, another the rest, and answers."""
    _, since, _ = origin
    port = scene.spare.pop()
    argv = [sys.executable, "-c", PASSING, str(port), scene.mark]
    server = scene.supervisor.start("passing", argv, ports=(port,))
    try:
        time.sleep(0.2)
        for _ in range(5):
            raw.exchange(port, [(0, b"GET /passed HTTP/1.1\r\nHost: host\r\n\r\n")])
        assert_seen(since, {("GET", "/passed", "200", ""): 5})
    finally:
        scene.supervisor.stop(server)
