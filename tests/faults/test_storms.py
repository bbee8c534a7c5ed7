"""Storms of processes: all requests are answered, counts are exact, memory stays flat."""

from __future__ import annotations

import json
import os
import sys

import pytest
from tests.bench.measure import pss_bytes
from tests.load.generator import Load, start_exact
from tests.servers import nginx
from tests.servers.agent import until

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(180)]

MEGABYTE = 1_000_000
SECONDS = 4

FORKS = """
import os, sys, time
end, number = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    number += 1
print(number, flush=True)
time.sleep(60)
"""


def targets(agent):
    return sum(s.value for s in agent.samples() if s.name == "otelauto_targets")


def test_a_target_that_forks_without_pause_costs_nobody_a_count(
    need, supervisor, tmp_path, ports, agent_on, loadgen
):
    """Each child is a target for its short life; a server beside it loses nothing."""
    need("nginx")
    web = nginx.start(supervisor, tmp_path, nginx.Site(port=ports(), workers=1))
    mark = f"forking-{os.getpid()}"
    more = f"    - cmd_args: '*{mark}*'\n      name: forking\n"
    agent = agent_on(web.port, more=more)
    before, memory = targets(agent), pss_bytes([agent.pid])
    load = start_exact(loadgen, Load(port=web.port, seconds=SECONDS, rate_per_second=1000))
    storm = supervisor.start("storm", [sys.executable, "-c", FORKS, str(SECONDS), mark])
    report = json.loads(load.communicate(timeout=60)[0])
    assert 0 == report["failed"]
    assert until(lambda: storm.log_text().strip().isdigit(), timeout_seconds=30)
    assert int(storm.log_text()) >= 100 * SECONDS
    sent = {("nginx",): report["finished"]}
    assert until(lambda: agent.requests("job") == sent), agent.requests("job")
    assert until(lambda: targets(agent) <= before + 1), "the children are forgotten"
    assert pss_bytes([agent.pid]) - memory < 10 * MEGABYTE
    supervisor.stop(agent.running)
