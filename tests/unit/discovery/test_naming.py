from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.discovery.naming import name_process, unit_name
from otelauto.model import Process

PYTHON = "/usr/bin/python3.11"


def process(**fields):
    return Process(42, 1, **fields)


def test_rules_apply_in_their_order():
    environ = {
        "OTEL_SERVICE_NAME": "by-variable",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=by-attributes",
    }
    fields = {
        "exe": PYTHON,
        "cmdline": ("python3", "/srv/by-script.py"),
        "unit": "by-unit.service",
    }
    found = [
        name_process(process(environ=environ, **fields), configured="by-selector"),
        name_process(process(environ=environ, **fields)),
    ]
    del environ["OTEL_SERVICE_NAME"]
    found.append(name_process(process(environ=environ, **fields)))
    found.append(name_process(process(**fields)))
    fields["unit"] = "session-1.scope"
    found.append(name_process(process(**fields)))
    fields["cmdline"] = ("python3",)
    found.append(name_process(process(**fields)))
    assert [(each.name, each.rule) for each in found] == [
        ("by-selector", "selector"),
        ("by-variable", "OTEL_SERVICE_NAME"),
        ("by-attributes", "OTEL_RESOURCE_ATTRIBUTES"),
        ("by-unit", "systemd unit"),
        ("by-script", "script"),
        ("python3.11", "executable"),
    ]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("nginx.service", ("nginx", "")),
        ("php8.2-fpm.service", ("php8.2-fpm", "")),
        ("my-app.service", ("my-app", "")),
        ("t1.service", ("t1", "")),
        ("snap.lxd.daemon.service", ("snap.lxd.daemon", "")),
        ("web@8001.service", ("web", "8001")),
        ("web@1.service", ("web", "1")),
        ("postgresql@15-main.service", ("postgresql@15-main", "")),
        ("openvpn@client.service", ("openvpn@client", "")),
        ("web@.service", ("web", "")),
        ("payload.scope", ("payload", "")),
        ("", ("", "")),
        *(
            (unit, ("", ""))
            for unit in (
                "init.scope",
                "session-3.scope",
                "user@1000.service",
                "cron.service",
                "crond.service",
                "ssh.service",
                "ssh@0-10.0.0.1:22-10.0.0.2:5000.service",
                "docker.service",
                "containerd.service",
                "docker-" + "ab" * 32 + ".scope",
                "libpod-" + "ab" * 32 + ".scope",
                "cri-containerd-" + "ab" * 32 + ".scope",
                "machine-web1.scope",
                "systemd-nspawn@web1.service",
                "run-u12.scope",
                "run-r0123456789abcdef.service",
                "run-p12-i34.scope",
                "app-org.gnome.Terminal-1234.scope",
                "tmux-spawn-0123.scope",
                "supervisor.service",
                "getty@tty1.service",
                "cloud-final.service",
            )
        ),
    ],
)
def test_unit_names_a_service_unless_it_says_nothing_of_it(unit, expected):
    assert expected == unit_name(unit)


def test_attributes_beside_the_name_are_kept_and_bad_ones_counted():
    named = name_process(
        process(environ={"OTEL_RESOURCE_ATTRIBUTES": "service.version=1.2,note=a%3Db%2Cc,bad"})
    )
    assert (named.attributes, named.skipped) == ({"service.version": "1.2", "note": "a=b,c"}, 1)


@pytest.mark.parametrize(
    ("exe", "expected"),
    [
        (PYTHON, "cpython"),
        ("/usr/bin/pypy3", "pypy"),
        ("/usr/bin/node", "nodejs"),
        ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "OpenJDK Runtime Environment"),
        ("/opt/jdk/bin/java", "java"),
        ("/usr/share/dotnet/dotnet", ".NET"),
        ("/usr/sbin/nginx", None),
    ],
)
def test_runtime_is_named_where_it_is_known(exe, expected):
    assert expected == name_process(process(exe=exe)).attributes.get("process.runtime.name")


def test_application_knows_its_runtime_better():
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "process.runtime.name=graalpy"}
    named = name_process(process(exe=PYTHON, environ=environ))
    assert named.attributes["process.runtime.name"] == "graalpy"


def test_variable_that_nobody_replaced_is_no_name():
    environ = {"OTEL_SERVICE_NAME": "$SERVICE", "OTEL_RESOURCE_ATTRIBUTES": "service.name=${X}"}
    named = name_process(process(exe="/usr/sbin/nginx", environ=environ))
    assert (named.name, named.rule) == ("nginx", "executable")


def test_blank_variable_is_no_name():
    named = name_process(process(exe="/usr/sbin/nginx", environ={"OTEL_SERVICE_NAME": " \n"}))
    assert named.name == "nginx"


def test_java_agents_property_counts_as_its_variable():
    java = process(
        exe="/usr/bin/java", cmdline=("java", "-Dotel.service.name=web", "-jar", "x.jar")
    )
    assert (name_process(java).name, name_process(java).rule) == ("web", "OTEL_SERVICE_NAME")


@pytest.mark.parametrize(
    ("fields", "comm", "expected"),
    [
        ({}, "", "unknown"),
        ({}, "kworker", "kworker"),
        ({"cmdline": ("nginx: master process /usr/sbin/nginx",)}, "nginx", "nginx"),
        ({"cmdline": (" ",)}, "x", "x"),
        ({"exe": "/memfd:payload"}, "x", "payload"),
        ({"exe": "/srv/evil\nname\udcff"}, "x", "evil_name_"),
        ({"exe": "/"}, "", "unknown"),
    ],
)
def test_process_that_hides_itself_has_a_name_still(fields, comm, expected):
    assert expected == name_process(process(**fields), comm=comm).name


TEXT = st.text(max_size=30)


@given(
    exe=TEXT,
    cmdline=st.lists(TEXT, max_size=4).map(tuple),
    unit=TEXT,
    cwd=TEXT,
    variable=TEXT,
    attributes=TEXT,
    comm=TEXT,
)
def test_any_process_has_a_printable_name(*, exe, cmdline, unit, cwd, variable, attributes, comm):
    environ = {"OTEL_SERVICE_NAME": variable, "OTEL_RESOURCE_ATTRIBUTES": attributes}
    hostile = process(exe=exe, cmdline=cmdline, unit=unit, cwd=cwd, environ=environ)
    name = name_process(hostile, comm=comm).name
    assert name
    assert name.isprintable()
