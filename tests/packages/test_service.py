"""The packaged service measures a server of its host, as a user without privileges of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import time

import pytest
from tests.packages.image import SUITES

pytestmark = [pytest.mark.packages, pytest.mark.timeout(900)]

UNIT = "otelauto.service"
CAPABILITIES = {"dac_read_search", "sys_ptrace", "perfmon", "bpf"}
PAGE = "http://127.0.0.1:9400/metrics"
SET_UP = ("sed", "-i", r"s/^#\(  open_port:\|prometheus_export:\|  port: 9400\)/\1/")


@pytest.fixture(params=SUITES)
def machine(request, host, built):
    """A booted host on which the package is installed, set to open_port and a Prometheus page."""
    machine = host(request.param)
    shutil.copy(built.deb, machine.root / "root")
    machine.run("apt-get", "install", "-y", f"/root/{built.deb.name}")
    # The administrator's whole work: two comments less.
    machine.run(*SET_UP, "/etc/otelauto/otelauto.yml")
    return machine


def status(machine):
    """/proc/PID/status of the service's main process."""
    pid = machine.run("systemctl", "show", "-P", "MainPID", UNIT).strip()
    text = machine.run("cat", f"/proc/{pid}/status")
    return {
        key: value.strip() for key, _, value in (one.partition(":") for one in text.splitlines())
    }


def capabilities(mask):
    """The names of the bits of a mask."""
    names = {2: "dac_read_search", 19: "sys_ptrace", 38: "perfmon", 39: "bpf"}
    return {names.get(bit, str(bit)) for bit in range(64) if int(mask, 16) >> bit & 1}


def counted(machine, **labels):
    """Requests counted with these labels."""
    total = 0
    for line in machine.run("curl", "-sS", PAGE).splitlines():
        name, _, rest = line.partition("{")
        if name == "http_server_request_duration_seconds_count" and all(
            f'{key}="{value}"' in rest for key, value in labels.items()
        ):
            total += int(float(rest.rpartition(" ")[2]))
    return total


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_a_server_of_the_host_is_measured_by_the_unprivileged_service(machine, request):
    machine.run("systemctl", "restart", UNIT)
    machine.run("bash", "-c", "for i in {1..25}; do curl -sS -o /dev/null http://127.0.0.1/; done")
    machine.run("curl", "-sS", "-o", "/dev/null", "http://127.0.0.1/nothing")
    assert until(lambda: counted(machine, service_name="nginx") == 26)
    assert 25 == counted(machine, service_name="nginx", http_response_status_code="200")
    assert 1 == counted(machine, service_name="nginx", http_response_status_code="404")

    seen = status(machine)
    uid = machine.run("id", "-u", "otelauto").strip()
    assert [uid] * 4 == seen["Uid"].split()
    assert "0" != uid
    for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert capabilities(seen[kind]) == CAPABILITIES, kind
    assert ("1", "2") == (seen["NoNewPrivs"], seen["Seccomp"])
    # The process ids of the kernel's programs are those of the first namespace, not this host's.
    assert 1 < len([line for line in machine.run("pgrep", "nginx").split() if line])

    score = machine.run("systemd-analyze", "security", UNIT, "--no-pager", "--threshold=35")
    print(f"{request.node.callspec.id}: {score.splitlines()[-1].strip()}")  # noqa: T201 - a result
    assert "0 loaded units listed" in machine.run("systemctl", "--failed", "--no-pager")


def test_new_servers_of_other_users_and_restarts_are_followed(machine):
    machine.run("systemctl", "restart", UNIT)
    machine.run(
        *("systemd-run", "--quiet", "--unit=shop", "--uid=nobody", "--property=Restart=always"),
        *("python3", "-m", "http.server", "--directory", "/srv", "8100"),
    )
    assert until(lambda: machine.result("curl", "-sS", "http://127.0.0.1:8100/")[0] == 0)
    machine.run("bash", "-c", "for i in {1..9}; do curl -sS -o /dev/null 127.0.0.1:8100/; done")
    # The first request may have been a moment too early for a new process; the rest is exact.
    assert until(lambda: counted(machine, service_name="shop") in {9, 10})
    before = counted(machine, service_name="shop")
    machine.run("systemctl", "restart", "shop")
    assert until(lambda: machine.result("curl", "-sS", "http://127.0.0.1:8100/")[0] == 0)
    machine.run("bash", "-c", "for i in {1..9}; do curl -sS -o /dev/null 127.0.0.1:8100/; done")
    assert until(lambda: counted(machine, service_name="shop") - before in {9, 10})


@pytest.mark.parametrize("machine", ["bookworm"], indirect=True)
def test_the_environment_file_wins_and_is_not_shown(machine):
    path = machine.root / "etc/otelauto/otelauto.env"
    path.write_text("OPEN_PORT=81\nOTEL_EXPORTER_OTLP_HEADERS=authorization=s3cret\n")
    machine.run("systemctl", "restart", UNIT)
    machine.run("curl", "-sS", "-o", "/dev/null", "http://127.0.0.1/")
    assert 0 == counted(machine)
    journal = machine.run("journalctl", f"--unit={UNIT}", "--no-pager")
    assert "s3cret" not in journal + machine.run("systemctl", "show", UNIT)
    assert "s3cret" not in machine.run("curl", "-sS", PAGE)
    assert (
        "640 root otelauto"
        == machine.run("stat", "-c", "%a %U %G", "/etc/otelauto/otelauto.env").strip()
    )


@pytest.mark.parametrize("machine", ["bookworm"], indirect=True)
def test_what_cannot_heal_is_not_tried_again(machine):
    """A configuration that is not valid: failed at once, with its line, and no loop."""
    with (machine.root / "etc/otelauto/otelauto.yml").open("a") as file:
        file.write("no_such_key: 1\n")
    assert 0 != machine.result("systemctl", "restart", UNIT)[0]
    assert "2" == machine.run("systemctl", "show", "-P", "ExecMainStatus", UNIT).strip()
    time.sleep(7)  # more than RestartSec
    assert "0" == machine.run("systemctl", "show", "-P", "NRestarts", UNIT).strip()
    assert "failed" == machine.result("systemctl", "is-active", UNIT)[1].strip()
    journal = machine.run("journalctl", f"--unit={UNIT}", "--no-pager")
    assert 'unknown key "no_such_key"' in journal


@pytest.mark.parametrize("machine", ["bookworm"], indirect=True)
def test_a_crash_is_restarted_and_a_stop_ends_in_time(machine):
    machine.run("systemctl", "restart", UNIT)
    machine.run("kill", "-KILL", machine.run("systemctl", "show", "-P", "MainPID", UNIT).strip())
    assert until(
        lambda: (
            machine.run("systemctl", "show", "-P", "NRestarts", UNIT).strip() == "1"
            and machine.result("systemctl", "is-active", UNIT)[1].strip() == "active"
        ),
        seconds=40,
    )
    begin = time.monotonic()
    machine.run("systemctl", "stop", UNIT)
    assert time.monotonic() - begin < 15
    assert "success" == machine.run("systemctl", "show", "-P", "Result", UNIT).strip()


@pytest.mark.parametrize("machine", ["bookworm"], indirect=True)
@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("CAP_BPF", "missing: CAP_BPF"),
        ("CAP_PERFMON", "missing: CAP_PERFMON"),
        ("CAP_SYS_PTRACE", "missing: CAP_SYS_PTRACE"),
        ("CAP_DAC_READ_SEARCH", "missing: CAP_DAC_READ_SEARCH"),
    ],
)
def test_each_capability_of_the_unit_is_needed_and_missed_by_name(machine, without, words):
    rest = " ".join(sorted({f"CAP_{name.upper()}" for name in CAPABILITIES} - {without}))
    folder = machine.root / f"etc/systemd/system/{UNIT}.d"
    folder.mkdir()
    (folder / "50-test.conf").write_text(
        f"[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet={rest}\n"
        f"AmbientCapabilities=\nAmbientCapabilities={rest}\n"
    )
    machine.run("systemctl", "daemon-reload")
    code, _ = machine.result("systemctl", "restart", UNIT)
    machine.run("curl", "-sS", "-o", "/dev/null", "http://127.0.0.1/")
    if code == 0:
        assert 0 == counted(machine, service_name="nginx")
    else:
        assert "3" == machine.run("systemctl", "show", "-P", "ExecMainStatus", UNIT).strip()
    assert words in machine.run("journalctl", f"--unit={UNIT}", "--no-pager")


def test_keys_come_as_credentials(machine, tmp_path):
    """As in examples/credentials.conf: files of root, which the service alone is handed."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
    ]
    etc = machine.root / "etc/otelauto"
    subprocess.run(
        [*command, "-keyout", etc / "tls.key", "-out", etc / "tls.crt"], check=True,
        capture_output=True,
    )  # fmt: skip
    (etc / "tls.key").chmod(0o600)
    folder = machine.root / f"etc/systemd/system/{UNIT}.d"
    folder.mkdir()
    example = machine.root / "usr/share/doc/otelauto/examples/credentials.conf"
    shutil.copy(example, folder / "20-credentials.conf")
    directory = "${CREDENTIALS_DIRECTORY}"
    (etc / "otelauto.yml").write_text(
        "ebpf: {open_port: 80}\nprometheus_export:\n  port: 9400\n  tls:\n"
        f"    cert_file: {directory}/tls.crt\n    key_file: {directory}/tls.key\n"
    )
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)
    page = machine.run("curl", "-sSk", "https://127.0.0.1:9400/metrics")
    assert re.search("^otelauto_build_info", page, re.MULTILINE)
    machine.run("systemctl", "reload", UNIT)
