"""The agents that the cases of a module share, one for each way of hooking."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.live.scene import Scene, Since, Witness
from tests.servers import runtimes
from tests.servers.agent import start_agent
from tests.servers.process import Supervisor, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARE_PORTS = 24
NUMBERS = itertools.count()
#: Routes are learned from successes only, so the paths of failures are given as patterns.
FAILING = (
    *(f"/status/{status}" for status in (400, 404, 418, 500, 503)),
    *("/slow", "/abort", "/reset", "/partial", "/given-up", "/never"),
)


@pytest.fixture(scope="module", params=["sock", "syscall"])
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """An origin and an agent that reports every path as it is, by one way of hooking."""
    directory = tmp_path_factory.mktemp("scene")
    logs = directory / "logs"
    logs.mkdir()
    supervisor = Supervisor(logs)
    port = free_port()
    spare = sorted({free_port() for _ in range(SPARE_PORTS)} - {port})
    mark = f"watched-{os.getpid()}-{next(NUMBERS)}"
    ports = ",".join(map(str, [port, *spare]))
    config = (
        "discovery:\n  instrument:\n"
        f'    - open_ports: "{ports}"\n'
        f'    - cmd_args: "*{mark}*"\n      name: {mark}\n'
        f"routes:\n  unmatched: path\n  patterns: {json.dumps(FAILING)}\n"
        f"ebpf:\n  hook: {request.param}\n"
    )
    try:
        _, log = runtimes.start_origin(supervisor, directory, port=port)
        agent = start_agent(supervisor, directory, config, metrics_port=free_port())
        yield Scene(request.param, agent, supervisor, port, log, mark, spare)
    finally:
        supervisor.stop_all()


@pytest.fixture
def origin(scene: Scene) -> tuple[int, Since, Witness]:
    """The origin's port, what the agent and what the origin have seen since the test began."""
    return scene.port, scene.since_now(), scene.witness()
