"""A live test that cannot run is a skip with its reason, or a failure where it is required."""

from __future__ import annotations

import os
import subprocess

import pytest
from tests import conftest
from tests.live import gate


def test_without_root_the_reason_is_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" == gate.live_reason()


def test_a_kernel_that_refuses_is_a_reason(monkeypatch):
    def refuse(command, attributes):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(gate, "bpf_syscall", refuse)
    assert "Operation not permitted" in gate._bpf_reason()


def test_a_python_without_bcc_is_a_reason(monkeypatch, tmp_path):
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    monkeypatch.setattr(gate, "DISTRIBUTION_PYTHON", str(python))
    assert f"{python} has no bcc: install python3-bpfcc" == gate._bcc_reason()


def test_tracefs_is_mounted_where_it_is_missing_or_the_reason_is_mounts_own(monkeypatch, tmp_path):
    calls = []

    def mount(argv, **_):
        calls.append(argv)
        return subprocess.CompletedProcess(argv, 32, b"", b"mount: denied\n")

    monkeypatch.setattr(gate, "TRACEFS", tmp_path)
    monkeypatch.setattr(subprocess, "run", mount)
    assert f"tracefs is not mounted on {tmp_path}: mount: denied" == gate._tracefs_reason()
    assert [["mount", "-t", "tracefs", "tracefs", str(tmp_path)]] == calls


def test_it_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.setenv("OTELAUTO_REQUIRE", "molecule,vm")
    with pytest.raises(pytest.skip.Exception, match="no kernel"):
        conftest.cannot_run("no kernel")


@pytest.mark.parametrize("value", ["live", "vm, live", "live,vm"])
def test_it_fails_where_it_is_required(monkeypatch, value):
    monkeypatch.setenv("OTELAUTO_REQUIRE", value)
    with pytest.raises(pytest.fail.Exception, match="no kernel"):
        conftest.cannot_run("no kernel")


def test_a_missing_program_is_named():
    assert "not installed: no-such-program (make setup-test)" == gate.program_reason(
        "no-such-program"
    )
