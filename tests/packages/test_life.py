"""Installed, upgraded, downgraded, removed and purged: on hosts with systemd and without it."""

from __future__ import annotations

import re
import shutil
import time

import pytest
from tests.packages.image import SUITES

pytestmark = [pytest.mark.packages, pytest.mark.timeout(900)]

UNIT = "otelauto.service"
CONFIGURATION = """\
ebpf:
  open_port: 80
prometheus_export:
  port: 9400
"""
#: Files of a host that a package's life must not change, as paths below its root.
SYSTEM = ("etc", "usr", "var/lib/systemd", "root", "opt", "srv")


def give(host, built):
    """Copy the .deb to the host; its path there."""
    shutil.copy(built.deb, host.root / "root")
    return f"/root/{built.deb.name}"


def install(host, built, *options):
    return host.run("apt-get", "install", "-y", *options, give(host, built))


def configure(host, text=CONFIGURATION):
    """Write the configuration as an editor does: into the file that is there."""
    (host.root / "etc/otelauto/otelauto.yml").write_text(text)


def state(host):
    return host.result("systemctl", "is-active", UNIT)[1].strip()


def shown(host, name):
    return host.run("systemctl", "show", f"--property={name}", "--value", UNIT).strip()


def starts(host):
    """How often the service has been started, as the journal has it."""
    text = host.run("journalctl", f"--unit={UNIT}", "--no-pager", "--output=cat")
    return len(re.findall(r"^Started ", text, re.MULTILINE))


def version(host):
    """The version that runs, as it says of itself."""
    page = host.run("curl", "-sS", "--retry", "3", "http://127.0.0.1:9400/metrics")
    found = re.search(r'^otelauto_build_info\{.*otelauto_version="([^"]+)"', page, re.MULTILINE)
    return found[1] if found else page


def files(host):
    """What is in the host's folders for software and configuration, by path, without our names."""
    return {
        str(path.relative_to(host.root))
        for folder in SYSTEM
        for path in (host.root / folder).rglob("*")
        if path.is_file() or path.is_symlink()
    }


def ours(host):
    """What of otelauto is on the host, but what dpkg itself remembers, and the .deb."""
    return {
        name
        for name in host.run(
            *("find", "/etc", "/usr", "/var", "/run", "/opt", "-xdev", "-path", "*otelauto*")
        ).split("\n")
        if name and not name.startswith(("/var/lib/dpkg/", "/var/log/", "/var/cache/apt"))
    }


@pytest.mark.parametrize("suite", SUITES)
def test_a_life_with_systemd(suite, host, built, newer):
    """Install, configure, upgrade, downgrade, remove, install again, purge."""
    machine = host(suite)
    before = files(machine)

    # A fresh installation selects nothing: no failure, and it says what to do.
    told = install(machine, built)
    assert "Select something in /etc/otelauto/otelauto.yml" in told
    assert ("inactive", "exec-condition") == (state(machine), shown(machine, "Result"))
    assert "enabled" == machine.run("systemctl", "is-enabled", UNIT).strip()
    assert "0 loaded units listed" in machine.run("systemctl", "--failed", "--no-pager")
    journal = machine.run("journalctl", f"--unit={UNIT}", "--no-pager")
    assert "not started: /etc/otelauto/otelauto.yml: nothing is selected" in journal

    configure(machine)
    machine.run("systemctl", "restart", UNIT)
    assert (built.version, 1) == (version(machine), starts(machine))

    # An upgrade restarts once, keeps what was edited and takes what was not.
    told = install(
        machine, newer, "-oDpkg::Options::=--force-confdef", "-oDpkg::Options::=--force-confold"
    )
    assert (newer.version, 2) == (version(machine), starts(machine))
    etc = machine.root / "etc/otelauto"
    assert CONFIGURATION == (etc / "otelauto.yml").read_text()
    assert "# A line of a later version." in (etc / "otelauto.yml.dpkg-dist").read_text()
    assert "# A line of a later version." in (etc / "otelauto.env").read_text()
    assert (
        "640 root otelauto"
        == machine.run("stat", "-c", "%a %U %G", "/etc/otelauto/otelauto.yml").strip()
    )
    pid = shown(machine, "MainPID")
    assert "(deleted)" not in machine.run("ls", "-l", f"/proc/{pid}/exe", f"/proc/{pid}/fd")
    home = machine.root / "usr/lib/otelauto/agent/otelauto/metrics"
    assert ["quantile.py"] == [path.name for path in home.glob("quantile*.py")]
    assert [] == list(home.rglob("quantiles*"))

    # The same version again, and an older one.
    install(machine, newer, "--reinstall")
    assert (newer.version, 3) == (version(machine), starts(machine))
    install(machine, built, "--allow-downgrades", "-oDpkg::Options::=--force-confold")
    assert (built.version, 4) == (version(machine), starts(machine))

    # A removal stops and disables it, and keeps the configuration.
    machine.run("apt-get", "remove", "-y", "otelauto")
    assert "inactive" == state(machine)
    assert "masked" == machine.result("systemctl", "is-enabled", UNIT)[1].strip()
    assert CONFIGURATION == (etc / "otelauto.yml").read_text()
    assert not (machine.root / "usr/lib/otelauto").exists()
    assert "" == machine.run("pgrep", "-f", "usr/bin/otelauto", check=False)

    # Installed again with its configuration there, it starts.
    install(machine, built, "-oDpkg::Options::=--force-confold")
    assert built.version == version(machine)

    machine.run("apt-get", "purge", "-y", "otelauto")
    assert {"/etc/systemd/system/multi-user.target.wants/otelauto.service"} & ours(
        machine
    ) == set()
    assert set() == ours(machine)
    assert "not-found" == machine.run("systemctl", "show", "-P", "LoadState", UNIT).strip()
    left = {
        name
        for name in files(machine) - before
        if not re.match(r"etc/(passwd|group|g?shadow|subuid|subgid)-?$|root/otelauto_", name)
    }
    assert set() == left


def test_an_upgrade_leaves_a_service_alone_whose_configuration_it_refuses(host, built, newer):
    machine = host("bookworm")
    install(machine, built)
    configure(machine)
    machine.run("systemctl", "restart", UNIT)
    pid = shown(machine, "MainPID")
    configure(machine, CONFIGURATION + "no_such_key: 1\n")

    told = install(machine, newer, "-oDpkg::Options::=--force-confold")
    assert "otelauto was NOT restarted" in told
    assert (pid, "active") == (shown(machine, "MainPID"), state(machine))
    assert built.version == version(machine)

    # A reload is refused in the same way, and says so.
    code, told = machine.result("systemctl", "reload", UNIT)
    assert 0 != code
    assert (pid, "active") == (shown(machine, "MainPID"), state(machine))

    configure(machine)
    machine.run("systemctl", "restart", UNIT)
    assert newer.version == version(machine)


def test_an_upgrade_does_not_start_what_was_stopped_or_disabled(host, built, newer):
    machine = host("bookworm")
    install(machine, built)
    configure(machine)
    machine.run("systemctl", "disable", "--now", UNIT)
    install(machine, newer, "-oDpkg::Options::=--force-confold")
    assert "inactive" == state(machine)
    assert "disabled" == machine.result("systemctl", "is-enabled", UNIT)[1].strip()


def test_files_that_an_administrator_deleted_or_added_stay_so(host, built, newer):
    machine = host("bookworm")
    install(machine, built)
    etc = machine.root / "etc/otelauto"
    (etc / "otelauto.env").unlink()
    (etc / "tls.key").write_text("a key\n")
    (machine.root / "srv/routes").mkdir()
    (machine.root / "srv/routes/learned").write_text("state that was put elsewhere\n")
    (etc / "otelauto.yml").chmod(0o600)
    (etc / "otelauto.yml").write_text(CONFIGURATION)

    install(machine, newer, "-oDpkg::Options::=--force-confold")
    assert not (etc / "otelauto.env").exists()
    assert 0o600 == (etc / "otelauto.yml").stat().st_mode & 0o777

    machine.run("apt-get", "purge", "-y", "otelauto")
    assert ["tls.key"] == [path.name for path in etc.iterdir()]
    assert (machine.root / "srv/routes/learned").exists()


def test_a_policy_that_forbids_starts_is_obeyed(host, built):
    machine = host("bookworm")
    policy = machine.root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    install(machine, built)
    assert "" == machine.run("journalctl", f"--unit={UNIT}", "--no-pager", "--quiet")
    machine.run("apt-get", "purge", "-y", "otelauto")


@pytest.mark.parametrize("suite", SUITES)
def test_a_life_without_systemd(suite, host, built, newer):
    """As in a container or a chroot: everything ends well, and nothing is left."""
    machine = host(suite, booted=False)
    before = files(machine)
    install(machine, built)
    assert f"otelauto {built.version}\n" == machine.run("otelauto", "version")
    code, told = machine.result("otelauto", "check", "/etc/otelauto/otelauto.yml")
    assert (2, True) == (code, "nothing is selected" in told)
    # Root may run it: it writes nothing below /usr.
    assert set() == {
        name
        for name in files(machine) - before
        if name.endswith(".pyc") and "otelauto" not in name
    }
    install(machine, newer)
    assert f"otelauto {newer.version}\n" == machine.run("otelauto", "version")
    install(machine, built, "--allow-downgrades")
    machine.run("apt-get", "remove", "-y", "otelauto")
    install(machine, built)
    machine.run("apt-get", "purge", "-y", "otelauto")
    assert set() == ours(machine)


@pytest.mark.parametrize("suite", SUITES)
def test_modules_are_compiled_for_the_interpreter_that_runs_them(suite, host, built):
    machine = host(suite, booted=False)
    install(machine, built)
    home = machine.root / "usr/lib/otelauto"
    tag = machine.run("python3", "-c", "import sys; print(sys.implementation.cache_tag)").strip()
    compiled = {path.name.split(".")[-2] for path in home.rglob("*.pyc")}
    assert {tag} == compiled
    modules = sum(1 for path in home.rglob("*.py"))
    assert modules == sum(1 for path in home.rglob("*.pyc"))

    # Removed with the next change of Debian's default Python, and made again.
    machine.run("/usr/share/python3/runtime.d/otelauto.rtupdate", "rtupdate", "3.1", "3.2")
    assert modules == sum(1 for path in home.rglob("*.pyc"))
    begin = time.monotonic()
    machine.run("otelauto", "version")
    assert time.monotonic() - begin < 10
