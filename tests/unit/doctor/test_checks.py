"""Each check passes where all is well and says what to do where it is not."""

from __future__ import annotations

from dataclasses import replace

from otelauto.doctor import checks
from otelauto.kernel.features import probe


def test_the_hooks_are_those_that_the_kernel_allows():
    has = replace(
        probe(), ring_buffer=True, namespace_pid=True, sock_length=True, task_registers=True
    )
    assert "at the socket" in checks.hooks(has).why
    older = replace(has, sock_length=False, sys_exit=True)
    assert "at the end of system calls" in checks.hooks(older).why
    assert "fail" == checks.hooks(replace(older, sys_exit=False)).state
    without = replace(has, ring_buffer=False, errors={"ring_buffer": 22})
    assert "the kernel lacks ring_buffer (EINVAL)" == checks.hooks(without).why


def test_a_container_with_process_ids_of_its_own_is_told(tmp_path, monkeypatch):
    (tmp_path / "run/systemd").mkdir(parents=True)
    (tmp_path / "run/systemd/container").write_text("systemd-nspawn\n")
    monkeypatch.setattr(checks, "first_pid_namespace", lambda _: 4026532000)
    found = checks.container(tmp_path)
    assert ("warn", True) == (found.state, "systemd-nspawn" in found.why)
    assert "processes outside it are not seen" in found.why


def test_a_container_with_the_hosts_process_ids_passes(tmp_path, monkeypatch):
    (tmp_path / ".dockerenv").touch()
    monkeypatch.setattr(checks, "first_pid_namespace", lambda _: None)
    found = checks.container(tmp_path)
    assert ("pass", True) == (found.state, "docker" in found.why)


def test_another_agent_that_counts_the_same_is_told(tmp_path):
    for pid, name in ((7, "nginx"), (8, "beyla")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
    found = checks.agents(tmp_path)
    assert ("warn", True) == (found.state, found.why.startswith("beyla runs"))
    (tmp_path / "8/comm").unlink()
    assert "pass" == checks.agents(tmp_path).state


def test_the_disk_is_that_of_the_nearest_folder_that_is_there(tmp_path):
    assert checks.disk(tmp_path / "not" / "yet").why.endswith(f"at {tmp_path}")


def test_a_low_disk_is_a_warning(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    assert "warn" == checks.disk(tmp_path).state


def test_the_clock_is_asked_and_changes_nothing():
    assert checks.clock().state in {"pass", "warn"}


def test_the_reason_of_a_missing_bcc_is_kept():
    version, reason = checks.toolchain(("/nonexistent/python3",))
    assert ("", True) == (version, reason.startswith("/nonexistent/python3"))


def test_bcc_is_imported_once(tmp_path):
    """Each import costs a process and LLVM."""
    log = tmp_path / "log"
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho run >> {log}\necho 0.26.0 14\n")
    python.chmod(0o755)
    assert ("0.26.0, LLVM 14", "") == checks.toolchain((str(python),))
    assert ["run"] == log.read_text().split()
