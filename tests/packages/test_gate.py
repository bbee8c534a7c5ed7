"""The gate says why tests of the packages cannot run, and that they must where that is asked."""

from __future__ import annotations

import pytest
from tests.packages import gate


@pytest.mark.parametrize(
    ("value", "expected"),
    [("packages", True), ("live, packages", True), ("live", False), ("", False)],
)
def test_a_list_with_packages_makes_a_skip_a_failure(monkeypatch, value, expected):
    monkeypatch.setenv("OTELAUTO_REQUIRE", value)
    assert expected == gate.required()


def test_missing_programs_are_named(monkeypatch):
    monkeypatch.setattr(gate, "_LINTERS", ("no-such-linter",))
    assert gate.build_reason().startswith("not installed: no-such-linter")
