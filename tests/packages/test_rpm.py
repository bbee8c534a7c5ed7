"""The .rpm installs, upgrades and goes as rpm's rules have it, in a root directory of its own.

The root is a Debian one, since the machine has no other: what is tested is the package and its
scripts, not the distribution's dependencies, which are checked as the package states them.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]


def rpm(machine, *arguments):
    """Run rpm on the root; scripts run in it."""
    command = ["rpm", f"--root={machine.root}", "--nodeps", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert 0 == done.returncode, done.stderr
    assert "scriptlet failed" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def machine(host):
    return host("bookworm", booted=False)


def test_a_life_with_rpm(machine, built, newer):
    etc, home = machine.root / "etc/otelauto", machine.root / "usr/lib/otelauto"
    told = rpm(machine, "--install", str(built.rpm))
    assert "systemctl enable --now otelauto" in told
    assert "" == rpm(machine, "--verify", "otelauto")
    assert f"otelauto {built.version}\n" == machine.run("otelauto", "version")
    assert re.search(r"^otelauto:", (machine.root / "etc/passwd").read_text(), re.MULTILINE)
    assert (
        "640 root otelauto"
        == machine.run("stat", "-c", "%a %U %G", "/etc/otelauto/otelauto.yml").strip()
    )
    assert list(home.rglob("*.pyc"))

    (etc / "otelauto.yml").write_text("ebpf: {open_port: 80}\nnoop: true\n")
    told = rpm(machine, "--upgrade", str(newer.rpm))
    assert "systemctl enable" not in told
    assert f"otelauto {newer.version}\n" == machine.run("otelauto", "version")
    assert "ebpf: {open_port: 80}" in (etc / "otelauto.yml").read_text()
    assert "# A line of a later version." in (etc / "otelauto.yml.rpmnew").read_text()
    assert "# A line of a later version." in (etc / "otelauto.env").read_text()
    assert [] == [path for path in home.rglob("quantiles*") if "test" not in path.name]

    rpm(machine, "--upgrade", "--oldpackage", str(built.rpm))
    assert f"otelauto {built.version}\n" == machine.run("otelauto", "version")

    rpm(machine, "--erase", "otelauto")
    assert not home.exists()
    assert "ebpf: {open_port: 80}" in (etc / "otelauto.yml.rpmsave").read_text()


def test_a_life_with_rpm_and_systemd(host, built, newer):
    """Never started by an installation; restarted once by an upgrade, unless it is refused."""
    machine = host("bookworm")
    for package in (built.rpm, newer.rpm):
        shutil.copy(package, machine.root / "root")

    def state(name="ActiveState"):
        return machine.run("systemctl", "show", "-P", name, "otelauto.service").strip()

    def version():
        page = machine.run("curl", "-sS", "http://127.0.0.1:9400/metrics")
        found = re.search(r'^otelauto_build_info.*otelauto_version="([^"]+)"', page, re.MULTILINE)
        return found[1]

    configuration = machine.root / "etc/otelauto/otelauto.yml"
    machine.run("rpm", "--install", "--nodeps", f"/root/{built.rpm.name}")
    assert "inactive" == state()
    configuration.write_text("ebpf: {open_port: 80}\nprometheus_export: {port: 9400}\n")
    machine.run("systemctl", "enable", "--now", "otelauto")
    pid = state("MainPID")

    good = configuration.read_text()
    configuration.write_text(f"{good}no_such_key: 1\n")
    told = machine.run("rpm", "--upgrade", "--nodeps", f"/root/{newer.rpm.name}")
    assert "otelauto was NOT restarted" in told
    assert (pid, built.version) == (state("MainPID"), version())

    configuration.write_text(good)
    machine.run("rpm", "--upgrade", "--oldpackage", "--nodeps", f"/root/{built.rpm.name}")
    other = state("MainPID")
    assert pid != other
    machine.run("rpm", "--upgrade", "--nodeps", f"/root/{newer.rpm.name}")
    assert newer.version == version()
    journal = machine.run("journalctl", "--unit=otelauto", "--no-pager", "--output=cat")
    assert 3 == len(re.findall("^Started ", journal, re.MULTILINE))

    machine.run("rpm", "--erase", "--nodeps", "otelauto")
    assert ("inactive", "not-found") == (state(), state("LoadState"))
    wants = machine.root / "etc/systemd/system/multi-user.target.wants/otelauto.service"
    assert not wants.is_symlink()


def test_it_needs_what_the_family_calls_it(built):
    command = ["rpm", "-qp", "--requires", str(built.rpm)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stated = {line for line in text.splitlines() if not line.startswith("rpmlib(")}
    python = "(python3 >= 3.10 or python3.12 or python3.11)"
    assert {python, "python3-bcc", "shadow-utils", "util-linux"} == stated


def test_an_old_python_hands_over_to_a_newer_one(machine, built):
    """As on RHEL 9, whose python3 is 3.9: the command is run by the newest that is there."""
    rpm(machine, "--install", str(built.rpm))
    real = machine.run("readlink", "-f", "/usr/bin/python3").strip()
    command = (machine.root / "usr/bin/otelauto").read_text()
    # An interpreter that says that it is old, which is all that the command looks at.
    old = command.replace("sys.version_info < (3, 10)", "not os.environ.get('NEWER')").replace(
        "os.execv(python, ", "os.environ['NEWER'] = '1'; os.execv(python, "
    )
    assert command != old
    (machine.root / "usr/bin/otelauto").write_text(old)
    assert f"otelauto {built.version}\n" == machine.run("otelauto", "version")
    newer = machine.root / real.removeprefix("/")
    newer.rename(newer.with_name("python-of-the-system"))
    (machine.root / "usr/bin/python3").unlink()
    (machine.root / "usr/bin/python3").symlink_to("python-of-the-system")
    code, told = machine.result("otelauto", "version")
    assert (3, True) == (code, "otelauto: needs Python 3.10 or later" in told)
