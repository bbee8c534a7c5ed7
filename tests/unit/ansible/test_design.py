"""The page of the design claims no proof that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests/unit/ansible"
TEXT = (ROOT / "ansible/docs/design.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)


def test_every_weakness_has_its_line():
    assert [str(number) for number in range(1, 26)] == [row[0] for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_proof_exists(row):
    """A file of tests, with the tests that are named after it; or a scenario that CI can run."""
    proofs = 0
    module = ""
    for name in re.findall(r"`([^`]+)`", row[3]):
        if name.startswith("test_") and not (TESTS / f"{name}.py").exists():
            assert f"\ndef {name}(" in module, name
        elif (TESTS / f"{name}.py").exists():
            module = (TESTS / f"{name}.py").read_text()
            proofs += 1
    for names in re.findall(r"scenarios? ((?:`\w+`(?:, | and )?)+)", row[3]):
        for name in re.findall(r"`(\w+)`", names):
            assert (ROOT / "molecule" / name / "molecule.yml").exists(), name
            assert name in re.search(r"^SCENARIOS \?= (.*)$", makefile(), re.MULTILINE)[1].split()
            proofs += 1
    proofs += sum(f"\n{target}:" in makefile() for target in re.findall(r"`make (\S+)`", row[3]))
    assert proofs > 0


def makefile():
    return (ROOT / "Makefile").read_text()
