"""Machines run only where they are asked for, and the reason is said otherwise."""

from __future__ import annotations

import os

import pytest
from tests.vm import gate


def test_they_are_not_run_unless_asked_for(monkeypatch):
    monkeypatch.setenv("OTELAUTO_REQUIRE", "live")
    assert "virtual machines are run by make vm (OTELAUTO_REQUIRE=vm)" == gate.vm_reason()


def test_without_root_the_reason_is_root(monkeypatch):
    monkeypatch.setenv("OTELAUTO_REQUIRE", "vm")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert gate.vm_reason().startswith("needs root")


@pytest.mark.parametrize("missing", gate._PROGRAMS)
def test_a_missing_program_is_a_reason(monkeypatch, missing):
    monkeypatch.setenv("OTELAUTO_REQUIRE", "live, vm")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(gate, "program_reason", lambda *names: missing if missing in names else "")
    assert missing == gate.vm_reason()
