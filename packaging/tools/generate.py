"""Writes every generated file from its one source; with --check only tells which are stale.

    .venv/bin/python packaging/tools/generate.py [--check]

A new generated file gets its line in PRODUCERS and nothing else. Each is committed, and says at
its top that it is generated.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cli_page
import metrics_page

ROOT = Path(__file__).resolve().parents[2]

#: A file, and the verb of `otelauto config` that prints it, or what returns its content.
PRODUCERS = {
    "docs/cli.md": cli_page.page,
    "docs/configuration.md": "reference",
    "docs/metrics.md": metrics_page.page,
    "docs/otelauto.schema.json": "schema",
    "packaging/otelauto.yml": "example",
}
PRINT = (
    "import sys; from otelauto.config.command import config_command as run; "
    "sys.exit(run(sys.argv[1], None, {}))"
)


def printed(verb: str) -> bytes:
    """What `otelauto config VERB` prints, with nothing of this environment."""
    command = [sys.executable, "-c", PRINT, verb]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, env={}).stdout


def main() -> int:
    """Exit code 1 if --check found a stale file."""
    check = "--check" in sys.argv[1:]
    layout = [sys.executable, str(ROOT / "packaging/tools/gen_abi.py"), *sys.argv[1:]]
    stale = subprocess.run(layout, check=False).returncode != 0
    for name, source in PRODUCERS.items():
        path = ROOT / name
        new = printed(source) if isinstance(source, str) else source()
        if path.exists() and path.read_bytes() == new:
            continue
        if check:
            stale = True
            sys.stderr.write(f"{name} is stale: run make generate\n")
        else:
            path.write_bytes(new)
            sys.stdout.write(f"wrote {name}\n")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
