from __future__ import annotations

import pytest
from tests.unit.discovery.fakeproc import FakeProc

from otelauto.discovery.decision import Decider
from otelauto.discovery.identity import Host, instance_id
from otelauto.discovery.proc import open_process
from otelauto.discovery.selection import Selection
from otelauto.discovery.selectors import Selector
from otelauto.discovery.sockets import SocketTables

HOST = Host("web1", "machine")
OWN = 500
EVERY = (Selector(every_process=True),)
AGENTS = (Selector(exe_path=("*/alloy",)),)


@pytest.fixture
def fake(tmp_path):
    return FakeProc(tmp_path)


def decider(fake, *selectors, exclude=()):
    selection = Selection(selectors, exclude, default_exclude=AGENTS)
    return Decider(selection, proc=fake.path, host=HOST, own_pid=OWN)


def verdict(fake, pid, *selectors, exclude=()):
    with open_process(fake.path, pid, tables=SocketTables()) as view:
        return decider(fake, *selectors, exclude=exclude).verdict(view)


def service(fake, pid, *selectors):
    judge = decider(fake, *(selectors or EVERY))
    with open_process(fake.path, pid, tables=SocketTables()) as view:
        target, _ = judge.target(view, judge.match(view))
        return target.service


def test_reason_names_every_entry_that_holds(fake):
    fake.add(42, "/bin/x")
    said = verdict(fake, 42, *EVERY, Selector(exe_path=("*/y",)), Selector(pids=frozenset({42})))
    assert said.reason == "selected by discovery.instrument[0], discovery.instrument[2]"


@pytest.mark.parametrize(
    ("fields", "selectors", "exclude", "reason"),
    [
        ({"exe": "/bin/x"}, (), (), "the configuration has no selector"),
        (
            {"exe": "/bin/x"},
            (Selector(exe_path=("*/y",)),),
            (),
            "no entry of discovery.instrument holds",
        ),
        ({"flags": 0x00200000}, EVERY, (), "it is a kernel thread"),
        ({"exe": "/bin/x"}, EVERY, EVERY, "excluded by discovery.exclude_instrument[0]"),
        (
            {"exe": "/usr/bin/alloy"},
            EVERY,
            (),
            "excluded by discovery.default_exclude_instrument[0]",
        ),
    ],
)
def test_reason_against_is_the_one_that_decides(fake, fields, selectors, exclude, reason):
    fake.add(42, **fields)
    said = verdict(fake, 42, *selectors, exclude=exclude)
    assert (None, reason) == (said.match, said.reason)


def test_agent_and_all_it_started_are_never_selected(fake):
    fake.add(300, "/bin/supervisor", parent=1)
    fake.add(OWN, "/usr/bin/python3", cmdline=["python3", "x"], parent=300)
    fake.add(501, "/usr/bin/python3", cmdline=["python3", "loader"], parent=OWN)
    fake.add(502, "/usr/bin/clang", parent=501)
    fake.add(503, "/bin/x", parent=300)
    selected = [pid for pid in (OWN, 501, 502, 503, 300) if verdict(fake, pid, *EVERY).match]
    assert selected == [503, 300]
    assert verdict(fake, 501, *EVERY).reason == "it is the agent itself or was started by it"


def test_processes_whose_parents_run_in_a_circle_end_the_search(fake):
    fake.add(42, "/bin/x", parent=43)
    fake.add(43, "/bin/x", parent=42)
    assert verdict(fake, 42, *EVERY).match is not None


def test_replicas_of_a_template_are_one_service_with_two_instances(fake):
    fake.add(42, "/bin/x", unit="web@8001.service")
    fake.add(43, "/bin/x", unit="web@8002.service")
    one, two = service(fake, 42), service(fake, 43)
    assert (one.name, two.name) == ("web", "web")
    assert one.instance_id != two.instance_id


def test_same_unit_of_two_booted_containers_is_one_service_with_two_instances(fake):
    path = "0::/machine.slice/{}/payload/system.slice/nginx.service\n"
    fake.add(42, "/usr/sbin/nginx", cgroup=path.format("machine-a.scope"))
    fake.add(43, "/usr/sbin/nginx", cgroup=path.format("machine-b.scope"))
    fake.add(44, "/usr/sbin/nginx", unit="nginx.service")
    services = [service(fake, pid) for pid in (42, 43, 44)]
    assert {"nginx"} == {each.name for each in services}
    assert len({each.instance_id for each in services}) == 3


def test_restarts_and_workers_share_one_instance(fake):
    fake.add(42, "/usr/sbin/nginx", unit="nginx.service", parent=1)
    fake.add(43, "/usr/sbin/nginx", unit="nginx.service", parent=42, cmdline=["nginx: worker"])
    first = service(fake, 42)
    assert first == service(fake, 43)
    fake.exit(42)
    fake.add(4200, "/usr/sbin/nginx", unit="nginx.service")
    assert first == service(fake, 4200)
    assert instance_id(HOST, namespace="", name="nginx") == first.instance_id


def test_configured_name_and_namespace_make_the_identity(fake):
    fake.add(42, "/usr/sbin/nginx", unit="nginx.service")
    named = service(fake, 42, Selector(every_process=True, name="edge", namespace="shop"))
    assert (named.name, named.namespace) == ("edge", "shop")
