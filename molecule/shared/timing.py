# ruff: noqa: INP001 - a program of the scenarios
"""timing.py HOSTS...: how long site.yml takes on so many new hosts, and how long the second time.

Prints the rows of the table in ansible/docs/timing.md. Needs root and what `make molecule` sets
up.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NETWORK = "otelauto-timing"
PLAYBOOK = ROOT / ".venv-ansible/bin/ansible-playbook"
ENVIRONMENT = {
    **os.environ,
    "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "ansible/collections"),
    "ANSIBLE_PIPELINING": "true",
    "ANSIBLE_INJECT_FACT_VARS": "false",
    "ANSIBLE_FORKS": "10",
    "ANSIBLE_HOST_KEY_CHECKING": "false",
    "ANSIBLE_NOCOLOR": "1",
}


def inventory(folder: Path, count: int) -> Path:
    """So many hosts with the variables of the scenario ``default``."""
    shutil.copytree(ROOT / "molecule/default/inventory", folder / "inventory")
    shutil.rmtree(folder / "inventory/host_vars")
    hosts = {
        f"web{number}": {
            "ansible_host": f"10.77.0.{10 + number}",
            "machine": f"web{number}=bookworm",
        }
        for number in range(1, count + 1)
    }
    tree = {"all": {"children": {"machines": {"children": {"web": {"hosts": hosts}}}}}}
    (folder / "inventory/hosts.yml").write_text(json.dumps(tree))
    return folder / "inventory"


def play(playbook: Path, where: Path) -> tuple[float, str]:
    """Seconds that a playbook took, and what it printed."""
    given = {"machines_network": NETWORK, "project": str(ROOT)}
    command = [PLAYBOOK, f"--inventory={where}", playbook, "--extra-vars", json.dumps(given)]
    start = time.monotonic()
    done = subprocess.run(
        [str(part) for part in command],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return time.monotonic() - start, done.stdout


def total(output: str, word: str) -> int:
    """The sum of a column of the recap."""
    return sum(map(int, re.findall(rf"\b{word}=(\d+)", output)))


def measure(count: int) -> str:
    """One row: hosts, tasks of a host, seconds and changes of both runs."""
    site = ROOT / "ansible/site.yml"
    with tempfile.TemporaryDirectory() as folder:
        where = inventory(Path(folder), count)
        try:
            for name in ("create", "prepare"):
                play(HERE / f"{name}.yml", where)
            first, output = play(site, where)
            second, again = play(site, where)
        finally:
            subprocess.run([sys.executable, HERE / "machines.py", "down", NETWORK], check=False)
    tasks = total(output, "ok") // count
    return (
        f"| {count} | {tasks} | {first:.0f} | {total(output, 'changed') // count} "
        f"| {second:.0f} | {total(again, 'changed')} |"
    )


if __name__ == "__main__":
    for given in sys.argv[1:]:
        print(measure(int(given)), flush=True)  # noqa: T201
