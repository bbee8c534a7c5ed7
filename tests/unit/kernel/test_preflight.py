from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.unit.kernel.test_layout import blob

from otelauto.kernel import preflight
from otelauto.kernel.preflight import CAPABILITIES, check, import_bcc

RELEASE = "6.1.0-9-amd64"
ALL = frozenset(CAPABILITIES)


def write(path: Path, content: str | bytes = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def capabilities(root: Path, held, *, seccomp: int = 0, last: int = 40) -> None:
    mask = sum(1 << CAPABILITIES[name] for name in held)
    write(root / "proc/self/status", f"Name:\tx\nCapEff:\t{mask:016x}\nSeccomp:\t{seccomp}\n")
    write(root / "proc/sys/kernel/cap_last_cap", f"{last}\n")


@pytest.fixture
def root(tmp_path):
    """A host on which everything is as it should be."""
    write(tmp_path / "etc/os-release", 'ID=debian\nPRETTY_NAME="Debian 12"\n')
    write(tmp_path / "proc/self/uid_map", "         0          0 4294967295\n")
    write(tmp_path / "proc/sys/kernel/perf_event_paranoid", "3\n")
    write(tmp_path / "sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    write(tmp_path / "sys/kernel/btf/vmlinux", blob())
    (tmp_path / "sys/kernel/tracing/events").mkdir(parents=True)
    capabilities(tmp_path, ALL)
    return tmp_path


@pytest.fixture
def as_nobody():
    """A context without root's rights."""
    if os.geteuid() != 0:
        pytest.skip("only root can give up its rights and take them back")

    @contextlib.contextmanager
    def unprivileged():
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return unprivileged


def found(root: Path, **changes):
    members = {
        "release": RELEASE,
        "machine": "x86_64",
        "bcc": lambda _candidates: ("0.26.0", ""),
        "bpf": lambda: 0,
    }
    return {finding.name: finding for finding in check(root=root, **(members | changes))}


def test_a_good_host_has_nothing_to_repair(root):
    findings = found(root)
    assert [] == [finding for finding in findings.values() if not finding.ok]
    assert "" == "".join(finding.remedy for finding in findings.values())
    assert "BCC 0.26.0" == findings["bcc"].why


def test_an_empty_file_system_gives_findings_and_no_error(tmp_path):
    findings = found(tmp_path, bcc=import_bcc, bpf=lambda: errno.EPERM)
    assert {
        "capabilities", "bcc", "bpf", "kernel types", "tracefs", "perf events", "uprobes",
        "other processes",
    } == {
        name for name, finding in findings.items() if not finding.ok
    }  # fmt: skip
    assert all(finding.remedy for finding in findings.values() if not finding.ok)


def test_another_machine_is_refused_by_name(root):
    finding = found(root, machine="riscv64")["machine"]
    assert (False, "this machine is riscv64") == (finding.ok, finding.why)


@pytest.mark.parametrize(
    ("reason", "why", "remedy"),
    [
        (
            "/usr/bin/python3: ModuleNotFoundError: No module named 'bcc'",
            "BCC is not installed",
            "install python3-bpfcc on Debian 12",
        ),
        (
            "/usr/bin/python3: OSError: libLLVM-14.so.1: cannot open shared object file",
            "BCC is installed but broken (/usr/bin/python3: OSError: libLLVM-14.so.1",
            "reinstall python3-bpfcc on Debian 12",
        ),
    ],
)
def test_a_missing_and_a_broken_bcc_are_told_apart(root, reason, why, remedy):
    finding = found(root, bcc=lambda _candidates: ("", reason))["bcc"]
    assert finding.why.startswith(why)
    assert (False, remedy) == (finding.ok, finding.remedy)


def test_bcc_is_left_out_on_request(root):
    assert "bcc" not in found(root, bcc=None)


def python(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_first_interpreter_that_imports_bcc_counts(tmp_path):
    without = python(
        tmp_path, "a", "echo \"ModuleNotFoundError: No module named 'bcc'\" >&2; exit 1"
    )
    broken = python(tmp_path, "b", "echo 'OSError: no library' >&2; exit 1")
    has = python(tmp_path, "c", "echo 0.29.1")
    assert ("0.29.1", "") == import_bcc((without, broken, has))
    assert ("", f"{without}: ModuleNotFoundError: No module named 'bcc'") == import_bcc(
        (without, broken)
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [("exit 3", "status 3"), ("kill -6 $$", "status -6")],
)
def test_an_interpreter_that_says_nothing_is_told_by_its_status(tmp_path, text, reason):
    path = python(tmp_path, "p", text)
    assert ("", f"{path}: {reason}") == import_bcc((path,))


def test_no_interpreter_at_all_is_said():
    assert ("", "there is no python3 under /usr") == import_bcc(())


@pytest.mark.parametrize(
    ("held", "last", "why", "remedy"),
    [
        (
            ALL - {"CAP_SYS_ADMIN", "CAP_PERFMON"},
            40,
            "missing: CAP_PERFMON",
            "CAP_BPF CAP_PERFMON",
        ),
        (frozenset(), 40, "missing: CAP_BPF, CAP_PERFMON", "CAP_BPF CAP_PERFMON"),
        (ALL - {"CAP_SYS_ADMIN"}, 37, "missing: CAP_SYS_ADMIN", "CAP_SYS_ADMIN"),
    ],
)
def test_missing_capabilities_are_named(root, held, last, why, remedy):
    """Case K2; kernels before 5.8 know neither CAP_BPF nor CAP_PERFMON."""
    capabilities(root, held, last=last)
    finding = found(root)["capabilities"]
    assert (False, why) == (finding.ok, finding.why)
    assert finding.remedy.endswith(f"AmbientCapabilities={remedy} in the unit")


@pytest.mark.parametrize("held", [{"CAP_SYS_ADMIN"}, {"CAP_BPF", "CAP_PERFMON"}])
def test_enough_capabilities_are_enough(root, held):
    capabilities(root, held)
    assert found(root)["capabilities"].ok


@pytest.mark.parametrize("ids", ["0 1000 1", "0 0 1", "0 0 65536", "0 100000 65536"])
def test_capabilities_in_a_user_namespace_do_not_count(root, ids):
    """A root who is root outside too is in a namespace all the same if others are missing."""
    write(root / "proc/self/uid_map", f"         {ids}\n")
    finding = found(root)["capabilities"]
    assert (False, True) == (finding.ok, "user namespace" in finding.why)


@pytest.mark.parametrize(
    ("mode", "ok"), [("none", True), ("integrity", True), ("confidentiality", False)]
)
def test_lockdown_forbids_us_in_confidentiality_only(root, mode, ok):
    """Case K2."""
    text = "none integrity confidentiality".replace(mode, f"[{mode}]")
    write(root / "sys/kernel/security/lockdown", f"{text}\n")
    finding = found(root)["lockdown"]
    assert (ok, f"kernel lockdown is {mode}") == (finding.ok, finding.why)


@pytest.mark.parametrize(
    ("number", "seccomp", "held", "remedy"),
    [
        (errno.ENOSYS, 0, ALL, "CONFIG_BPF_SYSCALL"),
        (errno.EPERM, 2, ALL, "SystemCallFilter"),
        (errno.EPERM, 0, ALL, "LimitMEMLOCK=infinity"),
        (errno.EPERM, 0, frozenset(), "see the capabilities above"),
        (errno.EPERM, 2, frozenset(), "see the capabilities above"),
    ],
)
def test_a_refusal_of_bpf_is_traced_to_what_forbids_it(root, number, seccomp, held, remedy):
    capabilities(root, held, seccomp=seccomp)
    finding = found(root, bpf=lambda: number)["bpf"]
    assert (False, True) == (finding.ok, remedy in finding.remedy)
    assert errno.errorcode[number] in finding.why


def test_no_types_and_no_headers_is_one_line_with_kernel_and_package(root):
    """Case K1."""
    (root / "sys/kernel/btf/vmlinux").unlink()
    finding = found(root)["kernel types"]
    assert (
        f"the kernel has no type information, and kernel {RELEASE} has no headers in "
        f"{root}/lib/modules/{RELEASE}/build (package linux-headers-{RELEASE})"
    ) == finding.why
    assert not finding.ok


def test_bundled_headers_need_types(root):
    (root / "sys/kernel/btf/vmlinux").unlink()
    assert "set ebpf.headers to auto" == found(root, mode="bundled")["kernel types"].remedy


def test_matching_headers_replace_types(root):
    (root / "sys/kernel/btf/vmlinux").unlink()
    build = root / "lib/modules" / RELEASE / "build"
    write(build / "include/linux/kconfig.h")
    write(build / "include/config/kernel.release", RELEASE)
    assert found(root)["kernel types"].ok


def test_tracefs_is_found_in_its_old_place_too(root):
    (root / "sys/kernel/tracing/events").rmdir()
    (root / "sys/kernel/debug/tracing/events").mkdir(parents=True)
    assert f"mounted at {root}/sys/kernel/debug/tracing" == found(root)["tracefs"].why


def test_a_missing_tracefs_is_a_finding_with_the_command_and_stops_nothing(root):
    """Case K2."""
    (root / "sys/kernel/tracing/events").rmdir()
    finding = found(root)["tracefs"]
    assert (False, False) == (finding.ok, finding.required)
    assert "mount -t tracefs none /sys/kernel/tracing" == finding.remedy


def test_a_tracefs_that_only_root_may_read_is_told_from_a_missing_one(root, as_nobody):
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is below a folder of root's alone
        host = Path(folder) / "host"
        shutil.copytree(root, host)
        Path(folder).chmod(0o755)
        (host / "sys/kernel/tracing").chmod(0o700)
        with as_nobody():
            finding = found(host)["tracefs"]
    assert (False, True) == (finding.ok, "is not readable" in finding.why)
    assert "CAP_DAC_READ_SEARCH is needed" == finding.remedy


def test_folders_that_are_hidden_from_us_are_findings_and_no_errors(root, as_nobody):
    root.chmod(0)
    with as_nobody():
        findings = found(root)
    root.chmod(0o700)
    assert not findings["kernel types"].ok
    assert not findings["capabilities"].ok


def test_perf_events_need_a_capability(root):
    capabilities(root, {"CAP_BPF"})
    finding = found(root)["perf events"]
    assert (
        False, "kernel.perf_event_paranoid is 3: static tracepoints cannot be used"
    ) == (finding.ok, finding.why)  # fmt: skip


def test_uprobes_need_more_than_the_probes_themselves(root):
    capabilities(root, {"CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"})
    assert ["uprobes"] == [name for name, one in found(root).items() if not one.ok]


def test_what_is_lost_without_a_look_at_other_processes_is_said(root):
    capabilities(root, {"CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"})
    finding = found(root)["other processes"]
    assert (False, False) == (finding.ok, finding.required)
    assert finding.why.startswith("missing: CAP_DAC_READ_SEARCH: services of other users")


def test_damaged_files_are_findings_and_no_errors(root):
    write(root / "proc/self/status", b"\xff\xfe\nCapEff:\tzz\n")
    write(root / "proc/sys/kernel/cap_last_cap", "many\n")
    write(root / "proc/sys/kernel/perf_event_paranoid", "")
    write(root / "sys/kernel/security/lockdown", "")
    findings = found(root)
    assert not findings["capabilities"].ok
    assert findings["lockdown"].ok


def test_the_memory_lock_is_lifted_or_said_not_to_be(monkeypatch):
    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (65536, 65536))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, values: limits.append(values))
    assert preflight.raise_memlock() is True
    assert [(resource.RLIM_INFINITY, resource.RLIM_INFINITY)] == limits

    def refuse(_which, _values):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert preflight.raise_memlock() is False


def test_a_tracefs_that_is_there_is_not_mounted_again(root):
    assert preflight.mount_tracefs(root) is True


@pytest.mark.live
class TestLive:
    def test_this_machine_can_run_the_probes(self):
        assert [] == [one for one in check() if one.required and not one.ok]

    def test_tracefs_is_mounted_where_it_is_missing(self):
        """Case K2, in a mount namespace of its own."""
        code = (
            "from otelauto.kernel.preflight import check, mount_tracefs\n"
            "before = {one.name: one.ok for one in check(bcc=None)}\n"
            "print(before['tracefs'], mount_tracefs(),"
            " {one.name: one.ok for one in check(bcc=None)}['tracefs'])\n"
        )
        hide = "mount --make-rprivate /; umount /sys/kernel/tracing; umount /sys/kernel/debug; "
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", f'{hide} exec "$0" -c "$1"', sys.executable, code],
            env=os.environ | {"PYTHONPATH": "agent"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "False True True" == done.stdout.strip(), done.stderr

    def test_a_seccomp_filter_is_named(self):
        """Case K2: as SystemCallFilter without bpf does it."""
        code = """
import ctypes, struct
from otelauto.kernel import syscalls
from otelauto.kernel.preflight import check
libc = ctypes.CDLL(None)
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
number, _ = syscalls._numbers()
# Load the number; if it is bpf's, EPERM, else allow (seccomp(2)).
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
holder = ctypes.create_string_buffer(struct.pack("=H6xQ", 4, ctypes.addressof(program)))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.addressof(holder), 0, 0) == 0
print({one.name: (one.why, one.remedy) for one in check(bcc=None) if not one.ok})
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": "agent"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "a seccomp filter is active" in done.stdout, done.stderr
        assert "add bpf and perf_event_open to SystemCallFilter" in done.stdout

    def test_dropped_capabilities_are_named(self):
        """Case K2: the privilege is really taken away."""
        code = (
            "from otelauto.kernel.preflight import check\n"
            "print({one.name: one.why for one in check(bcc=None) if not one.ok})\n"
        )
        done = subprocess.run(
            ["setpriv", "--bounding-set=-all,+bpf", "--inh-caps=-all", sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": "agent"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "'capabilities': 'missing: CAP_PERFMON'" in done.stdout, done.stderr
