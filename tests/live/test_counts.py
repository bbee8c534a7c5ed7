"""The agent's counts are those of the load generator and of the server, at any load, exactly."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.load.generator import Load, Target, run_exact, run_wrk
from tests.servers import apache, nginx, runtimes
from tests.servers.agent import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

LABELS = ("http_request_method", "http_route", "http_response_status_code")
ROUTES = '      routes:\n        patterns: ["/ok", "/users/:id", "/missing", "/error"]\n'
TARGETS = (Target("/ok"), Target("/users/{n}"), Target("/missing", 404), Target("/error", 500))
PROGRAMS = {"apache": "apache2", "sync": "gunicorn", "gthread": "gunicorn", "threaded": "python3"}
#: gunicorn's sync workers close each connection, so they get fewer requests.
REQUESTS = {"nginx": 200_000, "apache": 100_000, "node": 40_000, "java": 40_000}


def start_server(kind, supervisor, tmp_path, port):
    if kind == "apache":
        return apache.start(supervisor, tmp_path, port=port)
    if kind == "nginx":
        return nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))
    if kind in {"sync", "gthread"}:
        return runtimes.start_gunicorn(supervisor, port=port, worker_class=kind, workers=3)
    return getattr(runtimes, f"start_{kind}")(supervisor, port=port)


def expected(report):
    route = {"/users/{n}": "/users/:id"}
    return {
        (t["method"], route.get(t["path"], t["path"]), str(t["status"])): t["responses"]
        for t in report["targets"]
    }


@pytest.mark.parametrize("connections", [16, 256])
@pytest.mark.parametrize(
    "kind", ["nginx", "apache", "sync", "gthread", "node", "java", "threaded"]
)
def test_counts_routes_and_statuses_equal_the_load_generators(
    kind, connections, need, supervisor, tmp_path, port, loadgen, agent_on
):
    need(PROGRAMS.get(kind, kind))
    start_server(kind, supervisor, tmp_path, port)
    agent = agent_on(port, more=ROUTES)
    # The threading servers take a thread per connection; more would test this machine's patience.
    requests = REQUESTS.get(kind, 8_000)
    load = Load(port=port, targets=TARGETS, connections=connections, requests=requests)
    report = run_exact(loadgen, load)
    until(lambda: requests <= sum(agent.requests(*LABELS).values()), timeout_seconds=3)
    assert expected(report) == agent.requests(*LABELS)


@pytest.mark.parametrize(("connections", "pipeline"), [(16, 1), (256, 1), (16, 4)])
def test_counts_equal_the_servers_log_under_wrk(
    connections, pipeline, need, supervisor, tmp_path, port, agent_on
):
    """wrk hangs up on responses in flight, so nginx's log is the exact witness."""
    need("nginx", "wrk")
    nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))
    agent = agent_on(port)
    url = f"http://127.0.0.1:{port}/ok"
    result = run_wrk(url, connections=connections, seconds=10, pipeline=pipeline)
    served = sum(nginx.access_counts(tmp_path).values())
    until(lambda: served <= sum(agent.requests().values()), timeout_seconds=3)
    assert 0 <= served - result.requests <= connections * pipeline
    assert {(): served} == agent.requests()


def test_new_connections_and_keep_alive_ones_count_alike(
    need, supervisor, tmp_path, port, loadgen, agent_on
):
    need("nginx")
    nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))
    agent = agent_on(port)
    for shape in ({"one_shot": True}, {"pipeline": 4}, {"address": "::1"}, {"connections": 1}):
        run_exact(loadgen, Load(port=port, requests=3_000, **shape))
    until(lambda: agent.requests() == {(): 12_000}, timeout_seconds=3)
    assert {(): 12_000} == agent.requests()


def test_a_proxied_request_is_seen_by_every_process_that_takes_part(
    need, supervisor, tmp_path, ports, loadgen, agent_on
):
    """nginx is a server to the load and a client to the application behind a unix socket."""
    need("nginx")
    socket_path = tmp_path / "app.sock"
    site = nginx.Site(port=ports(), upstream=f"unix:{socket_path}", upstream_path="/")
    _, log = runtimes.start_origin(supervisor, tmp_path, unix=socket_path)
    nginx.start(supervisor, tmp_path, site)
    more = f'    - cmd_args: "*--unix*{socket_path.name}*"\n      name: application\n'
    agent = agent_on(site.port, more=more)
    targets = (Target("/status/201", 201), Target("/status/503", 503))
    run_exact(loadgen, Load(port=site.port, targets=targets, requests=2_000))
    statuses = ("job", "http_response_status_code")
    until(lambda: sum(agent.requests(*statuses).values()) >= 4_000, timeout_seconds=3)
    both = Counter({("nginx", "201"): 1_000, ("nginx", "503"): 1_000})
    behind = Counter({("application", "201"): 1_000, ("application", "503"): 1_000})
    assert dict(both + behind) == agent.requests(*statuses)
    assert dict(both) == agent.requests(*statuses, role="client")
    assert 2_000 == len(log.read_text().splitlines())
