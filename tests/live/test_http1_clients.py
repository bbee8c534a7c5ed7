"""The client's side of an exchange: counted once, with the server's address, by any library."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from tests.live.scene import assert_seen
from tests.servers import client, runtimes
from tests.servers.agent import until

pytestmark = pytest.mark.live

ADDRESS = ("server_address", "server_port")
STATUS = ("http_request_method", "http_response_status_code", "error_type")


def run_client(scene, how, *exchanges, address="127.0.0.1", port=None):
    """The client's own records of its exchanges."""
    argv = [sys.executable, client.__file__, scene.mark, how, address, str(port or scene.port)]
    done = subprocess.run([*argv, *exchanges], capture_output=True, timeout=30, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def step(talking, *, times):
    for _ in range(times):
        talking.stdin.write(b"\n")
        talking.stdin.flush()
        assert 200 == json.loads(talking.stdout.readline())["status"]


def assert_roles(agent, expected):
    """Both ends, by their own counts."""
    labels = ("http_route", "http_response_status_code", "server_port")
    until(lambda: expected == agent.requests(*labels, role="client"), timeout_seconds=3)
    assert expected == agent.requests(*labels) == agent.requests(*labels, role="client")


def seconds(records):
    return sum(record["last_ns"] - record["first_ns"] for record in records) / 1e9


@pytest.mark.parametrize("how", ["http.client", "urllib"])
def test_both_ends_of_each_exchange_are_counted_alike(how, scene, origin):
    """One series of the client and one of the server, each in its own process's service."""
    port, since, witness = origin
    ok = ("GET:/ok", "POST:/echo:100", "GET:/status/404", "GET:/status/503", "HEAD:/bytes?n=9")
    records = run_client(scene, how, *ok)
    assert [200, 200, 404, 503, 200] == [record["status"] for record in records]
    statuses = {
        ("GET", "200", ""): 1, ("POST", "200", ""): 1, ("HEAD", "200", ""): 1,
        ("GET", "503", "503"): 1,
    }  # fmt: skip
    until(lambda: sum(since.requests(role="client").values()) >= 5, timeout_seconds=3)
    time.sleep(0.1)
    assert {**statuses, ("GET", "404", ""): 1} == since.requests(*STATUS)
    assert {**statuses, ("GET", "404", "404"): 1} == since.requests(*STATUS, role="client")
    assert {(scene.mark, "127.0.0.1", str(port)): 5} == since.requests(
        "job", *ADDRESS, role="client"
    )
    assert 100 == since.body_bytes("request") == since.body_bytes("request", "client")
    answered = sum(record["response_bytes"] for record in witness.records())
    assert answered == since.body_bytes("response") == since.body_bytes("response", "client")


def test_a_client_waits_as_long_as_it_says_itself(scene, origin):
    """Each lasts from the request's first write to the response's last read."""
    _, since, witness = origin
    targets = ["GET:/slow?ms=30"] * 5 + ["GET:/chunked?n=4&ms=20"] * 5
    records = run_client(scene, "http.client", *targets)
    assert_seen(since, {("GET", "/slow", "200", ""): 5, ("GET", "/chunked", "200", ""): 5})
    witness.assert_same_times(since)
    # The client's own time holds the work of its library around the two system calls.
    assert 0 <= seconds(records) - since.duration_seconds("client") < 10 * 0.010
    assert since.duration_seconds("client") >= witness.duration_seconds() - 10 * 0.002


@pytest.mark.parametrize("how", ["vectors", "peek"])
def test_scattered_and_peeked_responses_are_read_once(how, scene, origin):
    _, since, _ = origin
    run_client(scene, how, "GET:/iov", "GET:/split?ms=5", "GET:/bytes?n=50000")
    expected = {("GET", path, "200", ""): 1 for path in ("/iov", "/split", "/bytes")}
    assert_seen(since, expected, role="client")
    assert 5 + 2 + 50000 == since.body_bytes("response", "client")


def test_a_client_that_hangs_up_has_cancelled(scene, origin):
    _, since, _ = origin
    run_client(scene, "abandon", "GET:/slow?ms=500")
    until(lambda: bool(since.requests(role="client")), timeout_seconds=3)
    assert {("GET", "", "cancelled"): 1} == since.requests(*STATUS, role="client")
    assert 0.09 < since.duration_seconds("client") < 0.4
    # The server finds out later, and says so in its own words.
    until(lambda: bool(since.requests()), timeout_seconds=3)
    ((method, status, error),) = since.requests(*STATUS)
    assert ("GET", "") == (method, status)
    assert error in {"connection_closed", "connection_reset"}


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        ("/abort", {"connection_closed"}),
        ("/reset", {"connection_reset"}),
        ("/partial", {"connection_closed"}),
    ],
)
def test_a_response_that_never_comes_is_the_peers_fault(path, errors, scene, origin):
    _, since, _ = origin
    run_client(scene, "http.client", f"GET:{path}")
    until(lambda: bool(since.requests(role="client")), timeout_seconds=3)
    ((method, status, error),) = since.requests(*STATUS, role="client")
    assert ("GET", "200" if path == "/partial" else "") == (method, status)
    assert error in errors


def test_a_refused_connection_is_no_exchange(scene, origin):
    _, since, _ = origin
    run_client(scene, "http.client", "GET:/nobody", port=scene.spare[0])
    time.sleep(0.2)
    assert {} == since.requests(role="client")


def test_curl_is_a_client_like_any_other(need, scene, origin):
    """Several transfers over one connection; a large upload waits for 100 Continue."""
    need("curl")
    port, since, _ = origin
    url = f"http://127.0.0.1:{port}"
    subprocess.run(
        ["curl", "-sS", "--fail-early", "-A", scene.mark, f"{url}/a", f"{url}/b"], check=True,
        capture_output=True,
    )  # fmt: skip
    body = b"u" * 2_000_000
    argv = ["curl", "-sS", "-A", scene.mark, "-H", "Expect: 100-continue", "--data-binary", "@-"]
    subprocess.run([*argv, f"{url}/continue?ms=100"], input=body, check=True, capture_output=True)
    expected = {
        ("GET", "/a", "200", ""): 1, ("GET", "/b", "200", ""): 1,
        ("POST", "/continue", "201", ""): 1,
    }  # fmt: skip
    assert_seen(since, expected)
    assert_seen(since, expected, role="client")
    assert len(body) == since.body_bytes("request") == since.body_bytes("request", "client")


def test_nodes_fetch_is_a_client_like_any_other(need, scene, origin):
    need("node")
    port, since, _ = origin
    script = f"""
    const ask = (path, more) => fetch("http://127.0.0.1:{port}" + path, more).then(r => r.text());
    (async () => {{
      await ask("/first");
      await Promise.all([1, 2, 3, 4].map(() => ask("/slow?ms=20")));
      await ask("/echo", {{ method: "POST", body: "x".repeat(3000) }});
      await ask("/chunked?n=5&size=1000");
    }})();
    """
    subprocess.run(["node", "-e", script, scene.mark], check=True, timeout=30)
    expected = {
        ("GET", "/first", "200", ""): 1, ("GET", "/slow", "200", ""): 4,
        ("POST", "/echo", "200", ""): 1, ("GET", "/chunked", "200", ""): 1,
    }  # fmt: skip
    assert_seen(since, expected)
    assert_seen(since, expected, role="client")
    assert 3000 == since.body_bytes("request", "client")


@pytest.mark.parametrize("hook", ["sock", "syscall"])
def test_a_connection_older_than_the_agent_keeps_its_roles(hook, supervisor, tmp_path, agent_on):
    """Server and client; the agent starts twice in the middle, and the port is a high one."""
    port = 40_000
    runtimes.start_origin(supervisor, tmp_path, port=port)
    argv = [sys.executable, client.__file__, f"old-{port}", "steps", "127.0.0.1", str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    more = f'    - cmd_args: "*old-{port}*"\n      name: old\n'
    more += f"routes:\n  unmatched: path\nebpf:\n  hook: {hook}\n"
    with subprocess.Popen([*argv, *["GET:/old"] * 40], **pipes) as old:
        step(old, times=3)
        for times in (5, 20):
            agent = agent_on(port, more=more)
            step(old, times=times)
            assert_roles(agent, {("/old", "200", str(port)): times})
            supervisor.stop(agent.running)
            step(old, times=3)
        old.stdin.close()
