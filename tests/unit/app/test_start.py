"""The ways of hooking are tried in their order, each is proved, and what fails leaves nothing."""

from __future__ import annotations

import dataclasses
import errno

import pytest
from tests.unit.app.doubles import FakeKernel, Log

from otelauto.app import start
from otelauto.app.start import bring_up, ways
from otelauto.errors import CannotInstrumentError, LoadError, SelfTestError
from otelauto.kernel.features import Features
from otelauto.kernel.preflight import Finding
from otelauto.kernel.programs import KernelSettings

NAMES = {field.name for field in dataclasses.fields(Features)} - {"possible_cpus", "errors"}
NOTHING = Features(**dict.fromkeys(NAMES, False), possible_cpus=2)
SOCK = dataclasses.replace(NOTHING, sock_length=True, task_registers=True)
BOTH = dataclasses.replace(SOCK, sys_exit=True)
SETTINGS = KernelSettings("auto", (0.1,), (0,), (0,), 100, 100, 7)


@pytest.mark.parametrize(
    ("setting", "found", "expected"),
    [
        ("auto", BOTH, ("sock", "syscall")),
        ("sock", BOTH, ("sock",)),
        ("syscall", BOTH, ("syscall",)),
        ("auto", SOCK, ("sock",)),
        ("auto", dataclasses.replace(BOTH, task_registers=False), ("syscall",)),
        ("auto", dataclasses.replace(BOTH, sock_length=False), ("syscall",)),
    ],
)
def test_the_ways_are_those_that_the_kernel_and_the_setting_allow_best_first(
    setting, found, expected
):
    assert expected == ways(setting, found)


@pytest.mark.parametrize(
    ("setting", "lacking", "hint"),
    [
        ("auto", "sock_length (ENOENT), sys_exit (EPERM)", "Linux 5.10 or newer"),
        ("sock", "sock_length (ENOENT)", "set ebpf.hook to auto"),
        ("syscall", "sys_exit (EPERM)", "set ebpf.hook to auto"),
    ],
)
def test_without_a_way_it_is_said_what_the_kernel_lacks_for_it_and_nothing_else(
    setting, lacking, hint
):
    errors = {"sock_length": errno.ENOENT, "sys_exit": errno.EPERM, "kprobes": errno.ENOENT}
    found = dataclasses.replace(NOTHING, task_registers=True, errors=errors)
    with pytest.raises(CannotInstrumentError) as caught:
        ways(setting, found)
    assert caught.value.message.endswith(f"for ebpf.hook: {setting}; it lacks {lacking}")
    assert hint in caught.value.hint


class Host:
    """What bring_up() does to a host, in order, and what goes wrong."""

    def __init__(self):
        self.done, self.kernels = [], []
        self.features, self.findings = BOTH, [Finding("root", ok=True)]
        self.mounts = True
        self.load_errors, self.test_errors = {}, {}

    def kernel(self, settings, way):
        self.done.append(f"load {way}")
        assert settings is SETTINGS
        if way in self.load_errors:
            raise self.load_errors[way]
        kernel = FakeKernel()
        kernel.way = way
        self.kernels.append(kernel)
        return kernel

    def test(self, kernel):
        self.done.append(f"test {kernel.way}")
        if kernel.way in self.test_errors:
            raise self.test_errors[kernel.way]

    def check(self, *, mode, bcc):
        assert (SETTINGS.headers, None) == (mode, bcc)
        self.done.append("check")
        return self.findings

    def mount(self):
        self.done.append("tracefs")
        return self.mounts


@pytest.fixture
def host(monkeypatch):
    host = Host()
    monkeypatch.setattr(start, "Kernel", host.kernel)
    monkeypatch.setattr(start, "run_self_test", host.test)
    monkeypatch.setattr(start.preflight, "check", host.check)
    monkeypatch.setattr(start.preflight, "mount_tracefs", host.mount)
    monkeypatch.setattr(start.preflight, "raise_memlock", lambda: host.done.append("memlock"))
    monkeypatch.setattr(start.features, "probe", lambda: host.features)
    return host


@pytest.fixture
def log():
    return Log()


def test_the_host_is_checked_first_and_the_best_way_is_taken_if_it_passes(host, config, log):
    kernel, results = bring_up(config(), SETTINGS, log)
    assert ["memlock", "tracefs", "check", "load sock", "test sock"] == host.done
    assert ("sock", {"sock": True}) == (kernel.way, results)
    assert not kernel.closed
    assert [] == log.said


def test_a_way_that_reports_rubbish_is_closed_and_the_next_one_taken(host, config, log):
    host.test_errors["sock"] = SelfTestError("seen as nothing")
    kernel, results = bring_up(config(), SETTINGS, log)
    assert ("syscall", {"sock": False, "syscall": True}) == (kernel.way, results)
    assert [True, False] == [kernel.closed for kernel in host.kernels]
    ((level, event, fields),) = log.said
    assert ("warning", "this way of hooking does not work") == (level, event)
    assert {"hook": "sock", "reason": "seen as nothing"} == fields


def test_a_way_that_does_not_load_was_never_tested(host, config, log):
    host.load_errors["sock"] = LoadError("the verifier refused it")
    kernel, results = bring_up(config(), SETTINGS, log)
    assert ("syscall", {"syscall": True}) == (kernel.way, results)


def test_if_no_way_works_the_first_reason_is_the_error_and_nothing_stays(host, config, log):
    host.test_errors = {"sock": SelfTestError("first"), "syscall": SelfTestError("second")}
    with pytest.raises(SelfTestError, match="first"):
        bring_up(config(), SETTINGS, log)
    assert [True, True] == [kernel.closed for kernel in host.kernels]


def test_a_forced_way_has_no_second(host, config, log):
    host.test_errors["syscall"] = SelfTestError("wrong")
    with pytest.raises(SelfTestError, match="wrong"):
        bring_up(config("ebpf: {hook: syscall, open_port: 80}\n"), SETTINGS, log)
    assert "load sock" not in host.done


def test_a_fault_of_the_agent_itself_is_no_reason_to_try_another_way(host, config, log):
    host.test_errors["sock"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        bring_up(config(), SETTINGS, log)
    assert [True] == [kernel.closed for kernel in host.kernels]


def test_what_must_be_and_is_not_ends_the_start_before_anything_is_loaded(host, config, log):
    host.findings = [
        Finding("kernel", ok=True),
        Finding("bcc", ok=False, why="python3 has no bcc", remedy="apt-get install python3-bpfcc"),
    ]
    with pytest.raises(CannotInstrumentError) as caught:
        bring_up(config(), SETTINGS, log)
    assert ("bcc: python3 has no bcc", "apt-get install python3-bpfcc") == (
        caught.value.message,
        caught.value.hint,
    )
    assert ["memlock", "tracefs", "check"] == host.done


def test_what_the_agent_works_without_is_said_with_its_remedy(host, config, log):
    host.findings = [
        Finding("ptrace", ok=False, why="no ports", remedy="give CAP_SYS_PTRACE", required=False),
        Finding("uprobes", ok=False, why="not used yet", required=False),
    ]
    bring_up(config(), SETTINGS, log)
    expected = {"check": "ptrace", "why": "no ports", "remedy": "give CAP_SYS_PTRACE"}
    assert [("warning", "limited", expected)] == log.said


def test_without_tracefs_the_start_goes_on(host, config, log):
    host.mounts = False
    bring_up(config(), SETTINGS, log)
    assert ["tracefs is not mounted and cannot be mounted"] == log.events("debug")
