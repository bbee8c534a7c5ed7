"""What is measured, one function per scenario. Each alternates runs without and with the agent.

A machine's speed drifts, so a run with the agent is compared only with the runs without it just
before and just after, and of all such pairs the median counts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.measure import cpu_seconds, descendants, median, pss_bytes
from tests.bench.span_cost import span_cost_microseconds
from tests.load.generator import Load, Target, run_exact
from tests.servers import nginx
from tests.servers.agent import Agent, start_agent
from tests.servers.process import Running, Supervisor, free_port, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
SERVER_CPU, LOAD_CPU = 0, 1
MEGABYTE = 1_000_000


@dataclass(slots=True)
class Bench:
    """The place of a run of the benchmark.

    Attributes:
        command: the agent's command line with {config}; empty: no agent, a check of the harness.
        seconds: length of one run under load.
        rounds: runs with the agent; there is one more without.
        sent: requests that the load generator finished while the agent was ready.
        counted: requests that the agent reported for those.
    """

    supervisor: Supervisor
    directory: Path
    loadgen: Path
    command: tuple[str, ...]
    seconds: float
    rounds: int
    values: dict[str, float] = field(default_factory=dict)
    raw: dict[str, list[float]] = field(default_factory=dict)
    sent: int = 0
    counted: int = 0

    def note(self, name: str, value: float) -> None:
        self.raw.setdefault(name, []).append(value)

    @contextmanager
    def agent(self, *ports: int, more: str = "") -> Iterator[Agent | None]:
        """The agent, ready, on the processes that listen on these ports."""
        if not self.command:
            yield None
            return
        selected = ",".join(str(port) for port in ports)
        config = f'discovery:\n  instrument:\n    - open_ports: "{selected}"\n{more}'
        agent = start_agent(
            self.supervisor, self.directory, config, metrics_port=free_port(), command=self.command
        )
        self.note("ready_seconds", agent.ready_seconds)
        try:
            yield agent
        finally:
            self.supervisor.stop(agent.running)

    def load(self, port: int, agent: Agent | None, **shape: Any) -> dict[str, Any]:
        """Run a load to its end and, with an agent, compare the counts.

        The report gains agent_cpu_seconds, which holds the load only: not the two scrapes.
        """
        before = counted(agent)
        pids = descendants(agent.running.pid) if agent else ()
        spent = cpu_seconds(pids)
        report = run_exact(self.loadgen, Load(port=port, cpu=LOAD_CPU, **shape))
        report["agent_cpu_seconds"] = cpu_seconds(pids) - spent
        if agent:
            time.sleep(0.1)  # the server's last write has returned, its probe may still run
            self.sent += int(str(report["finished"]))
            self.counted += counted(agent) - before
        return report


def counted(agent: Agent | None) -> int:
    return sum(agent.requests().values()) if agent else 0


def alternate(rounds: int, without: Callable[[], float], with_agent: Callable[[], float]) -> float:
    """The median ratio with / without, each against the mean of its two neighbours."""
    ratios = []
    left = without()
    for _ in range(rounds):
        middle = with_agent()
        right = without()
        ratios.append(middle / ((left + right) / 2))
        left = right
    return median(ratios)


def saturated(bench: Bench) -> None:
    """nginx, one worker on one core, the load generator on the other, nothing but `return 200`."""
    port = free_port()
    site = nginx.Site(port=port, workers=1, cpu=SERVER_CPU, access_log=False)
    server = nginx.start(bench.supervisor, bench.directory, site, name="nginx-saturated")
    workers = server.children()

    def run(agent: Agent | None) -> float:
        before = cpu_seconds(workers)
        report = bench.load(port, agent, connections=16, seconds=bench.seconds)
        per_request = (cpu_seconds(workers) - before) / report["finished"] * 1e6
        kind = "with" if agent else "without"
        bench.note(f"nginx_rate_{kind}", report["rate"])
        bench.note(f"nginx_us_{kind}", per_request)
        if agent:
            bench.note("agent_cpu_full", 100 * report["agent_cpu_seconds"] / report["seconds"])
            bench.note("pss_full", pss_bytes(descendants(agent.running.pid)) / MEGABYTE)
        return float(report["rate"])

    def with_agent() -> float:
        with bench.agent(port) as agent:
            return run(agent)

    run(None)  # warm: caches, connections' memory, the clock of the CPU
    bench.raw.clear()
    bench.values["nginx_ratio"] = alternate(bench.rounds, lambda: run(None), with_agent)
    if bench.command:
        added = median(bench.raw["nginx_us_with"]) - median(bench.raw["nginx_us_without"])
        bench.values["nginx_added_us"] = added
    bench.supervisor.stop(server)


def application(bench: Bench) -> None:
    """An application of one millisecond per request, on one core."""
    port = free_port()
    argv = ["taskset", "-c", str(SERVER_CPU), sys.executable, str(HERE / "one_ms_app.py")]
    server = bench.supervisor.start("one-ms-app", [*argv, str(port)], ports=(port,))

    def run(agent: Agent | None) -> float:
        report = bench.load(port, agent, connections=2, seconds=bench.seconds)
        return float(report["rate"])

    def with_agent() -> float:
        with bench.agent(port) as agent:
            return run(agent)

    run(None)
    bench.values["app_ratio"] = alternate(bench.rounds, lambda: run(None), with_agent)
    bench.supervisor.stop(server)


def bystander(bench: Bench) -> None:
    """Another process's read(2) of a file, while the agent watches a server."""
    program = bench.directory / "syscalls"
    source = str(HERE / "syscalls.c")
    subprocess.run(["gcc", "-O2", "-o", str(program), source], check=True)
    port = free_port()
    site = nginx.Site(port=port, access_log=False)
    server = nginx.start(bench.supervisor, bench.directory, site, name="nginx-bystander")

    def run() -> float:
        argv = ["taskset", "-c", str(LOAD_CPU), str(program), "3000000"]
        return min(float(subprocess.check_output(argv)) for _ in range(3))

    def with_agent() -> float:
        with bench.agent(port):
            return run()

    bench.values["read_ratio"] = alternate(bench.rounds, run, with_agent)
    bench.supervisor.stop(server)


def quiet(bench: Bench) -> None:
    """The agent's own cost at 100 requests a second, and its memory after start."""
    if not bench.command:
        return
    port = free_port()
    site = nginx.Site(port=port, access_log=False)
    server = nginx.start(bench.supervisor, bench.directory, site, name="nginx-quiet")
    with bench.agent(port) as agent:
        assert agent is not None
        time.sleep(2)
        pids = descendants(agent.running.pid)
        bench.values["pss_prometheus"] = pss_bytes(pids) / MEGABYTE
        before = cpu_seconds(pids)
        shape = {"rate_per_second": 100, "seconds": max(5, 2 * bench.seconds), "connections": 4}
        # Counts are read before and after, and that is not part of the cost at 100 req/s.
        report = run_exact(bench.loadgen, Load(port=port, cpu=LOAD_CPU, **shape))
        spent = cpu_seconds(pids) - before
        bench.values["agent_cpu_100"] = 100 * spent / float(str(report["seconds"]))
        time.sleep(0.1)
        bench.sent += int(str(report["finished"]))
        bench.counted += counted(agent)
    # Nobody listens there: the exporter runs and retries, which costs more memory, not less.
    otlp = f"otel_metrics_export:\n  endpoint: http://127.0.0.1:{free_port()}\n  interval: 1s\n"
    with bench.agent(port, more=otlp) as agent:
        assert agent is not None
        run_exact(bench.loadgen, Load(port=port, requests=1000))
        time.sleep(4)
        pids = descendants(agent.running.pid)
        bench.values["pss_otlp"] = pss_bytes(pids) / MEGABYTE
    bench.supervisor.stop(server)


def newcomer(bench: Bench, *, interval_seconds: float = 0.005) -> None:
    """A server that starts under the agent's eyes: how long until its requests are counted.

    Requests start when it listens, one per interval, each on a new connection. Those that the
    agent has not counted are the first ones, so their number tells when it began.
    """
    if not bench.command:
        return
    ports = [free_port() for _ in range(bench.rounds)]
    with bench.agent(*ports) as agent:
        assert agent is not None
        for port in ports:
            bench.note("newcomer_seconds", _missed_seconds(bench, agent, port, interval_seconds))
    bench.values["newcomer_seconds"] = max(bench.raw["newcomer_seconds"])


def _missed_seconds(bench: Bench, agent: Agent, port: int, interval_seconds: float) -> float:
    before = counted(agent)
    server: Running = bench.supervisor.start(
        "newcomer", [sys.executable, str(HERE / "one_ms_app.py"), str(port)]
    )
    while not listening(port):
        time.sleep(0.001)
    shape = {"requests": 200, "rate_per_second": 1 / interval_seconds, "one_shot": True}
    targets = (Target("/new"),)
    run_exact(bench.loadgen, Load(port=port, connections=8, targets=targets, **shape))
    time.sleep(0.2)
    missed = 200 - (counted(agent) - before)
    bench.supervisor.stop(server)
    return missed * interval_seconds


def spans(bench: Bench) -> None:
    """What a span costs in user space; 10,000 a second fill one core at the bar."""
    for _ in range(bench.rounds):
        bench.note("span_us", span_cost_microseconds())
    bench.values["span_us"] = median(bench.raw["span_us"])


SCENARIOS = (saturated, application, bystander, quiet, newcomer, spans)
