from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.discovery.fakeproc import FakeProc

from otelauto.discovery import selection
from otelauto.discovery.events import (
    ExecEvent,
    ExitEvent,
    ForkEvent,
    ListenEvent,
    TargetAdded,
    TargetChanged,
    TargetRemoved,
)
from otelauto.discovery.identity import Host
from otelauto.discovery.selectors import Selector
from otelauto.discovery.watch import Watch

#: Nothing is excluded by default here.
Selection = partial(selection.Selection, default_exclude=())
PORT_80 = Selector(open_ports=((80, 80),))
SERVER = Selector(exe_path=("*/server",))
EVERY = Selector(every_process=True)
OWN = 9


class Notes:
    def __init__(self):
        self.debugs = []
        self.warnings = []

    def debug(self, event, **fields):
        self.debugs.append((event, fields))

    def warning(self, event, **fields):
        self.warnings.append((event, fields))


@pytest.fixture
def fake(tmp_path):
    return FakeProc(tmp_path)


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def watching(fake, notes):
    def build(*selectors, exclude=()):
        return Watch(
            Selection(selectors, exclude), fake.path, host=Host("h", "m"), own_pid=OWN, log=notes
        )

    return build


def kinds(changes):
    """Each change as one letter and a process id."""
    letters = {TargetAdded: "+", TargetChanged: "~", TargetRemoved: "-"}
    return [
        (letters[type(c)], c.pid if isinstance(c, TargetRemoved) else c.target.process.pid)
        for c in changes
    ]


def pids(watch):
    return {target.process.pid for target in watch.targets()}


# The first scan.


def test_scan_finds_what_runs_already(fake, watching):
    fake.add(42, "/bin/server", ports=[80])
    fake.add(43, "/bin/server", ports=[81])
    fake.add(44, "/bin/client")
    watch = watching(PORT_80)
    (added,) = watch.initial_scan()
    assert (42, frozenset({80}), 0) == (
        added.target.process.pid,
        added.target.process.listen_ports,
        added.target.selector,
    )
    assert (added.target,) == watch.targets()


def test_scan_follows_workers_that_run_the_same_executable(fake, watching):
    fake.add(42, "/bin/server", ports=[80])
    fake.add(43, "/bin/server", parent=42)
    fake.add(44, "/bin/server", parent=43)
    fake.add(45, "/bin/tool", parent=42)
    fake.add(46, "/bin/server", parent=45)
    watch = watching(PORT_80)
    added = watch.initial_scan()
    assert kinds(added) == [("+", 42), ("+", 43), ("+", 44)]
    assert [change.target.selector for change in added] == [0, -1, -1]
    assert len({change.target.service for change in added}) == 1


def test_scan_is_not_confused_by_processes_that_have_ids_below_their_parents(fake, watching):
    """Process ids wrap around."""
    fake.add(4200, "/bin/server", ports=[80])
    fake.add(42, "/bin/server", parent=4200)
    assert kinds(watching(PORT_80).initial_scan()) == [("+", 4200), ("+", 42)]


def test_one_script_of_several_on_the_same_interpreter_is_told_apart_by_its_port(fake, watching):
    for pid, letter, port in ((42, "a", 8001), (43, "b", 8002)):
        fake.add(
            pid, "/usr/bin/python3.11", cmdline=["python3", f"/srv/{letter}/app.py"], ports=[port]
        )
    (added,) = watching(Selector(open_ports=((8001, 8001),))).initial_scan()
    assert (added.target.service.name, added.target.name_rule) == ("a", "script")


def test_prefork_server_is_one_service(fake, watching):
    fake.add(42, "/usr/bin/python3.11", cmdline=["gunicorn: master [shop.wsgi]"], ports=[80])
    for pid in range(43, 47):
        fake.add(pid, "/usr/bin/python3.11", cmdline=["gunicorn: worker [shop.wsgi]"], parent=42)
    added = watching(PORT_80).initial_scan()
    assert len(added) == 5
    assert {"shop"} == {change.target.service.name for change in added}
    assert len({change.target.service for change in added}) == 1


# Exec and listen.


def test_new_server_is_found_when_it_listens(fake, watching):
    watch = watching(PORT_80)
    watch.initial_scan()
    fake.add(42, "/bin/server")
    assert watch.handle(ExecEvent(42)) == []
    fake.listen(42, 80)
    assert kinds(watch.handle(ListenEvent(42, 80))) == [("+", 42)]


def test_new_server_is_found_when_it_is_executed(fake, watching):
    watch = watching(SERVER)
    watch.initial_scan()
    fake.add(42, "/bin/server")
    assert kinds(watch.handle(ExecEvent(42))) == [("+", 42)]


def test_listen_event_is_believed_before_the_table_shows_the_socket(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server")
    (added,) = watch.handle(ListenEvent(42, 80))
    assert frozenset({80}) == added.target.process.listen_ports


def test_server_that_listened_before_its_exec_event_is_handled_is_told_once(fake, watching):
    watch = watching(PORT_80)
    watch.initial_scan()
    fake.add(42, "/bin/server", ports=[80])
    assert kinds(watch.handle(ExecEvent(42))) == [("+", 42)]
    assert watch.handle(ListenEvent(42, 80)) == []
    assert watch.handle(ExecEvent(42)) == []
    assert watch.handle(ListenEvent(42, 80)) == []


def test_scan_and_event_tell_one_server_once(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", ports=[80])
    assert kinds(watch.initial_scan()) == [("+", 42)]
    assert watch.handle(ListenEvent(42, 80)) == []


def test_workers_with_sockets_of_their_own_are_one_service(fake, watching):
    """SO_REUSEPORT."""
    watch = watching(PORT_80)
    changes = []
    for pid in (42, 43):
        fake.add(pid, "/bin/server", ports=[80])
        changes += watch.handle(ListenEvent(pid, 80))
    assert kinds(changes) == [("+", 42), ("+", 43)]
    assert changes[0].target.service == changes[1].target.service


def test_closed_port_ends_no_target(fake, watching):
    watch = watching(PORT_80, Selector(open_ports=((90, 90),), name="other"))
    fake.add(42, "/bin/server", ports=[80])
    watch.initial_scan()
    fake.close_ports()
    assert watch.handle(ListenEvent(42, 7000)) == []
    assert watch.rescan() == []
    assert {42} == pids(watch)


def test_closed_port_takes_no_name_away(fake, watching):
    watch = watching(EVERY, Selector(open_ports=((80, 80),), name="web"))
    fake.add(42, "/bin/server", ports=[80])
    watch.initial_scan()
    fake.close_ports()
    assert watch.handle(ListenEvent(42, 7000)) == []
    (target,) = watch.targets()
    assert ("web", frozenset({80, 7000})) == (target.service.name, target.process.listen_ports)


def test_server_that_changes_its_folder_and_title_keeps_its_name(fake, watching):
    """Daemons go to / after their start; nothing that happens later may split their series."""
    watch = watching(Selector(exe_path=("python3",)))
    fake.add(42, "/usr/bin/python3", cmdline=["python3", "app.py"], cwd="/srv/shop", start=5)
    (added,) = watch.handle(ExecEvent(42))
    fake.add(43, "/usr/bin/python3", cmdline=["python3", "app.py"], cwd="/", parent=42, start=6)
    watch.handle(ForkEvent(43, 42, 1))
    fake.add(42, "/usr/bin/python3", cmdline=["shop: master"], cwd="/", start=5, ports=[80])
    assert watch.handle(ListenEvent(42, 80)) == []
    assert watch.rescan() == []
    assert watch.reselect(Selection([Selector(exe_path=("*/python3",))])) == []
    assert {"shop"} == {target.service.name for target in watch.targets()}
    assert added.target.service == watch.targets()[0].service
    (change, _) = watch.reselect(Selection([Selector(every_process=True, name="new")]))
    assert (change.before.service.name, change.target.service.name) == ("shop", "new")


def test_second_port_may_rename_the_service(fake, watching):
    watch = watching(EVERY, Selector(open_ports=((80, 80),), name="web"))
    fake.add(42, "/bin/server")
    watch.initial_scan()
    fake.listen(42, 80)
    (changed,) = watch.handle(ListenEvent(42, 80))
    assert (changed.before.service.name, changed.target.service.name) == ("server", "web")
    assert changed.target.selector == 1


def test_listening_on_an_excluded_port_ends_a_target(fake, watching):
    watch = watching(EVERY, exclude=[PORT_80])
    fake.add(42, "/bin/server")
    watch.initial_scan()
    fake.listen(42, 80)
    assert kinds(watch.handle(ListenEvent(42, 80))) == [("-", 42)]


def test_other_ports_cost_no_reading(fake, watching):
    watch = watching(PORT_80)
    assert watch.handle(ListenEvent(42, 81)) == []
    assert watch.handle(ListenEvent(4242, 65535)) == []


def test_restarted_unit_is_found_every_time(fake, watching):
    """F1: twenty restarts, each with another process id."""
    watch = watching(Selector(systemd_unit=("t1",)))
    services = set()
    for pid in range(100, 120):
        fake.add(pid, "/usr/bin/python3", unit="t1.service")
        (added,) = watch.handle(ExecEvent(pid))
        services.add(added.target.service)
        fake.exit(pid)
        assert [("-", pid)] == kinds(watch.handle(ExitEvent(pid)))
    assert ({"t1"}, 1, ()) == ({each.name for each in services}, len(services), watch.targets())


# Inheritance over fork and exec.


def test_child_inherits_on_fork(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", ports=[80])
    (parent,) = watch.initial_scan()
    fake.add(43, "/bin/server", parent=42)
    (child,) = watch.handle(ForkEvent(43, 42, 1))
    assert (
        child.target.process.pid,
        child.target.process.parent,
        child.target.selector,
    ) == (43, 42, -1)
    assert (parent.target.service, fake.start_of(43)) == (
        child.target.service,
        child.target.process.start_ticks,
    )
    assert watch.handle(ForkEvent(43, 42, 1)) == []


def test_child_that_runs_another_program_is_another_service(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", ports=[80])
    watch.initial_scan()
    fake.add(43, "/bin/server", parent=42, start=5)
    watch.handle(ForkEvent(43, 42, 1))
    fake.add(43, "/usr/bin/curl", parent=42, start=5)
    assert kinds(watch.handle(ExecEvent(43))) == [("-", 43)]
    assert {42} == pids(watch)


def test_child_that_runs_the_same_program_stays(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/usr/bin/python3", ports=[80])
    watch.initial_scan()
    fake.add(43, "/usr/bin/python3", parent=42, start=5)
    watch.handle(ForkEvent(43, 42, 1))
    fake.add(43, "/usr/bin/python3", cmdline=["python3", "-c", "x"], parent=42, start=5)
    assert watch.handle(ExecEvent(43)) == []
    assert {42, 43} == pids(watch)


def test_child_that_runs_another_selected_program_changes_its_service(fake, watching):
    watch = watching(Selector(exe_path=("*/{sh,server}",)))
    fake.add(42, "/bin/sh", cmdline=["sh", "/srv/starter.sh"])
    watch.initial_scan()
    fake.add(43, "/bin/sh", parent=42, start=5)
    watch.handle(ForkEvent(43, 42, 1))
    fake.add(43, "/bin/server", parent=42, start=5)
    (changed,) = watch.handle(ExecEvent(43))
    assert (changed.before.service.name, changed.target.service.name) == ("starter", "server")


def test_children_of_a_process_manager_on_the_same_interpreter_have_names_of_their_own(
    fake, watching
):
    """A cluster master holds the sockets of many applications."""
    watch = watching(PORT_80)
    fake.add(42, "/usr/bin/node", cmdline=["PM2 v5.3.0: God Daemon (/root/.pm2)"], ports=[80])
    fake.add(43, "/usr/bin/node", cmdline=["node", "/srv/shop/server.js"], parent=42)
    fake.add(44, "/usr/bin/node", cmdline=["node", "/srv/blog/server.js"], parent=42)
    fake.add(45, "/usr/bin/node", cmdline=["node", "-e", "pool"], parent=44)
    watch.initial_scan()
    assert {target.process.pid: target.service.name for target in watch.targets()} == {
        42: "node",
        43: "shop",
        44: "blog",
        45: "blog",
    }
    fake.add(46, "/usr/bin/node", parent=42, start=5)
    watch.handle(ForkEvent(46, 42, 1))
    fake.add(46, "/usr/bin/node", cmdline=["node", "/srv/wiki/server.js"], parent=42, start=5)
    (changed,) = watch.handle(ExecEvent(46))
    assert (changed.before.service.name, changed.target.service.name) == ("node", "wiki")


def test_burst_of_execs_reads_the_socket_tables_once(fake, watching, monkeypatch):
    watch = watching(PORT_80)
    fake.add(41, "/bin/server", ports=[80])
    watch.initial_scan()
    opened = []
    real = os.open

    def note(name, *args, **kwargs):
        opened.append(str(name))
        return real(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", note)
    for pid in range(100, 150):
        fake.add(pid, "/bin/true")
        watch.handle(ExecEvent(pid))
        watch.handle(ListenEvent(pid, 7000))
    assert {"net/tcp", "net/tcp6", "environ", "cgroup", "cmdline", "stat"}.isdisjoint(opened)
    watch.handle(ListenEvent(100, 80))
    for pid in range(101, 150):
        watch.handle(ExecEvent(pid))
    assert (opened.count("net/tcp"), opened.count("net/tcp6")) == (1, 1)
    # what a target listens on besides is known from the events alone
    watch.handle(ListenEvent(41, 80))
    watch.handle(ListenEvent(41, 7000))
    assert (opened.count("net/tcp"), opened.count("net/tcp6")) == (1, 1)


def test_reload_by_exec_keeps_the_target(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", start=5, ports=[80])
    watch.initial_scan()
    fake.add(42, "/bin/server", start=5)  # the port is opened again only afterwards
    assert watch.handle(ExecEvent(42)) == []
    fake.listen(42, 80)
    assert watch.handle(ListenEvent(42, 80)) == []


def test_target_that_becomes_another_program_ends(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", start=5, ports=[80])
    watch.initial_scan()
    fake.add(42, "/bin/sh", start=5)
    assert kinds(watch.handle(ExecEvent(42))) == [("-", 42)]


def test_another_program_with_the_inherited_socket_takes_over(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/starter", start=5)
    inode = fake.listen(42, 80)
    watch.handle(ListenEvent(42, 80))
    fake.add(42, "/bin/server", start=5)
    fake.give(42, inode)
    (changed,) = watch.handle(ExecEvent(42))
    assert (changed.before.service.name, changed.target.service.name) == ("starter", "server")


def test_socket_activation_selects_the_service_and_not_the_manager(fake, watching):
    watch = watching(PORT_80)
    fake.add(1, "/usr/lib/systemd/systemd", parent=0)
    assert watch.initial_scan() == []
    inode = fake.listen(1, 80)
    assert watch.handle(ListenEvent(1, 80)) == []
    fake.add(42, "/bin/server", unit="web.service")
    fake.give(42, inode)
    (added,) = watch.handle(ExecEvent(42))
    assert ("web", frozenset({80})) == (
        added.target.service.name,
        added.target.process.listen_ports,
    )


def test_excluded_child_of_a_target_is_not_followed(fake, watching):
    watch = watching(PORT_80, exclude=[Selector(cmd_args=("*--debugger*",))])
    fake.add(42, "/usr/bin/python3", ports=[80])
    fake.add(43, "/usr/bin/python3", cmdline=["python3", "--debugger"], parent=42)
    assert kinds(watch.initial_scan()) == [("+", 42)]


def test_child_of_a_parent_that_is_no_target_is_given_back(fake, watching):
    """A fork event may outlive its parent's selection; the kernel must forget the child too."""
    watch = watching(PORT_80)
    fake.add(43, "/bin/server", parent=42)
    assert [TargetRemoved(43)] == watch.handle(ForkEvent(43, 42, 7))
    assert watch.handle(ForkEvent(43, 42, 0)) == []


def test_agents_own_children_are_never_targets(fake, watching):
    watch = watching(EVERY)
    fake.add(OWN, "/usr/bin/python3", parent=1)
    fake.add(43, "/usr/bin/python3", parent=OWN)
    assert watch.initial_scan() == []
    assert watch.handle(ExecEvent(43)) == []


# Exit, reuse, and events that come too late.


def test_exit_ends_a_target_once(fake, watching):
    watch = watching(SERVER)
    fake.add(42, "/bin/server")
    (added,) = watch.initial_scan()
    fake.exit(42)
    assert [TargetRemoved(42, added.target)] == watch.handle(ExitEvent(42))
    assert watch.handle(ExitEvent(42)) == []
    assert watch.targets() == ()


def test_zombie_has_ended(fake, watching):
    watch = watching(SERVER)
    fake.add(42, "/bin/server", start=5)
    watch.initial_scan()
    fake.stat(42, start=5, state="Z")
    assert kinds(watch.handle(ExitEvent(42))) == [("-", 42)]


def test_exit_of_the_earlier_process_does_not_end_its_successor(fake, watching):
    watch = watching(SERVER)
    fake.add(42, "/bin/server")
    watch.initial_scan()
    assert watch.handle(ExitEvent(42)) == []
    assert {42} == pids(watch)


def test_reused_id_is_another_process(fake, watching):
    watch = watching(SERVER)
    fake.add(42, "/bin/server", start=5)
    watch.initial_scan()
    fake.add(42, "/srv/b/server", start=6)
    assert kinds(watch.handle(ExecEvent(42))) == [("-", 42), ("+", 42)]
    fake.add(42, "/bin/other", start=7)
    assert kinds(watch.handle(ExecEvent(42))) == [("-", 42)]


@pytest.mark.parametrize(
    "event", [ExecEvent(42), ListenEvent(42, 80), ForkEvent(42, 41, 1), ExitEvent(42)]
)
def test_event_of_a_process_that_is_gone_is_no_error(watching, event):
    assert watching(PORT_80).handle(event) == []


@pytest.mark.parametrize("event", [ExecEvent(42), ListenEvent(42, 80), ForkEvent(42, 41, 1)])
def test_event_of_a_target_that_is_gone_ends_it(fake, watching, notes, event):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", ports=[80])
    watch.initial_scan()
    fake.exit(42)
    assert kinds(watch.handle(event)) == [("-", 42)]
    assert len(notes.debugs) == 1


def test_nothing_is_remembered_of_what_is_gone(fake, watching):
    """L2: churn leaves the watch as it was."""
    watch = watching(EVERY)
    for pid in range(100, 300):
        fake.add(pid, "/bin/server", environ={"OTEL_SERVICE_NAME": f"s{pid}"})
        watch.handle(ExecEvent(pid))
        fake.exit(pid)
        watch.handle(ExitEvent(pid))
    assert watch.targets() == ()
    assert not watch._services._by_identity
    assert not watch._services._holders


# Configuration and repairs.


def test_reselect_tells_only_what_changes(fake, watching):
    watch = watching(Selector(open_ports=((80, 81),)))
    fake.add(42, "/bin/a", ports=[80])
    fake.add(43, "/bin/b", ports=[81])
    fake.add(44, "/bin/c", ports=[82])
    watch.initial_scan()
    changes = watch.reselect(
        Selection([Selector(open_ports=((82, 82),)), PORT_80]),
    )
    assert kinds(changes) == [("+", 44), ("-", 43)]
    assert {t.process.pid: t.selector for t in watch.targets()} == {42: 1, 44: 0}


def test_reselect_tells_new_settings(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/a", ports=[80])
    fake.add(43, "/bin/a", parent=42)
    watch.initial_scan()
    named = Selector(open_ports=((80, 80),), name="web", exports=frozenset({"metrics"}))
    changes = watch.reselect(Selection([named]))
    assert kinds(changes) == [("~", 42), ("~", 43)]
    assert {("web", frozenset({"metrics"}))} == {
        (c.target.service.name, c.target.exports) for c in changes
    }
    routes = Selector(open_ports=((80, 80),), name="web", exports=named.exports, routes=("/a",))
    assert kinds(watch.reselect(Selection([routes]))) == [("~", 42), ("~", 43)]
    assert watch.reselect(Selection([routes])) == []


def test_reselect_without_selectors_ends_everything(fake, watching):
    watch = watching(SERVER)
    fake.add(42, "/bin/server")
    watch.initial_scan()
    assert kinds(watch.reselect(Selection([]))) == [("-", 42)]
    assert frozenset() == watch.wanted_events()


def test_rescan_repairs_lost_events(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", ports=[80])
    fake.add(43, "/bin/server", parent=42)
    watch.initial_scan()
    fake.exit(42)
    fake.add(44, "/bin/server", ports=[80])
    assert kinds(watch.rescan()) == [("+", 44), ("-", 42)]
    # the orphan runs the same program as before and stays
    assert {43, 44} == pids(watch)
    assert watch.rescan() == []


def test_rescan_notices_a_reused_id(fake, watching):
    watch = watching(SERVER)
    fake.add(42, "/bin/server", start=5)
    watch.initial_scan()
    fake.add(42, "/bin/other", start=6)
    assert kinds(watch.rescan()) == [("-", 42)]


def test_reselect_ends_orphans_that_nothing_selects(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", ports=[80])
    fake.add(43, "/bin/server", parent=42)
    watch.initial_scan()
    fake.exit(42)
    watch.handle(ExitEvent(42))
    assert kinds(watch.reselect(Selection([PORT_80]))) == [("-", 43)]


# Identity over several processes.


def test_processes_that_contradict_each_other_are_one_resource(fake, watching):
    watch = watching(EVERY)
    for pid, version in ((42, "1"), (43, "2")):
        environ = {
            "OTEL_SERVICE_NAME": "a",
            "OTEL_RESOURCE_ATTRIBUTES": f"service.version={version}",
        }
        fake.add(pid, "/bin/server", environ=environ)
    watch.initial_scan()
    assert len({target.service for target in watch.targets()}) == 1


def test_bad_attributes_are_noticed_once_for_a_service_without_their_text(fake, watching, notes):
    watch = watching(EVERY)
    for pid in (42, 43):
        environ = {"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "s3cret,b=1"}
        fake.add(pid, "/bin/server", environ=environ)
        watch.handle(ExecEvent(pid))
    ((event, fields),) = notes.warnings
    assert (fields["service"], fields["entries_skipped"]) == ("a", 1)
    assert "s3cret" not in event + str(fields)


# Explanations.


def test_running_watch_explains_what_only_it_knows(fake, watching):
    watch = watching(PORT_80)
    fake.add(42, "/bin/server", ports=[80])
    fake.add(43, "/bin/server", parent=42)
    watch.initial_scan()
    assert watch.explain(42).reason == "selected by discovery.instrument[0]"
    fake.close_ports()
    assert (
        watch.explain(42).selected,
        watch.explain(42).reason,
    ) == (True, "it has been a target since its port was open")
    assert watch.explain(43).reason == "it inherited the service of its parent"
    assert not watch.explain(44).selected


# Any order of events.

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["start", "stop", "exec", "listen", "fork", "exit", "rescan"]),
        st.integers(10, 14),
    ),
    max_size=25,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
    deadline=None,
)
@given(EVENTS)
def test_changes_add_up_to_the_targets_in_any_order_of_events(tmp_path_factory, events):
    """Whoever applies the changes to a map has exactly the watch's targets in it."""
    fake = FakeProc(tmp_path_factory.mktemp("any"))
    watch = Watch(Selection([PORT_80, SERVER]), fake.path, host=Host("h"), own_pid=OWN)
    applied = {}
    for kind, pid in events:
        apply(applied, happen(fake, watch, kind, pid))
        assert {p: t.service for p, t in applied.items()} == {
            t.process.pid: t.service for t in watch.targets()
        }
        assert watch._services._holders.total() == len(applied)


def happen(fake, watch, kind, pid):
    exists = (fake.path / str(pid)).exists()
    if kind == "start":
        fake.add(pid, "/bin/server" if pid % 2 else "/bin/other", parent=pid - 1)
    elif kind == "stop" and exists:
        fake.exit(pid)
    elif kind == "listen" and exists:
        fake.listen(pid, 80)
    told = {
        "exec": ExecEvent(pid),
        "exit": ExitEvent(pid),
        "fork": ForkEvent(pid, pid - 1, 1),
        "listen": ListenEvent(pid, 80),
    }
    if kind == "rescan":
        return watch.rescan()
    return watch.handle(told[kind]) if kind in told else []


def apply(applied, changes):
    for change in changes:
        if isinstance(change, TargetAdded):
            assert change.target.process.pid not in applied
            applied[change.target.process.pid] = change.target
        elif isinstance(change, TargetChanged):
            assert applied[change.target.process.pid].service == change.before.service
            applied[change.target.process.pid] = change.target
        elif change.target is not None:
            del applied[change.pid]


# From here on: the kernel's own /proc and real processes.

PREFORK = """
import os, socket, sys, time
s = socket.create_server(("127.0.0.1", 0))
for _ in range(2):
    if os.fork() == 0:
        s.close()
        time.sleep(60)
print(s.getsockname()[1], flush=True)
time.sleep(60)
"""
ACTIVATOR = """
import os, socket, sys
s = socket.create_server(("127.0.0.1", 0))
s.set_inheritable(True)
print(s.getsockname()[1], flush=True)
sys.stdin.readline()
os.execvp("sleep", ["sleep", "60"])
"""


@contextlib.contextmanager
def running(code, *before):
    """A Python program in a session of its own, and what it says first: the port."""
    child = subprocess.Popen(
        [*before, sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield child, int(child.stdout.readline() or 0)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()


def real(*selectors):
    return Watch(Selection(selectors), Path("/proc"), host=Host("h"), own_pid=0x7FFFFFFF)


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_real_workers_without_the_socket_are_found_with_their_master():
    with running(PREFORK) as (child, port):
        watch = real(Selector(open_ports=((port, port),), name="shop"))
        changes = watch.initial_scan()
        assert len(changes) == 3
        assert child.pid == changes[0].target.process.pid
        assert [change.target.selector for change in changes] == [0, -1, -1]
        assert len({change.target.service for change in changes}) == 1
        for pid in sorted(pids(watch) - {child.pid}):
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: watch.handle(ExitEvent(pid)) or pid not in pids(watch))
        assert {child.pid} == pids(watch)


def test_real_program_that_inherits_the_listening_socket_is_the_target():
    with running(ACTIVATOR) as (child, port):
        watch = real(Selector(open_ports=((port, port),)))
        (before,) = watch.initial_scan()
        child.stdin.write("\n")
        child.stdin.flush()
        sleep = os.path.realpath(shutil.which("sleep"))
        until(lambda: os.path.realpath(f"/proc/{child.pid}/exe") == sleep)
        (changed,) = watch.handle(ExecEvent(child.pid))
        assert (before.target, "sleep") == (changed.before, changed.target.service.name)
        assert frozenset({port}) == changed.target.process.listen_ports


def test_real_server_in_its_own_pid_and_network_namespace_is_found_by_its_port():
    flags = ("unshare", "-n", "-pf", "--kill-child")
    if shutil.which("unshare") is None or subprocess.run([*flags, "true"], check=False).returncode:
        pytest.skip("cannot make namespaces: needs root")
    code = """
import socket, time
s = socket.socket()
s.bind(("", 8080))
s.listen()
print(8080, flush=True)
time.sleep(60)
"""
    with running(code, *flags) as (child, port):
        inner = int(Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0])
        watch = real(Selector(open_ports=((port, port),)))
        watch.initial_scan()
        assert inner in pids(watch)
        assert child.pid not in pids(watch)


def test_real_short_lived_processes_leave_nothing_behind():
    watch = real(EVERY)
    seen = 0
    for _ in range(100):
        child = subprocess.Popen(["true"])
        seen += len(watch.handle(ExecEvent(child.pid)))
        child.wait()
        watch.handle(ExitEvent(child.pid))
    assert watch.targets() == ()
    assert seen <= 100
