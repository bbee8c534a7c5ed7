"""Spans of real servers: all of them, with the right parents and times, and no others."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.receivers import OtlpGrpcReceiver, OtlpHttpReceiver
from tests.receivers._decoded import is_traces, spans
from tests.servers import nginx, runtimes
from tests.servers.agent import counts, start_agent, until
from tests.servers.raw import exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.receivers._decoded import ReceivedSpan
    from tests.servers.agent import Agent

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

APP = Path(runtimes.HERE) / "chain_app.py"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONNECTIONS, EACH = 8, 25


@dataclass(frozen=True, slots=True)
class Traced:
    """What the spans of a case tell, by service."""

    receiver: OtlpHttpReceiver | OtlpGrpcReceiver
    agent: Agent

    def all(self) -> list[ReceivedSpan]:
        found = []
        for request in self.receiver.requests:
            if request.accepted and is_traces(request.path):
                found += spans(request.message)
        return found

    def await_(self, number: int) -> list[ReceivedSpan]:
        """So many spans, and then no more."""
        assert until(lambda: len(self.all()) >= number, timeout_seconds=20), len(self.all())
        self.receiver.closed.wait(0.7)
        assert number == len(self.all())
        return self.all()

    def outcomes(self) -> dict[str, int]:
        """What the kernel did with exchanges of traced services."""
        name = "otelauto_spans_total"
        found = counts(self.agent.samples(), name, ("otelauto_outcome",))
        return {outcome: number for (outcome,), number in found.items() if number}


def config(endpoint, services: Sequence[tuple[str, int]], more: str = "") -> str:
    lines = "".join(f'    - open_ports: "{port}"\n      name: {name}\n' for name, port in services)
    return (
        f"otel_traces_export:\n  endpoint: {endpoint}\n  batch_timeout: 100ms\n"
        f"  max_spans_per_second: 0\n{more}discovery:\n  instrument:\n{lines}"
    )


@pytest.fixture
def receiver():
    with OtlpHttpReceiver() as running:
        yield running


@pytest.fixture
def traced(need, supervisor, tmp_path, ports, receiver):
    """Starts the agent; further arguments are those of config()."""
    need()

    def start(services, more="", into=receiver):
        endpoint = into.url if isinstance(into, OtlpHttpReceiver) else into.endpoint
        text = config(endpoint, services, more)
        return Traced(into, start_agent(supervisor, tmp_path, text, metrics_port=ports()))

    return start


def service(span):
    return span.resource["service.name"]


def load(port, *, connections=CONNECTIONS, each=EACH, headers=None):
    """Requests for a path each of its own, on connections that are kept; all succeed."""
    failures: list[BaseException] = []

    def one(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            for request in range(each):
                connection.request("GET", f"/n/{number}-{request}", headers=headers or {})
                response = connection.getresponse()
                response.read()
                assert response.status == 200
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == failures


def tree(found):
    """How many spans have which parent, by service and kind; its path must be its child's."""
    by_id = {span.span_id: span for span in found}
    seen: Counter[tuple[str, str, str]] = Counter()
    for span in found:
        parent = by_id.get(span.parent_id)
        name = span.parent_id and "unknown"
        if parent is not None:
            name = f"{service(parent)} {parent.kind}"
            assert span.trace_id == parent.trace_id
            assert span.attributes["url.path"] == parent.attributes["url.path"]
        seen[service(span), span.kind, name] += 1
    return dict(seen)


def start_middle(how, supervisor, *, port, following, log):
    if how in {"sync", "gthread"}:
        argv = ["/usr/bin/gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", how]
        argv += ["--workers", "3", "--threads", "4" if how == "gthread" else "1"]
        argv += ["--chdir", str(APP.parent), "chain_app:application"]
        env = {**runtimes.CLEAN, "PYTHONDONTWRITEBYTECODE": "1"}
        env |= {"NEXT": str(following), "LOG": str(log)}
        supervisor.start(how, argv, env=env, ports=(port,))
    else:
        argv = [sys.executable, str(APP), how, str(port), str(following), str(log)]
        supervisor.start(how, argv, ports=(port,))


@pytest.mark.parametrize("how", ["threads", "sync", "gthread"])
def test_a_proxy_a_waiting_service_and_a_backend_are_one_trace(
    how, need, supervisor, tmp_path, ports, traced
):
    need("nginx", *(["gunicorn"] if how != "threads" else []))
    edge, middle, back = ports(), ports(), ports()
    log = tmp_path / "middle.log"
    runtimes.start_origin(supervisor, tmp_path, port=back)
    start_middle(how, supervisor, port=middle, following=back, log=log)
    site = nginx.Site(
        port=edge, workers=2, upstream=f"127.0.0.1:{middle}", upstream_path="/",
        upstream_version="1.1",
    )  # fmt: skip
    nginx.start(supervisor, tmp_path, site)
    case = traced([("edge", edge), ("middle", middle), ("back", back)])
    load(edge)
    number = CONNECTIONS * EACH
    found = case.await_(5 * number)
    assert {
        ("edge", "server", ""): number,
        ("edge", "client", "edge server"): number,
        ("middle", "server", "edge client"): number,
        ("middle", "client", "middle server"): number,
        ("back", "server", "middle client"): number,
    } == tree(found)
    assert number == len({span.trace_id for span in found})
    assert {"sent": 5 * number} == case.outcomes()
    assert_within_the_witness(found, log)


def assert_within_the_witness(found, log):
    """A client span of the middle service lies within what that itself has measured."""
    records = {one["path"]: one for one in map(json.loads, log.read_text().splitlines())}
    clients = [span for span in found if (service(span), span.kind) == ("middle", "client")]
    for span in clients:
        record = records[span.attributes["url.path"]]
        mine = span.end_unix_nano - span.start_unix_nano
        assert 0 < mine <= record["last_ns"] - record["first_ns"]
    assert len(records) == len(clients)


def test_an_event_loop_has_no_certain_cause_and_its_clients_spans_are_roots(
    supervisor, tmp_path, ports, traced
):
    middle, back = ports(), ports()
    runtimes.start_origin(supervisor, tmp_path, port=back)
    start_middle("asyncio", supervisor, port=middle, following=back, log=tmp_path / "middle.log")
    case = traced([("middle", middle), ("back", back)])
    load(middle)
    number = CONNECTIONS * EACH
    assert {
        ("middle", "server", ""): number,
        ("middle", "client", ""): number,
        ("back", "server", "middle client"): number,
    } == tree(case.await_(3 * number))


def ask(port, *lines, target="/n/1"):
    """One exchange on a connection of its own, with these header lines."""
    head = "\r\n".join(
        [f"GET {target} HTTP/1.1", "Host: shop.example:8443", "Connection: close", *lines, "", ""]
    )
    exchange(port, [(0, head.encode())])


@pytest.fixture
def origin(supervisor, tmp_path, port):
    runtimes.start_origin(supervisor, tmp_path, port=port)
    return port


GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("lines", "continued"),
    [
        ([f"traceparent: {GOOD}"], True),
        ([f"TraceParent:\t{GOOD} "], True),
        ([f"X-Filler: {'x' * 400}"] * 15 + [f"TRACEPARENT: {GOOD}"], True),
        ([f"X-Long: {'x' * 3000}", f"traceparent: {GOOD}"], True),
        ([f"traceparent: {GOOD.upper()}"], False),
        ([f"traceparent: {GOOD[:-1]}"], False),
        ([f"traceparent: {GOOD}"] * 2, False),
        ([f"X-traceparent: {GOOD}"], False),
    ],
)
def test_a_valid_traceparent_is_continued_wherever_it_stands(origin, traced, lines, continued):
    case = traced([("shop", origin)])
    ask(origin, *lines)
    (span,) = case.await_(1)
    assert ((TRACE, PARENT) if continued else ("", "")) == (
        span.trace_id if continued else "", span.parent_id
    )  # fmt: skip


def test_a_head_in_many_pieces_keeps_its_trace(origin, traced):
    case = traced([("shop", origin)])
    head = f"GET /n/1?q=1 HTTP/1.1\r\nHost: a\r\ntraceparent: {GOOD}\r\nUser-Agent: me\r\n\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", origin, timeout=10)
    connection.connect()
    for piece in (head[at : at + 7] for at in range(0, len(head), 7)):
        connection.sock.sendall(piece.encode())
        threading.Event().wait(0.002)
    response = http.client.HTTPResponse(connection.sock)
    response.begin()
    response.read()
    connection.close()
    (span,) = case.await_(1)
    assert (TRACE, PARENT, "me", "/n/1") == (
        span.trace_id, span.parent_id, span.attributes["user_agent.original"],
        span.attributes["url.path"],
    )  # fmt: skip


def test_what_a_span_says(origin, traced):
    case = traced([("shop", origin)], 'routes:\n  patterns: ["/status/{code}"]\n')
    ask(origin, "User-Agent: me/1", target="/status/503?token=secret")
    (span,) = case.await_(1)
    said = span.attributes
    assert ("GET /status/{code}", "server", "error") == (span.name, span.kind, span.status)
    assert {
        "http.request.method": "GET", "http.response.status_code": 503,
        "http.route": "/status/{code}", "url.path": "/status/503", "url.scheme": "http",
        "server.address": "shop.example", "server.port": 8443, "user_agent.original": "me/1",
        "client.address": "127.0.0.1", "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1", "error.type": "503",
    }.items() <= said.items()  # fmt: skip
    assert "secret" not in str(span)


def sampler(name, arg=""):
    value = f'    arg: "{arg}"\n' if arg else ""
    return f"  sampler:\n    name: {name}\n{value}"


@pytest.mark.parametrize(
    ("given", "flag", "kept"),
    [
        (sampler("always_on"), "00", True),
        (sampler("always_off"), "01", False),
        (sampler("parentbased_always_on"), "00", False),
        (sampler("parentbased_always_off"), "01", True),
        (sampler("traceidratio", "0"), "01", False),
        (sampler("traceidratio", "1"), "00", True),
    ],
)
def test_the_sampler_decides_in_the_kernel(origin, traced, given, flag, kept):
    case = traced([("shop", origin)], given)
    load(origin, connections=2, each=20, headers={"traceparent": f"00-{TRACE}-{PARENT}-{flag}"})
    case.await_(40 if kept else 0)
    assert until(lambda: case.outcomes() == {"sent" if kept else "sampled_out": 40})


def test_a_ratio_keeps_its_share_and_metrics_tell_all(origin, traced):
    case = traced([("shop", origin)], sampler("traceidratio", "0.25"))
    load(origin, connections=8, each=250)
    assert until(lambda: sum(case.outcomes().values()) == 2000)
    sent = case.outcomes()["sent"]
    assert 350 < sent < 650  # 500, less or more than seven standard deviations
    case.await_(sent)
    name = "http_server_request_duration_seconds_count"
    assert 2000 == sum(counts(case.agent.samples(), name, ("service_name",)).values())


def test_the_bound_holds_and_what_is_beyond_it_is_counted(origin, traced):
    case = traced([("shop", origin)])
    text = case.agent.config.read_text()
    assert case.agent.reload(text.replace("max_spans_per_second: 0", "max_spans_per_second: 50"))
    load(origin, connections=4, each=250)
    assert until(lambda: sum(case.outcomes().values()) == 1000)
    outcomes = case.outcomes()
    assert {"sent", "limited"} == set(outcomes)
    case.await_(outcomes["sent"])


def test_spans_go_over_grpc_as_well(origin, traced):
    with OtlpGrpcReceiver() as receiver:
        case = traced([("shop", origin)], "  protocol: grpc\n", into=receiver)
        load(origin, connections=2, each=20)
        assert {("shop", "server", ""): 40} == tree(case.await_(40))
