"""Runs a playbook with the collection of this checkout on this machine, changing nothing there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.conftest import required

ROOT = Path(__file__).resolve().parents[3]
ANSIBLE = ROOT / ".venv-ansible" / "bin" / "ansible-playbook"


def need_ansible():
    """Skip where `make setup-ansible` has not been run; fail where these tests are required."""
    if not ANSIBLE.exists():
        reason = "no .venv-ansible: run make setup-ansible"
        if required("molecule"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def run_play(plays, inventory, folder, *, extra=None, arguments=()):
    """The finished process of ansible-playbook on the plays."""
    need_ansible()
    playbook = folder / "play.yml"
    playbook.write_text(json.dumps(plays))
    variables = folder / "extra.json"
    given = {"ansible_python_interpreter": "/usr/bin/python3", **(extra or {})}
    variables.write_text(json.dumps(given))
    command = [ANSIBLE, playbook, "-i", inventory, "-e", f"@{variables}", *arguments]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_INJECT_FACT_VARS": "False",
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }
    return subprocess.run(
        [str(part) for part in command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
