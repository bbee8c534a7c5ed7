"""More paths, series, methods and connections than there is room for: bounded, said, and exact."""

from __future__ import annotations

import random

import pytest
from tests.bench.measure import pss_bytes
from tests.load.generator import Load, Target, run_exact
from tests.servers import nginx, runtimes
from tests.servers.agent import counts, start_agent, until
from tests.servers.raw import exchange

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

MEGABYTE = 1_000_000
COUNT = "http_server_request_duration_seconds_count"


@pytest.fixture
def web(need, supervisor, tmp_path, port):
    need("nginx")
    return nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))


def total(agent):
    return sum(agent.requests().values())


def settled(agent, number):
    until(lambda: total(agent) >= number, timeout_seconds=5)
    return total(agent)


@pytest.mark.parametrize("unmatched", ["heuristic", "path", "wildcard"])
@pytest.mark.slow
def test_a_hundred_thousand_paths_are_few_series_and_all_counted(
    unmatched, web, agent_on, loadgen
):
    """Identifiers fold; what does not fit goes to an explicit route; memory stays flat."""
    agent = agent_on(web.port, more=f"routes:\n  unmatched: {unmatched}\n")
    run_exact(loadgen, Load(port=web.port, requests=1000))
    memory = pss_bytes([agent.pid])
    targets = (Target("/users/{n}"), Target("/files/{n}/x", 404))
    run_exact(loadgen, Load(port=web.port, targets=targets, requests=100_000, connections=64))
    assert 101_000 == settled(agent, 101_000)
    routes = agent.requests("http_route")
    assert len(routes) <= 203
    if unmatched == "wildcard":
        assert {("/**",)} == set(routes)
    if unmatched == "heuristic":
        ids = {route for (route,) in routes if route.startswith("/users/")}
        assert 1 == len(ids), routes
    assert pss_bytes([agent.pid]) - memory < 20 * MEGABYTE


def test_a_scanner_changes_no_label(web, agent_on, loadgen):
    """Thousands of 404s: the routes of those who got an answer are what they were before."""
    agent = agent_on(web.port)
    good = (Target("/ok"), Target("/users/{n}"))
    run_exact(loadgen, Load(port=web.port, targets=good, requests=400))
    assert 400 == settled(agent, 400)
    before = agent.requests("http_route")
    rubbish = tuple(
        Target(f"/files/{path}", 404)
        for path in (
            "users-{n}", "ok/{n}", "wp-admin/{n}", ".env{n}", "{n}", "admin/{n}/login.php",
            "api/v{n}/x", "old-{n}/index.html",
        )
    )  # fmt: skip
    run_exact(loadgen, Load(port=web.port, targets=rubbish, requests=8000))
    run_exact(loadgen, Load(port=web.port, targets=good, requests=400))
    assert 8800 == settled(agent, 8800)
    found = agent.requests("http_route", "http_response_status_code")
    assert {(*route, "200"): 2 * number for route, number in before.items()} == {
        key: number for key, number in found.items() if key[1] == "200"
    }
    assert 8000 == sum(number for key, number in found.items() if key[1] == "404")
    assert len(found) < 30


def test_odd_methods_and_hosts_make_no_series(supervisor, port, agent_on):
    """Whatever a client writes: a registered method or _OTHER, and no label of the Host header."""
    runtimes.start_threaded(supervisor, port=port)
    agent = agent_on(port)
    dice = random.Random(7)
    for _ in range(200):
        method = "".join(dice.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=dice.randint(3, 12)))
        host = f"h{dice.randrange(10**9)}.example"
        head = f"{method} /ok HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        exchange(port, [(0, head.encode())])
    assert 200 == settled(agent, 200)
    assert {("_OTHER",)} == set(agent.requests("http_request_method"))
    assert ".example" not in agent.page()


def test_a_full_table_of_series_counts_on_under_overflow(web, agent_on, loadgen):
    """ebpf.max_series: what finds no room has its service and nothing else, and none is lost."""
    routes = "routes:\n  unmatched: path\n  max_per_service: 10000\n"
    agent = agent_on(web.port, more="ebpf:\n  max_series: 64\n" + routes)
    run_exact(loadgen, Load(port=web.port, targets=(Target("/p/{n}"),), requests=3000))
    assert 3000 == settled(agent, 3000)
    overflow = agent.requests("otel_metric_overflow")
    full = sum(number for (flag,), number in overflow.items() if flag)
    assert 0 < full < 3000
    outcomes = counts(agent.samples(), "otelauto_exchanges_total", ["otelauto_outcome"])
    assert full == outcomes["overflow",]
    assert 0 == outcomes["lost",]
    assert 3000 == outcomes["aggregated",] + full


def test_more_connections_than_the_table_has_are_said(web, agent_on, loadgen):
    """ebpf.max_connections: 64 and 256 busy connections: what is missing is counted by cause."""
    agent = agent_on(web.port, more="ebpf:\n  max_connections: 64\n")
    run_exact(loadgen, Load(port=web.port, requests=20_000, connections=256))
    run_exact(loadgen, Load(port=web.port, requests=1_000, connections=8))
    seen = settled(agent, 21_000)
    assert seen <= 21_000
    lost = counts(agent.samples(), "otelauto_losses_total", ["otelauto_cause"])
    if seen < 21_000:
        assert sum(lost.values()) >= 21_000 - seen, lost
    assert seen >= 1_000


def test_more_routes_than_there_is_room_for_never_stop_the_agent(
    web, supervisor, tmp_path, ports, loadgen
):
    """It is told and counted; the service is counted without its patterns."""
    patterns = "\n".join(f'    - "/a{n}/b{n}/c{n}/d{n}/:id"' for n in range(2_500))
    config = (
        f"routes:\n  patterns:\n{patterns}\n    - '/ok'\n"
        f"discovery:\n  instrument:\n    - open_ports: {web.port}\n"
    )
    agent = start_agent(supervisor, tmp_path, config, metrics_port=ports())
    run_exact(loadgen, Load(port=web.port, targets=(Target("/ok"),), requests=500))
    assert 500 == settled(agent, 500)
    assert "refused, it is counted without" in agent.running.log_text(1 << 20)
    errors = counts(agent.samples(), "otelauto_instrumentation_errors_total", ["error_type"])
    assert 1 <= sum(errors.values()) < 100
    supervisor.stop(agent.running)
