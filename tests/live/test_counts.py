"""The agent's counts are those of the load generator and of the server, at any load, exactly.

Two agents watch all servers at once, one for each way of hooking, and must agree.
"""

from __future__ import annotations

import functools
import itertools
import time
from dataclasses import dataclass

import pytest
from tests.live.gate import program_reason
from tests.live.scene import Since, losses
from tests.load.generator import Load, Target, run_exact, run_wrk
from tests.servers import apache, nginx, runtimes
from tests.servers.agent import start_agent, until
from tests.servers.process import Supervisor, free_port

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

HOOKS = ("sock", "syscall")
LABELS = ("http_request_method", "http_route", "http_response_status_code")
PATTERNS = '["/ok", "/users/:id", "/missing", "/error", "/upload", "/status/:code"]'
COMMON = (
    Target("/ok"), Target("/users/{n}"), Target("/missing", 404), Target("/error", 500),
    Target("/users/{n}", method="DELETE"),
)  # fmt: skip
APPLICATION = (
    Target("/ok"), Target("/users/{n}"), Target("/missing", 404), Target("/error", 500),
    Target("/upload", 201, "POST"), Target("/ok", method="HEAD"),
)  # fmt: skip
GETS = APPLICATION[:4]
STATUSES = (
    Target("/ok"), Target("/users/{n}"), Target("/status/404", 404), Target("/status/503", 503),
    Target("/upload", method="PUT"), Target("/ok", method="HEAD"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """A server, what it is asked, and how much of it takes about a second here.

    Attributes:
        programs: what has to be installed.
    """

    requests: int
    targets: tuple[Target, ...] = APPLICATION
    programs: tuple[str, ...] = ()


KINDS = {
    "nginx": Kind(60_000, COMMON, ("nginx",)),
    "apache": Kind(24_000, COMMON, ("apache2",)),
    "origin": Kind(6_000, STATUSES),
    # gunicorn sends a body after HEAD, too.
    "sync": Kind(3_000, APPLICATION[:-1], ("gunicorn",)),
    "gthread": Kind(3_000, GETS, ("gunicorn",)),
    "node": Kind(12_000, programs=("node",)),
    "java": Kind(12_000, APPLICATION[:-1], ("java",)),
    "threaded": Kind(3_000),
}


def start_server(kind, supervisor, directory, port):
    if kind == "apache":
        apache.start(supervisor, directory, port=port)
    elif kind == "nginx":
        nginx.start(supervisor, directory, nginx.Site(port=port, workers=2))
    elif kind == "origin":
        runtimes.start_origin(supervisor, directory, port=port, workers=2)
    elif kind in {"sync", "gthread"}:
        runtimes.start_gunicorn(supervisor, port=port, worker_class=kind, workers=3)
    else:
        getattr(runtimes, f"start_{kind}")(supervisor, port=port)


@dataclass(frozen=True, slots=True)
class Host:
    """Servers by kind and the agents by hook."""

    ports: dict
    agents: dict
    directory: object

    def since_now(self):
        return {hook: Since.now(agent) for hook, agent in self.agents.items()}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """All servers that are installed here, and an agent for each way of hooking on all of them."""
    directory = tmp_path_factory.mktemp("host")
    logs = directory / "logs"
    logs.mkdir()
    supervisor = Supervisor(logs)
    ports, agents = {}, {}
    try:
        for kind, what in KINDS.items():
            if not program_reason(*what.programs):
                ports[kind] = free_port()
                start_server(kind, supervisor, directory, ports[kind])
        selected = ",".join(map(str, ports.values()))
        for hook in HOOKS:
            config = (
                f'discovery:\n  instrument:\n    - open_ports: "{selected}"\n'
                f"routes:\n  patterns: {PATTERNS}\nebpf:\n  hook: {hook}\n"
            )
            agents[hook] = start_agent(supervisor, directory, config, metrics_port=free_port())
        yield Host(ports, agents, directory)
    finally:
        supervisor.stop_all()


def of_port(since, name, *labels, port):
    """The samples of one name and server, by these labels."""
    found = {}
    for sample in since.samples():
        if sample.name == name and sample.labels.get("server_port") == str(port):
            key = tuple(sample.labels.get(label, "") for label in labels)
            found[key] = found.get(key, 0) + int(sample.value)
    return found


DURATIONS = "http_server_request_duration_seconds_count"
REQUEST_BYTES = "http_server_request_body_size_bytes_sum"
RESPONSE_BYTES = "http_server_response_body_size_bytes_sum"


def by_series(report, value):
    """What the generator has of something, by the labels that the agent gives."""
    found = {}
    for target in report["targets"]:
        path = target["path"].replace("/users/{n}", "/users/:id")
        route = "/status/:code" if path.startswith("/status/") else path
        key = (target["method"], route, str(target["status"]))
        found[key] = found.get(key, 0) + value(target)
    return {key: number for key, number in found.items() if number}


def assert_counted(since, report, port, *, body_bytes=0):
    """Counts, statuses, methods and routes; the sums of all bodies."""
    expected = by_series(report, lambda target: target["responses"])
    number = sum(expected.values())
    until(lambda: sum(of_port(since, DURATIONS, port=port).values()) >= number, timeout_seconds=3)
    time.sleep(0.05)
    assert expected == of_port(since, DURATIONS, *LABELS, port=port)
    answered = by_series(report, lambda target: target["body_bytes"])
    assert answered == of_port(since, RESPONSE_BYTES, *LABELS, port=port)
    sent = by_series(
        report, lambda target: target["responses"] * body_bytes * (target["method"][0] == "P")
    )
    assert sent == of_port(since, REQUEST_BYTES, *LABELS, port=port)
    assert {} == losses(since)


@pytest.mark.parametrize("connections", [16, 256])
@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_the_load_generators(kind, connections, need, host, loadgen):
    need(*KINDS[kind].programs)
    port, since = host.ports[kind], host.since_now()
    load = Load(
        port=port, targets=KINDS[kind].targets, connections=connections,
        requests=KINDS[kind].requests, body_bytes=300,
    )  # fmt: skip
    report = run_exact(loadgen, load)
    for hook in HOOKS:
        assert_counted(since[hook], report, port, body_bytes=300)


@pytest.mark.parametrize(
    "shape",
    [
        {"one_shot": True},
        {"pipeline": 4},
        {"pipeline": 32},
        {"address": "::1"},
        {"connections": 1},
    ],
    ids=lambda shape: "-".join(map(str, itertools.chain(*shape.items()))),
)
def test_the_shape_of_the_load_changes_nothing(shape, need, host, loadgen):
    """A connection for each request, pipelines, IPv6, one connection for all."""
    need("nginx")
    port, since = host.ports["nginx"], host.since_now()
    # nginx closes after an error, and so drops what is sent ahead.
    report = run_exact(loadgen, Load(port=port, targets=COMMON[:3], requests=6_000, **shape))
    for hook in HOOKS:
        assert_counted(since[hook], report, port)


@pytest.mark.parametrize(("connections", "pipeline"), [(16, 1), (256, 1), (16, 4)])
def test_counts_equal_the_servers_log_under_wrk(connections, pipeline, need, host):
    """wrk hangs up on responses in flight, so nginx's log is the exact witness."""
    need("nginx", "wrk")
    port, since = host.ports["nginx"], host.since_now()

    def logged():
        return sum(nginx.access_counts(host.directory).values())

    before = logged()
    url = f"http://127.0.0.1:{port}/ok"
    result = run_wrk(url, connections=connections, seconds=2, pipeline=pipeline)
    time.sleep(0.3)  # the log's last lines
    served = logged() - before
    assert 0 <= served - result.requests <= connections * pipeline
    for hook in HOOKS:
        count = functools.partial(of_port, since[hook], DURATIONS, port=port)
        until(lambda ask=count: sum(ask().values()) >= served, timeout_seconds=3)
        found = count("http_response_status_code")
        # nginx logs the status of a response whose client has hung up; of those only, a reset
        # may have ended the exchange before the response was seen.
        hung_up = found.pop(("",), 0)
        assert 0 <= hung_up <= served - result.requests
        assert {("200",): served - hung_up} == found
