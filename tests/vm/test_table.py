"""The table of the verifiers' figures."""

from __future__ import annotations

from tests.vm.machine import Findings
from tests.vm.table import rows, text

PASSED = {"errno": 0, "instructions": 120, "states": 7}
REFUSED = {"errno": 13, "words": "R1 invalid mem access"}


def found(release, verifier):
    return Findings(release, 1.0, {"verifier": verifier}, {})


def verdicts(compiler, **programs):
    return {"compiler": compiler, "programs": programs}


def test_each_kernel_way_and_compiler_is_a_column():
    old = {"syscall": {"": verdicts("LLVM 14", steps=PASSED), "o": verdicts("LLVM 11")}}
    new = {"sock": {"": verdicts("LLVM 19", steps=PASSED, route=REFUSED)}}
    expected = [
        ["program", "5.10 syscall LLVM 14", "5.10 syscall LLVM 11", "6.12 sock LLVM 19"],
        ["steps", "120 / 7", "-", "120 / 7"],
        ["route", "-", "-", "refused (13)"],
    ]
    assert expected == rows({"a": found("5.10", old), "b": found("6.12", new)})


def test_a_machine_that_could_not_verify_gives_no_column():
    assert [["program"]] == rows({"a": found("5.10", {"syscall": {"error": "no bcc"}})})


def test_columns_are_aligned():
    assert "program      x\nsteps    1 / 2\n" == text([["program", "x"], ["steps", "1 / 2"]])
