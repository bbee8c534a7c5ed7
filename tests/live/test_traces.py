"""Sampled exchanges leave the agent as spans, each once, and what does not is counted."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.load.generator import Load, Target, run_exact
from tests.receivers import OtlpGrpcReceiver, OtlpHttpReceiver
from tests.servers import nginx, runtimes
from tests.servers.agent import start_agent, until
from tests.servers.raw import exchange

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

TARGETS = (Target("/ok"), Target("/users/{n}"), Target("/missing", 404), Target("/error", 500))
ROUTES = 'routes:\n  patterns: ["/ok", "/users/{id}", "/missing", "/error"]\n'
CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def selected(*ports, more=""):
    return f'discovery:\n  instrument:\n    - open_ports: "{",".join(map(str, ports))}"\n{more}'


def traces(receiver, more=""):
    return (
        f"otel_traces_export:\n  endpoint: {receiver.traces_endpoint}\n"
        f"  exact_endpoint: {receiver.traces_endpoint}\n"
        f"  batch_timeout: 100ms\n  max_queue_size: 100000\n{more}"
    )


@pytest.fixture
def web(need, supervisor, tmp_path, port):
    need("nginx")
    return nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))


@pytest.mark.parametrize("kind", [OtlpHttpReceiver, OtlpGrpcReceiver])
def test_every_exchange_is_one_span_with_its_route_and_status(
    kind, web, supervisor, tmp_path, ports, loadgen
):
    with kind() as receiver:
        config = ROUTES + traces(receiver, "  max_spans_per_second: 0\n") + selected(web.port)
        protocol = "" if kind is OtlpHttpReceiver else "  protocol: grpc\n"
        config = config.replace("  batch_timeout", f"{protocol}  batch_timeout")
        agent = start_agent(supervisor, tmp_path, config, metrics_port=ports())
        run_exact(loadgen, Load(port=web.port, targets=TARGETS, requests=2000))
        until(lambda: len(receiver.spans()) >= 2000, timeout_seconds=20)
        supervisor.stop(agent.running)
        found = receiver.spans()
    assert 2000 == len(found) == len({(one.trace_id, one.span_id) for one in found})
    assert {
        ("GET /ok", 200, "unset"): 500,
        ("GET /users/{id}", 200, "unset"): 500,
        ("GET /missing", 404, "unset"): 500,
        ("GET /error", 500, "error"): 500,
    } == Counter(
        (one.name, one.attributes["http.response.status_code"], one.status) for one in found
    )
    assert {"server"} == {one.kind for one in found}
    assert {"nginx"} == {one.resource["service.name"] for one in found}
    assert all(one.end_unix_nano > one.start_unix_nano for one in found)


def test_a_caller_that_says_so_is_the_parent(supervisor, tmp_path, ports, port):
    runtimes.start_threaded(supervisor, port=port)
    with OtlpHttpReceiver() as receiver:
        start_agent(supervisor, tmp_path, traces(receiver) + selected(port), metrics_port=ports())
        for flags in (b"01", b"00"):
            trace, parent = (one.encode() for one in CALLER)
            context = b"TraceParent: 00-" + trace + b"-" + parent + b"-" + flags
            head = b"GET /ok?token=x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            exchange(port, [(0, head + context + b"\r\ntracestate: a=1\r\n\r\n")])
        exchange(port, [(0, b"GET /ok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")])
        receiver.wait(lambda _: len(receiver.spans()) == 2, timeout_seconds=20)
        first, second = receiver.spans()
    assert (*CALLER, "a=1") == (first.trace_id, first.parent_id, first.trace_state)
    assert ("", "") == (second.parent_id, second.trace_state)
    assert CALLER[0] != second.trace_id
    assert "token" not in str(first)


def test_a_service_of_traces_only_has_no_metrics(web, supervisor, tmp_path, ports, loadgen):
    with OtlpHttpReceiver() as receiver:
        only = selected(web.port, more="      exports: [traces]\n")
        agent = start_agent(
            supervisor, tmp_path, ROUTES + traces(receiver) + only, metrics_port=ports()
        )
        run_exact(loadgen, Load(port=web.port, targets=TARGETS, requests=200))
        until(lambda: len(receiver.spans()) == 200, timeout_seconds=20)
        assert {} == dict(agent.requests())


def test_what_is_not_sampled_and_what_is_too_much_is_counted(
    web, supervisor, tmp_path, ports, loadgen
):
    """Metrics count every exchange; every exchange is a span or counted under one cause."""
    more = "  max_spans_per_second: 100\n  sampler: {name: traceidratio, arg: 0.5}\n"
    with OtlpHttpReceiver() as receiver:
        config = f"otel_metrics_export: {{endpoint: '{receiver.url}', interval: 200ms}}\n"
        config += ROUTES + traces(receiver, more) + selected(web.port)
        agent = start_agent(supervisor, tmp_path, config, metrics_port=ports())
        run_exact(loadgen, Load(port=web.port, targets=TARGETS, requests=4000))
        until(lambda: sum(agent.requests().values()) == 4000, timeout_seconds=20)
        supervisor.stop(agent.running)
        spans = len(receiver.spans())
        counts = {
            point.attributes["otelauto.outcome"]: point.value
            for point in receiver.metrics("otelauto.spans")
        }
    assert 4000 == sum(counts.values())
    assert spans == counts["sent"]
    assert 1600 < counts["sampled_out"] < 2400
    assert counts["limited"] > 0
