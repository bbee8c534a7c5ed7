from __future__ import annotations

import pytest
from tests.unit.app.doubles import FakeKernel, FakeWatch, Log, match, target
from tests.unit.discovery.fakeproc import FakeProc

from otelauto.abi import _layout as abi
from otelauto.app.session import Session
from otelauto.config.load import loads
from otelauto.discovery.events import TargetAdded
from otelauto.discovery.identity import Host
from otelauto.metrics.aggregate import Aggregate, Bounds
from otelauto.routes.table import RouteTable

BOUNDS = Bounds((0.0, 0.1), (0.0,), (0.0,))
HOST = Host("web-1", "id-1")
START = 1_700_000_000_000_000_000


@pytest.fixture
def config():
    """Reads a configuration to which a selector and an exporter are added."""

    def read(text=""):
        whole = text if "ebpf:" in text else f"ebpf: {{open_port: 80}}\n{text}"
        whole = whole if "_export:" in text else f"print_traces: true\n{whole}"
        return loads(whole, file="o.yml", environ={}).config

    return read


class Rig:
    """A session on stand-ins; the clock is the test's."""

    def __init__(self, config, proc, *, max_steps=16384):
        self.now = 1000.0
        self.proc = proc
        self.log = Log()
        self.kernel, self.watch = FakeKernel(), FakeWatch()
        self.aggregate = Aggregate(BOUNDS, start_unix_nano=START)
        self.session = Session(
            config,
            kernel=self.kernel,
            watch=self.watch,
            routes=RouteTable(seed=self.kernel.seed, max_steps=max_steps),
            aggregate=self.aggregate,
            host=HOST,
            proc=proc.path,
            log=self.log,
            clock=lambda: self.now,
        )

    def run(self, pid, of=None, *, start=1, routes=None, **fields):
        """A process begins and is found."""
        self.proc.add(pid, "/usr/bin/x", start=start)
        self.apply(TargetAdded(target(pid, of, start=start, **fields), match(routes)))

    def apply(self, *changes):
        """The watch tells of changes, by way of some event."""
        self.watch.next = list(changes)
        self.kernel.records = [exec_record()]
        self.session.on_events()

    def collect(self):
        """Number of exchanges by service name and route."""
        found = {}
        for resource in self.session.collect():
            name = dict(resource.resource)["service.name"]
            for family in resource.families:
                if family.metric.unit == "s":
                    for point in family.points:
                        route = dict(point.attributes).get("http.route")
                        found[name, route] = found.get((name, route), 0) + point.count
        return found


def exec_record(pid=1):
    return abi.EVENT_PROCESS.pack(abi.EventKind.EXEC, abi.EVENT_PROCESS.size, 1, pid, 0, 0)


@pytest.fixture
def new_rig(config, tmp_path):
    def make(text="", **more):
        return Rig(config(text), FakeProc(tmp_path), **more)

    return make


@pytest.fixture
def rig(new_rig):
    return new_rig()
