"""make bench-compare: one web application bare, with otelauto, and with the OpenTelemetry SDK.

    python -m tests.bench.compare [--seconds N] [--rounds N] [--chart FILE]

The same Flask application under gunicorn with one synchronous worker. The ways take turns within
each round, so that a machine that drifts drifts for all. What they export goes to a sink
on this host, whose cost counts for nobody. Needs root, two CPUs and nothing else running on them.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.comparison import BASE, Run, chart, rows, table
from tests.bench.measure import cpu_seconds, descendants, pss_bytes
from tests.live.gate import live_reason, program_reason
from tests.load.generator import Load, Target, build_loadgen, run_exact
from tests.servers.agent import Agent, start_agent, until
from tests.servers.process import Running, StartError, Supervisor, free_port

HERE = Path(__file__).parent
VENV = HERE.parents[1] / ".cache" / "bench-sdk"
PACKAGES = (
    "flask",
    "gunicorn",
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-flask",
)
SDK = "opentelemetry-instrument"
#: What each way has to send to the sink, or it is not the way it is called.
WAYS = {
    BASE: (),
    "otelauto, metrics": ("/v1/metrics",),
    "SDK, metrics": ("/v1/metrics",),
    "SDK, metrics and spans": ("/v1/metrics", "/v1/traces"),
}
SERVER_CPU, LOAD_CPU = "0", 1


def prepare() -> None:
    """An environment of its own for the application, so that its SDK is nobody else's."""
    if not (VENV / "bin" / SDK).exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", *PACKAGES], check=True)


def application(way: str, supervisor: Supervisor, port: int, collector: str) -> Running:
    """Start gunicorn, under the SDK's command if that is the way."""
    argv = ["taskset", "-c", SERVER_CPU]
    argv += [str(VENV / "bin" / SDK)] if way.startswith("SDK") else []
    argv += [str(VENV / "bin" / "gunicorn"), "-w", "1", "-b", f"127.0.0.1:{port}"]
    argv += ["--chdir", str(HERE), "compare_app:app"]
    variables: dict[str, str | None] = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "compared",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_TRACES_EXPORTER": "otlp" if "/v1/traces" in WAYS[way] else "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    return supervisor.start("gunicorn", argv, env=variables, ports=(port,))


def run(way: str, supervisor: Supervisor, directory: Path, seconds: float) -> Run:
    """Start all, warm it up, load it, measure, stop all."""
    loadgen, port, sink_port = build_loadgen(directory), free_port(), free_port()
    collector = f"http://127.0.0.1:{sink_port}"
    sink_argv = [sys.executable, str(HERE / "sink.py"), str(sink_port)]
    sink = supervisor.start("sink", sink_argv, ports=(sink_port,))
    server = application(way, supervisor, port, collector)
    started = [server, sink]
    observers: tuple[int, ...] = ()
    if way.startswith("otelauto"):
        config = f'discovery:\n  instrument:\n    - open_ports: "{port}"\n'
        config += f"otel_metrics_export:\n  endpoint: {collector}\n  interval: 1s\n"
        agent = start_agent(supervisor, directory, config, metrics_port=free_port())
        started.insert(0, agent.running)
        observers = descendants(agent.pid)
    shape: dict[str, Any] = {
        "port": port,
        "targets": (Target("/items/{n}"),),
        "connections": 2,
        "one_shot": True,
        "cpu": LOAD_CPU,
    }
    run_exact(loadgen, Load(requests=500, **shape))
    pids = (*descendants(server.pid), *observers)  # gunicorn listens before it has its worker
    before = cpu_seconds(pids)
    report: dict[str, Any] = run_exact(loadgen, Load(seconds=seconds, **shape))
    spent, memory, latency = cpu_seconds(pids) - before, pss_bytes(pids), report["latency_us"]
    if way.startswith("otelauto") and not until(lambda: _total(agent) == 500 + report["finished"]):
        raise StartError(f"otelauto counted {_total(agent)} of {500 + report['finished']}")
    sent = WAYS[way]
    if not until(lambda: set(sent) == set(sink.log_text().split()), timeout_seconds=10):
        raise StartError(f"{way} sent {sink.log_text().split()}, not {sent}")
    for each in started:
        supervisor.stop(each)
    return Run(
        way,
        report["finished"],
        report["seconds"],
        spent,
        memory,
        latency["p50"],
        latency["p99"],
    )


def _total(agent: Agent) -> int:
    return sum(agent.requests().values())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="length of each loaded run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each way")
    parser.add_argument("--chart", type=Path, help="write the chart there, as SVG")
    args = parser.parse_args(argv)
    if reason := program_reason("gcc", "taskset") or live_reason():
        sys.stderr.write(f"bench-compare: {reason}\n")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    prepare()
    with tempfile.TemporaryDirectory(prefix="otelauto-compare-") as name:
        supervisor = Supervisor(Path(name))
        try:
            runs = [
                run(way, supervisor, Path(name), args.seconds)
                for _ in range(args.rounds)
                for way in WAYS
            ]
        except StartError as error:
            sys.stderr.write(f"bench-compare: {error}\n")
            return 1
        finally:
            supervisor.stop_all()
    found = rows(runs)
    sys.stdout.write(table(found) + "\n")
    if args.chart:
        args.chart.write_text(chart(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
