"""A collector that is down, slow, refusing or busy: counts are complete and memory stays flat."""

from __future__ import annotations

import json
import socket
import time

import pytest
from tests.bench.measure import pss_bytes
from tests.load.generator import Load, Target, run_exact, start_exact
from tests.receivers import Answer, OtlpGrpcReceiver, OtlpHttpReceiver
from tests.servers import nginx
from tests.servers.agent import counts, start_agent, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

MEGABYTE = 1_000_000
STATUS = "http.response.status_code"


@pytest.fixture
def web(need, supervisor, tmp_path, port):
    need("nginx")
    return nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=1))


def config(endpoint, port, more=""):
    return (
        f"otel_metrics_export:\n  endpoint: {endpoint}\n  interval: 200ms\n  timeout: 500ms\n"
        f"{more}discovery:\n  instrument:\n    - open_ports: {port}\n"
    )


def own(agent, name, *labels):
    return counts(agent.samples(), name, labels)


def warnings(agent):
    lines = [json.loads(line) for line in agent.running.log_text(1 << 22).splitlines()]
    return [line for line in lines if line["level"] in {"warning", "error"}]


@pytest.mark.slow
def test_a_collector_that_is_down_hangs_refuses_and_recovers_costs_no_count(
    web, supervisor, tmp_path, ports, loadgen
):
    """L1: under load all the while; at the end the state is complete, and the log was short."""
    collector = ports()
    endpoint = f"http://127.0.0.1:{collector}"
    agent = start_agent(supervisor, tmp_path, config(endpoint, web.port), metrics_port=ports())
    targets = (Target("/ok"), Target("/missing", 404))
    load = start_exact(
        loadgen, Load(port=web.port, targets=targets, seconds=14, rate_per_second=2000)
    )
    time.sleep(3)  # nobody listens
    memory = pss_bytes([agent.pid])
    with OtlpHttpReceiver(Answer(silent=True), port=collector) as hanging:
        hanging.wait_for_requests(1, 10)
        time.sleep(3)
        assert {} == hanging.counts()
    with OtlpHttpReceiver(Answer(status=503), port=collector) as refusing:
        refusing.wait_for_requests(1, 15)
        time.sleep(1)
    with OtlpHttpReceiver(port=collector) as good:
        report = json.loads(load.communicate(timeout=60)[0])
        sent = {
            (200,): report["targets"][0]["responses"],
            (404,): report["targets"][1]["responses"],
        }
        good.wait(lambda _: good.counts(STATUS) == sent, 40)
        assert sent == good.counts(STATUS)
        assert report["failed"] == 0
        assert pss_bytes([agent.pid]) - memory < 6 * MEGABYTE
        errors = own(agent, "otelauto_export_errors_total", "error_type")
        assert {("connection",), ("timeout",), ("503",)} <= set(errors)
        assert 0 < own(agent, "otelauto_export_retries_total")[()]
        said = [line["reason"] for line in warnings(agent) if "not exported" in line["event"]]
        assert len(said) <= 2 * 3, "at most one line in ten seconds for each cause"
        supervisor.stop(agent.running)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_busy_collector_is_left_alone_for_as_long_as_it_asks(
    protocol, web, supervisor, tmp_path, ports, loadgen
):
    """I3: 429 (RESOURCE_EXHAUSTED) with a time: no request before it, then everything."""
    code = "UNAVAILABLE" if protocol == "grpc" else 429
    kind = OtlpGrpcReceiver if protocol == "grpc" else OtlpHttpReceiver
    with kind(Answer(status=code, retry_after_seconds=2), Answer()) as receiver:
        agent = start_agent(
            supervisor,
            tmp_path,
            config(f"http://127.0.0.1:{receiver.port}", web.port, f"  protocol: {protocol}\n"),
            metrics_port=ports(),
        )
        run_exact(loadgen, Load(port=web.port, requests=500))
        receiver.wait(lambda _: receiver.counts() == {(): 500})
        first, second = receiver.requests[:2]
        assert 2.0 <= second.at_seconds - first.at_seconds < 4.0
        assert 1 == own(agent, "otelauto_export_retries_total")[()]
        supervisor.stop(agent.running)


@pytest.mark.parametrize("status", [400, 404])
def test_what_is_refused_for_good_is_counted_and_not_repeated(
    status, web, supervisor, tmp_path, ports, loadgen
):
    """The next export is a new one; its cumulative state holds what the refused one held."""
    with OtlpHttpReceiver(Answer(status=status), Answer()) as receiver:
        agent = start_agent(
            supervisor, tmp_path, config(receiver.url, web.port), metrics_port=ports()
        )
        run_exact(loadgen, Load(port=web.port, requests=500))
        receiver.wait(lambda _: receiver.counts() == {(): 500})
        dropped = own(agent, "otelauto_export_points_dropped_total", "error_type")
        assert dropped[str(status),] > 0
        assert {(): 0} == own(agent, "otelauto_export_retries_total")
        (told,) = [line for line in warnings(agent) if "not exported" in line["event"]]
        assert receiver.url in told["endpoint"]
        supervisor.stop(agent.running)


def test_a_delta_that_was_not_taken_is_owed(web, supervisor, tmp_path, ports, loadgen):
    """Temporality delta: what a failed export held is in a later one, once."""
    script = [Answer(), Answer(status=503), Answer(status=503), Answer()]
    with OtlpHttpReceiver(*script) as receiver:
        agent = start_agent(
            supervisor,
            tmp_path,
            config(receiver.url, web.port, "  temporality: delta\n"),
            metrics_port=ports(),
        )
        load = start_exact(loadgen, Load(port=web.port, seconds=3, rate_per_second=1000))
        total = json.loads(load.communicate(timeout=30)[0])["finished"]

        def received():
            name = "http.server.request.duration"
            return sum(point.count for point in receiver.all_points() if point.name == name)

        receiver.wait(lambda _: received() >= total, 15)
        time.sleep(0.5)
        assert total == received()
        assert [False, False] == [r.accepted for r in receiver.requests if not r.accepted][:2]
        supervisor.stop(agent.running)


def test_a_receiver_that_rejects_a_part_is_not_asked_again(
    web, supervisor, tmp_path, ports, loadgen
):
    """Partial success: counted, told once, no retry."""
    with OtlpHttpReceiver(Answer(rejected=(3, "too old"))) as receiver:
        agent = start_agent(
            supervisor, tmp_path, config(receiver.url, web.port), metrics_port=ports()
        )
        run_exact(loadgen, Load(port=web.port, requests=100))
        receiver.wait_for_requests(3)
        dropped = own(agent, "otelauto_export_points_dropped_total", "error_type")
        assert 0 == dropped["rejected",] % 3
        assert {(): 0} == own(agent, "otelauto_export_retries_total")
        assert until(
            lambda: 1 == sum("only in part" in line["event"] for line in warnings(agent)),
            timeout_seconds=3,
        )
        supervisor.stop(agent.running)


@pytest.mark.parametrize("fault", ["no such host", "half-open", "no TLS"])
def test_a_collector_that_cannot_be_spoken_to_costs_no_count_and_no_request(
    fault, web, supervisor, tmp_path, ports, loadgen
):
    """Each failure is counted, told once, and over as soon as a reload names a good one."""
    with socket.create_server(("127.0.0.1", 0)) as mute, OtlpHttpReceiver() as good:
        endpoint = {
            "no such host": "http://collector.invalid:4318",
            # The kernel takes the connection; nobody ever accepts, reads or answers.
            "half-open": f"http://127.0.0.1:{mute.getsockname()[1]}",
            "no TLS": good.url.replace("http://", "https://"),
        }[fault]
        page = ports()
        agent = start_agent(supervisor, tmp_path, config(endpoint, web.port), metrics_port=page)
        report = run_exact(loadgen, Load(port=web.port, requests=2_000))
        assert 0 == report["failed"]
        name = "otelauto_export_errors_total"
        assert until(lambda: sum(own(agent, name, "error_type").values()) > 0, timeout_seconds=30)
        assert {(): 2_000} == agent.requests()
        assert {} == good.counts()
        told = [line for line in warnings(agent) if "not exported" in line["event"]]
        assert 1 <= len(told) <= 3
        text = f"prometheus_export:\n  port: {page}\n" + config(good.url, web.port)
        assert agent.reload(text)
        good.wait(lambda _: good.counts() == {(): 2_000}, 20)
        supervisor.stop(agent.running)
