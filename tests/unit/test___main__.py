"""`python -m otelauto` is the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from otelauto import __version__

AGENT = Path(__file__).parents[2] / "agent"


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [
        (["version"], 0, f"otelauto {__version__}\n"),
        (["check", "/does/not/exist.yml"], 2, ""),
    ],
)
def test_the_module_runs_commands_and_gives_their_exit_code(arguments, code, output):
    done = subprocess.run(
        [sys.executable, "-m", "otelauto", *arguments],
        env={"PYTHONPATH": str(AGENT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (code, output) == (done.returncode, done.stdout)
