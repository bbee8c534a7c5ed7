"""What comes and goes leaves nothing in the agent: processes, connections, aborted requests."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.bench.measure import descendants, pss_bytes
from tests.load.generator import Load, Target, run_exact
from tests.servers import nginx, runtimes
from tests.servers.agent import until

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(300)]

MEGABYTE = 1_000_000


def descriptors(pid):
    return len(list(Path("/proc", str(pid), "fd").iterdir()))


def test_servers_that_come_and_go_leave_no_descriptor_and_no_memory(
    supervisor, tmp_path, port, agent_on
):
    """A server with a large environment, one request, SIGKILL; again and again."""
    agent = agent_on(port)
    origin = [sys.executable, str(Path(runtimes.__file__).with_name("threaded_app.py")), str(port)]
    environment = {**os.environ, **{f"FILLER_{n}": "x" * 1000 for n in range(20)}}
    baseline = 0, 0
    for cycle in range(120):
        with subprocess.Popen(origin, env=environment) as process:
            for _ in range(500):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.01)
            process.kill()
        if cycle == 20:
            baseline = descriptors(agent.running.pid), pss_bytes([agent.running.pid])
    time.sleep(1)
    assert descriptors(agent.running.pid) <= baseline[0] + 10
    assert pss_bytes([agent.running.pid]) - baseline[1] < 10 * MEGABYTE
    assert "map full" not in agent.running.log_text()


def test_aborted_and_short_connections_do_not_use_up_the_tables(
    need, supervisor, tmp_path, port, loadgen, agent_on
):
    """More connections than the table has entries, some aborted within a request."""
    need("nginx")
    nginx.start(supervisor, tmp_path, nginx.Site(port=port))
    agent = agent_on(port, more="ebpf:\n  max_connections: 1024\n")
    for _ in range(2_000):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET /half HTTP/1.1\r\nHos")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    load = Load(port=port, targets=(Target("/ok"),), requests=5_000, one_shot=True)
    run_exact(loadgen, load)
    key = "http_response_status_code"
    until(lambda: agent.requests(key).get(("200",), 0) >= 5_000, timeout_seconds=3)
    assert 5_000 == agent.requests(key)["200",]


def wake_ups(pids: list[int]) -> int:
    """How often the threads of these processes waited for something and were woken."""
    found = 0
    for pid in pids:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            line = next(x for x in status.read_text().splitlines() if x.startswith("voluntary"))
            found += int(line.split()[1])
    return found


def forks() -> int:
    """Processes and threads that the host has made since it booted."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("processes"))


def test_an_idle_host_wakes_nobody(need, supervisor, tmp_path, port, agent_on):
    """300 sleeping processes and nobody who asks: only new processes wake the agent."""
    need("nginx")
    nginx.start(supervisor, tmp_path, nginx.Site(port=port))
    script = "for i in $(seq 300); do sleep 60 & done; wait"
    supervisor.start("sleepers", ["bash", "-c", script])
    agent = agent_on(port)
    time.sleep(2)
    pids = descendants(agent.running.pid)
    before, made = wake_ups(pids), forks()
    time.sleep(10)
    assert wake_ups(pids) - before <= 10 + 3 * (forks() - made)
