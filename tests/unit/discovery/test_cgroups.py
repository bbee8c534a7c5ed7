from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.discovery.cgroups import Place, parse_cgroup

CONTAINER = "4f2a" * 16


@pytest.mark.parametrize(
    ("content", "unit", "machine"),
    [
        # unified
        ("0::/system.slice/nginx.service\n", "nginx.service", ""),
        ("0::/system.slice/system-web.slice/web@8001.service\n", "web@8001.service", ""),
        ("0::/init.scope\n", "init.scope", ""),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", ""),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n",
            "x.service",
            "",
        ),
        ("0::/system.slice/php8.2-fpm.service/workers\n", "php8.2-fpm.service", ""),
        ("0::/system.slice/old.service (deleted)\n", "old.service", ""),
        (r"0::/system.slice/my\x2dapp.service" + "\n", "my-app.service", ""),
        ("0::/system.slice/_cgroup.service\n", "cgroup.service", ""),
        ("0::/\n", "", ""),
        # hybrid: systemd's own hierarchy has the unit where the unified one is empty
        (
            "12:memory:/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n0::/\n",
            "b.service",
            "",
        ),
        ("1:name=systemd:/system.slice/b.service\n0::/system.slice/c.service\n", "c.service", ""),
        # legacy: only controllers
        ("5:cpu,cpuacct:/system.slice/a.service\n", "a.service", ""),
        ("5:memory:/docker/" + CONTAINER + "\n", "", ""),
        # containers
        (f"0::/system.slice/docker-{CONTAINER}.scope\n", f"docker-{CONTAINER}.scope", ""),
        (f"0::/machine.slice/libpod-{CONTAINER}.scope/container\n",
         f"libpod-{CONTAINER}.scope", ""),
        (f"0::/system.slice/web.service/libpod-payload-{CONTAINER}\n", "web.service", ""),
        (
            "0::/machine.slice/machine-web1.scope/payload/system.slice/nginx.service\n",
            "nginx.service",
            "machine-web1.scope",
        ),
        (
            "0::/machine.slice/systemd-nspawn@web1.service/payload/system.slice/nginx.service\n",
            "nginx.service",
            "systemd-nspawn@web1.service",
        ),
        ("0::/../../system.slice/nginx.service\n", "nginx.service", ""),
    ],
)  # fmt: skip
def test_unit_is_the_innermost_one_of_the_most_telling_hierarchy(content, unit, machine):
    assert Place(unit, machine) == parse_cgroup(content.encode())


@given(st.binary())
def test_any_bytes_give_a_place(content):
    assert isinstance(parse_cgroup(content), Place)


@given(st.binary(), st.sampled_from([b"", b"\n"]))
def test_garbage_before_the_line_does_not_hide_the_unit(garbage, end):
    content = garbage.replace(b":", b"") + b"\n0::/system.slice/a.service" + end
    assert parse_cgroup(content).unit == "a.service"
