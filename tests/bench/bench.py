"""make bench: the cost and the exactness of the agent on this machine, against the bars.

    python -m tests.bench.bench [--seconds N] [--rounds N] [--only SCENARIO] [--json FILE]
                                [--agent 'COMMAND -config {config}'] [--self-check]

Needs root, two CPUs and nothing else running on them. Prints a table, and everything measured as
JSON. Exits 1 if a bar is missed. --self-check runs the harness without any agent: its ratios show
how much this machine wavers by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.bars import all_reached, table
from tests.bench.measure import median
from tests.bench.scenarios import SCENARIOS, Bench
from tests.live.gate import live_reason, program_reason
from tests.load.generator import build_loadgen
from tests.servers.agent import COMMAND
from tests.servers.process import StartError, Supervisor


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [scenario.__name__ for scenario in SCENARIOS]
    parser.add_argument("--seconds", type=float, default=4, help="length of each loaded run")
    parser.add_argument("--rounds", type=int, default=5, help="runs with the agent")
    parser.add_argument("--only", choices=names, action="append", help="only this scenario")
    parser.add_argument("--json", type=Path, default=None, help="write all measurements there")
    parser.add_argument("--agent", default=shlex.join(COMMAND), help="command line of the agent")
    parser.add_argument("--self-check", action="store_true", help="run without an agent")
    return parser.parse_args(argv)


def measure(bench: Bench, only: list[str] | None) -> None:
    """Run the scenarios and settle the values that come from several of them."""
    for scenario in SCENARIOS:
        if only and scenario.__name__ not in only:
            continue
        begin = time.monotonic()
        scenario(bench)
        say(f"{scenario.__name__}: done in {time.monotonic() - begin:.0f} s")
    for name in ("agent_cpu_full", "pss_full", "ready_seconds"):
        if name in bench.raw:
            bench.values[name] = median(bench.raw[name])
    if bench.sent:
        bench.values["counted_ratio"] = bench.counted / bench.sent


def report(bench: Bench) -> dict[str, object]:
    """Everything measured, for machines."""
    host = {"kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count()}
    totals = {"sent": bench.sent, "counted": bench.counted}
    shape = {"seconds": bench.seconds, "rounds": bench.rounds, "agent": list(bench.command)}
    return {"host": host, "run": shape, "values": bench.values, "raw": bench.raw, **totals}


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    reason = program_reason("nginx", "gcc", "taskset") or (
        "" if args.self_check else live_reason()
    )
    if not reason and (os.cpu_count() or 1) < 2:
        reason = "needs two CPUs: one for the server, one for the load"
    if reason:
        sys.stderr.write(f"bench: {reason}\n")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = () if args.self_check else tuple(shlex.split(args.agent))
    with tempfile.TemporaryDirectory(prefix="otelauto-bench-") as name:
        directory = Path(name)
        supervisor = Supervisor(directory)
        loadgen = build_loadgen(directory)
        bench = Bench(supervisor, directory, loadgen, command, args.seconds, args.rounds)
        try:
            measure(bench, args.only)
        except StartError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
        finally:
            supervisor.stop_all()
    text = json.dumps(report(bench), indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        say(text)
    say("\n" + table(bench.values))
    return 0 if args.self_check or all_reached(bench.values) else 1


if __name__ == "__main__":
    sys.exit(main())
