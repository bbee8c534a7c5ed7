"""Storms of processes and connections: all is answered, counts are exact, memory stays flat."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time

import pytest
from tests.bench.measure import pss_bytes
from tests.load.generator import Load, run_exact, start_exact
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

#: Takes connections and answers only those that ask.
HOLDER = """
import resource, selectors, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
poll, server = selectors.EpollSelector(), socket.create_server(
    ("127.0.0.1", int(sys.argv[1])), backlog=4096)
server.setblocking(False)
poll.register(server, selectors.EVENT_READ)
while True:
    for key, _ in poll.select():
        try:
            if key.fileobj is server:
                poll.register(server.accept()[0], selectors.EVENT_READ)
            elif key.fileobj.recv(65536):
                key.fileobj.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
            else:
                poll.unregister(key.fileobj)
                key.fileobj.close()
        except OSError:
            pass
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


def test_twenty_thousand_open_connections_are_followed(supervisor, port, agent_on, loadgen):
    """All idle, or as many as a process may have here; then each tenth asks, and is counted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = min(20_000, hard - 500)
    assert number > 1_000
    asking = len(range(0, number, 10))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    supervisor.start("holder", [sys.executable, "-c", HOLDER, str(port)], ports=(port,))
    agent = agent_on(port)
    memory = pss_bytes([agent.pid])
    held = []
    try:
        held.extend(socket.create_connection(("127.0.0.1", port), 20) for _ in range(number))
        run_exact(loadgen, Load(port=port, requests=1_000, connections=8))
        for peer in held[::10]:
            peer.sendall(b"GET /ok HTTP/1.1\r\nHost: h\r\n\r\n")
            assert peer.recv(4096).startswith(b"HTTP/1.1 200")
        assert until(lambda: agent.requests() == {(): 1_000 + asking}), agent.requests()
        time.sleep(0.2)
        assert {(): 1_000 + asking} == agent.requests()
        assert pss_bytes([agent.pid]) - memory < 6 * MEGABYTE
    finally:
        for peer in held:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    supervisor.stop(agent.running)
