from __future__ import annotations

import os

import pytest
from tests.unit.discovery.fakeproc import FakeProc

from otelauto.discovery.decision import Decider
from otelauto.discovery.explain import explain_process
from otelauto.discovery.identity import Host
from otelauto.discovery.selection import Selection
from otelauto.discovery.selectors import Selector


@pytest.fixture
def fake(tmp_path):
    return FakeProc(tmp_path)


def explain(fake, pid, *selectors):
    decider = Decider(
        Selection(selectors, default_exclude=()), proc=fake.path, host=Host("h"), own_pid=9
    )
    return explain_process(pid, decider, proc=fake.path)


def test_selected_process_is_explained_with_its_identity(fake):
    fake.add(42, "/usr/sbin/nginx", unit="nginx.service", ports=[80])
    said = explain(fake, 42, Selector(open_ports=((80, 80),)))
    assert (said.selected, said.reason) == (True, "selected by discovery.instrument[0]")
    assert (said.target.service.name, said.target.name_rule) == ("nginx", "systemd unit")
    assert [check.holds for check in said.checks] == [True]


def test_other_process_is_explained_with_what_it_lacks(fake):
    fake.add(42, "/usr/sbin/nginx", ports=[81])
    said = explain(fake, 42, Selector(open_ports=((80, 80),)))
    assert (said.selected, said.reason) == (False, "no entry of discovery.instrument holds")
    assert [(check.wanted, check.found) for check in said.checks] == [("80", "listens on 81")]
    assert said.target.service.name == "nginx"


def test_worker_is_explained_by_the_ancestor_it_has_its_service_from(fake):
    fake.add(42, "/bin/server", ports=[80])
    fake.add(43, "/bin/server", parent=42)
    fake.add(44, "/bin/server", parent=43)
    fake.add(45, "/bin/tool", parent=44)
    port = Selector(open_ports=((80, 80),))
    assert (
        explain(fake, 44, port).reason
        == "runs the same executable as its ancestor 42, selected by discovery.instrument[0]"
    )
    assert explain(fake, 44, port).selected
    assert not explain(fake, 45, port).selected


def test_missing_process_is_explained(fake):
    said = explain(fake, 42, Selector(every_process=True))
    assert (said.selected, said.reason) == (False, "there is no such process")


def test_kernel_thread_is_explained(fake):
    fake.add(42, flags=0x00200000, comm="kworker/0:1", parent=2)
    said = explain(fake, 42, Selector(every_process=True))
    assert (said.selected, said.reason) == (False, "it is a kernel thread")


def test_what_may_not_be_read_is_said(fake, monkeypatch):
    def refuse(name, *args, **kwargs):
        raise PermissionError(13, "Permission denied", name)

    fake.add(42, "/usr/sbin/nginx")
    monkeypatch.setattr(os, "readlink", refuse)
    said = explain(fake, 42, Selector(exe_path=("*/nginx",)))
    assert said.unreadable == ("cwd", "exe")
    assert said.checks[0].found == "/proc/42/exe may not be read"
