"""Where the built parts of virtual machines are kept, and how each is built once.

A part is named by its recipe: a change of the recipe makes another one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BuildError", "built", "called", "mirrors"]

_FALLBACK = ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")


class BuildError(Exception):
    """A part of a virtual machine cannot be built."""


def built(name: str, recipe: object, build: Callable[[Path], None]) -> Path:
    """The folder of a part; build(folder) fills it if it is not there yet.

    Raises:
        BuildError: from build.
    """
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(base, "otelauto", "vm")
    cache.mkdir(parents=True, exist_ok=True)
    done = cache / f"{name}-{key}"
    # Two runs at once build it once.
    with (cache / f"{done.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            scratch = cache / f"{done.name}.new"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                build(scratch)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
            scratch.rename(done)
    return done


def called(command: Sequence[str], *, cwd: Path | None = None, stdin: bytes = b"") -> str:
    """Run a command; its output.

    Raises:
        BuildError: it failed; says the last lines of what it printed.
    """
    # Packages of kernels would build an initramfs that nobody uses.
    environment = {**os.environ, "INITRD": "No", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, input=stdin, capture_output=True, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        raise BuildError(f"{command[0]} failed with {done.returncode}:\n{said}")
    return done.stdout.decode(errors="replace")


def mirrors(suite: str) -> tuple[str, ...]:
    """Lines of a sources.list, with the mirrors that this machine's own apt uses."""
    text = ""
    for pattern in ("sources.list", "sources.list.d/*"):
        for path in Path("/etc/apt").glob(pattern):
            if path.is_file():
                text += path.read_text(errors="replace") + "\n"
    debian = re.search(r"https?://\S+/debian/?(?=\s|$)", text)
    security = re.search(r"https?://\S+/debian-security/?(?=\s|$)", text)
    main = debian[0] if debian else _FALLBACK[0]
    return (
        f"deb {main} {suite} main",
        f"deb {main} {suite}-updates main",
        f"deb {security[0] if security else _FALLBACK[1]} {suite}-security main",
    )
