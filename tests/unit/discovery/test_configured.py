from __future__ import annotations

import pytest
from tests.unit.discovery.fakeproc import FakeProc

from otelauto.config.load import loads
from otelauto.discovery.configured import configured_selection
from otelauto.discovery.proc import open_process
from otelauto.discovery.sockets import SocketTables

EXPORTER = "\nprometheus_export: {port: 9400}\n"


@pytest.fixture
def fake(tmp_path):
    return FakeProc(tmp_path)


def match(fake, pid, text):
    selection = configured_selection(loads(text + EXPORTER, file="x.yml", environ={}).config)
    with open_process(fake.path, pid, tables=SocketTables()) as view:
        found = selection.match(view)
        return found, selection.names(found) if found else selection.excluded(view)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ebpf: {open_port: 8080}", True),
        ("ebpf: {open_port: '80,8000-8999'}", True),
        ("ebpf: {open_port: 81}", False),
        ("ebpf: {executable_name: nginx}", True),
        ("executable_name: '^/usr/.*nginx$'", True),
        ("ebpf: {executable_name: nginx, open_port: 81}", False),
        ("ebpf: {exe_path: '*/nginx'}", True),
        ("ebpf: {system_wide: true}", True),
        ("discovery: {instrument: [{open_ports: [8080]}]}", True),
        ("discovery: {instrument: [{exe_path: nginx}]}", True),
        ("discovery: {instrument: [{exe_path_regexp: '/nginx$'}]}", True),
        ("discovery: {instrument: [{cmd_args: '*daemon off*'}]}", True),
        ("discovery: {instrument: [{systemd_unit: 'edge*'}]}", True),
        ("discovery: {instrument: [{pids: [42]}]}", True),
        ("discovery: {instrument: [{pids: [42], open_ports: 81}]}", False),
        ("discovery: {instrument: [{exe_path: '*'}], exclude_instrument: [{pids: 42}]}", False),
        (
            "discovery: {instrument: [{pids: 42}], default_exclude_instrument: [{pids: 42}]}",
            False,
        ),
    ],
)
def test_options_select_what_they_say(fake, text, expected):
    fake.add(
        42,
        "/usr/sbin/nginx",
        cmdline=["nginx", "-g", "daemon off;"],
        unit="edge.service",
        ports=[8080],
    )
    assert expected == (match(fake, 42, text)[0] is not None)


def test_entries_override_the_quick_selector_and_keep_their_own_names(fake):
    fake.add(42, "/usr/sbin/nginx", ports=[80])
    found, names = match(
        fake,
        42,
        """
service_name: quick
ebpf: {open_port: 80}
discovery:
  instrument:
    - {open_ports: 81, name: other}
    - {open_ports: 80, name: edge, namespace: shop, exports: [metrics],
       routes: {patterns: [/a]}}
""",
    )
    assert ("edge", "shop", frozenset({"metrics"})) == (found.name, found.namespace, found.exports)
    assert found.routes.patterns == ("/a",)
    assert names == "ebpf, discovery.instrument[1]"


def test_quick_selector_names_what_it_selects(fake):
    fake.add(42, "/usr/sbin/nginx", ports=[80])
    found, names = match(fake, 42, "service_name: quick\nebpf: {open_port: 80}")
    assert (found.name, found.routes, names) == ("quick", None, "ebpf")


@pytest.mark.parametrize(
    ("exe", "cmdline"),
    [
        ("/usr/bin/grafana-agent", []),
        ("/usr/bin/grafana-agent-flow", []),
        ("/usr/bin/alloy", []),
        ("/usr/bin/otelcol", []),
        ("/usr/bin/otelcol-contrib", []),
        ("/usr/local/bin/beyla", []),
        ("/obi", []),
    ],
)
def test_telemetry_agents_are_excluded_by_default(fake, exe, cmdline):
    fake.add(42, exe, cmdline=cmdline, ports=[80])
    assert match(fake, 42, "ebpf: {system_wide: true}") == (
        None,
        "discovery.default_exclude_instrument[0]",
    )


@pytest.mark.parametrize(
    "cmdline",
    [["python3", "/usr/bin/otelauto", "-config", "x"], ["python3", "-m", "otelauto"]],
)
def test_the_agent_is_excluded_whatever_runs_it(fake, cmdline):
    fake.add(42, "/usr/bin/python3.11", cmdline=cmdline, ports=[80])
    assert match(fake, 42, "ebpf: {system_wide: true}") == (None, "otelauto itself")


@pytest.mark.parametrize(
    ("exe", "cmdline"),
    [
        ("/usr/bin/node", ["node", "/srv/app.js", "--config", "/etc/otelauto"]),
        ("/srv/alloy/server", []),
        ("/usr/bin/globi", []),
        ("/usr/bin/python3.11", ["python3", "/srv/otelauto-portal"]),
    ],
)
def test_programs_that_only_mention_an_agent_are_not_excluded(fake, exe, cmdline):
    fake.add(42, exe, cmdline=cmdline)
    assert match(fake, 42, "ebpf: {system_wide: true}")[0] is not None


def test_namespace_of_the_agent_is_the_default_of_all(fake):
    text = "service_namespace: shop\nebpf: {system_wide: true}" + EXPORTER
    assert configured_selection(loads(text, file="x.yml", environ={}).config).namespace == "shop"
