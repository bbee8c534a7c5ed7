"""Load and churn for long: nothing grows, nothing is lost, no counter ever falls.

OTELAUTO_SOAK_SECONDS sets how long: 30 by default, hours where there is time.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.bench.measure import descendants, pss_bytes
from tests.live.leftovers import observe
from tests.load.generator import Load, Target, run_exact
from tests.servers import nginx, runtimes
from tests.servers.agent import until
from tests.soak.kernel_maps import entries

SECONDS = float(os.environ.get("OTELAUTO_SOAK_SECONDS", "30"))
pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(SECONDS * 3 + 180)]

ROUNDS, WARM_ROUNDS, MEGABYTE = 6, 2, 1_000_000
PATHS = (Target("/ok"), Target("/ok/{n}"), Target("/ok/{n}/parts"))
#: A share of common pages, which grows when others that use them end: a leak does not shrink.
SPARE_BYTES = 4 * MEGABYTE
#: What the kernel may still hold of connections that were closed a moment ago.
SPARE_ENTRIES = 16


@dataclass(frozen=True, slots=True)
class Held:
    """What the agent holds at one moment, without load."""

    pss: int
    descriptors: int
    threads: int
    entries: int


def held(agent, map_ids):
    pids = descendants(agent.pid)
    return Held(
        pss_bytes(pids),
        sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
        sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
        sum(entries(map_ids).values()),
    )


def counters(agent):
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for sample in agent.samples()
        if sample.name.endswith(("_total", "_count", "_sum", "_bucket"))
    }


def targets(agent):
    return sum(s.value for s in agent.samples() if s.name == "otelauto_targets")


@dataclass(slots=True)
class Soak:
    """Rounds of load on a server that stays and on servers that come and go."""

    supervisor: object
    agent: object
    loadgen: Path
    steady_port: int
    churn_port: int
    steady: int = 0
    churned: int = 0

    def round(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for one_shot in (True, False):
                shape = {"seconds": min(2, seconds / 4), "rate_per_second": 500}
                load = Load(
                    port=self.steady_port, targets=PATHS, connections=8, one_shot=one_shot, **shape
                )
                report = run_exact(self.loadgen, load)
                assert 0 == report["failed"]
                self.steady += report["finished"]
            self.newcomer()

    def newcomer(self):
        before = targets(self.agent)
        server = runtimes.start_threaded(self.supervisor, port=self.churn_port)
        assert until(lambda: targets(self.agent) > before), "the newcomer is a target"
        run_exact(self.loadgen, Load(port=self.churn_port, requests=50))
        self.churned += 50
        assert until(lambda: self.agent.requests("job").get(("threaded_app",)) == self.churned)
        self.supervisor.stop(server)
        assert until(lambda: targets(self.agent) == before), "and is forgotten"


def test_nothing_grows_and_every_count_is_exact(
    need, supervisor, tmp_path, ports, port, agent_on, loadgen
):
    """After a warm-up, memory, descriptors, threads and entries of kernel maps stay level."""
    need("nginx")
    web = nginx.start(supervisor, tmp_path, nginx.Site(port=ports(), workers=1))
    before = observe().bpf
    agent = agent_on(web.port, port)
    map_ids = [number for kind, number in observe().bpf - before if kind == "map"]
    assert entries(map_ids), "the agent's maps are among the new ones"
    soak = Soak(supervisor, agent, loadgen, web.port, port)
    seen, last = [], counters(agent)
    for _ in range(ROUNDS):
        soak.round(SECONDS / ROUNDS)
        sent = {("nginx",): soak.steady, ("threaded_app",): soak.churned}
        assert until(lambda sent=sent: agent.requests("job") == sent), (
            agent.requests("job"),
            sent,
        )
        now = counters(agent)
        assert [] == [key for key, value in last.items() if now.get(key, -1) < value]
        last = now
        time.sleep(0.5)
        seen.append(held(agent, map_ids))
    warm, rest = seen[WARM_ROUNDS - 1], seen[WARM_ROUNDS:]
    assert min(each.pss for each in rest[-2:]) - warm.pss < SPARE_BYTES, seen
    assert max(each.descriptors for each in rest) <= warm.descriptors + 2, seen
    assert max(each.threads for each in rest) <= warm.threads, seen
    assert rest[-1].entries <= warm.entries + SPARE_ENTRIES, seen
    supervisor.stop(agent.running)
    print(f"soak of {SECONDS:g} s, {soak.steady + soak.churned} requests: {seen}")  # noqa: T201
