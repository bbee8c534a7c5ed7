"""Whether tests of the packages can run on this machine, and why not.

Only checks live here; conftest.py turns a reason into a skip, or into a failure where
OTELAUTO_REQUIRE has "packages".
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.live.gate import live_reason, program_reason

__all__ = ["build_reason", "host_reason", "required"]

_LINTERS = ("lintian", "rpmlint", "rpm", "dpkg-deb", "man", "zsh", "fish")
_REPOSITORIES = ("gpg", "apt-ftparchive", "createrepo_c", "rpmsign")
_HOSTS = ("mmdebstrap", "systemd-nspawn", "nsenter", "unshare")


def required() -> bool:
    """Whether a test that cannot run is a failure."""
    return "packages" in os.environ.get("OTELAUTO_REQUIRE", "").replace(" ", "").split(",")


def build_reason() -> str:
    """Why the packages cannot be built and checked here; empty if they can."""
    return program_reason(*_LINTERS, *_REPOSITORIES)


def host_reason() -> str:
    """Why no host can be booted here; empty if one can."""
    if os.geteuid():
        return "needs root"
    if reason := program_reason(*_HOSTS):
        return reason
    if not Path("/sys/fs/cgroup/cgroup.procs").exists():
        # Older layouts give a booted host no hierarchy of its own.
        mounted = subprocess.run(
            ["findmnt", "-n", "-t", "cgroup2"], capture_output=True, check=False
        )
        if mounted.returncode:
            return "no unified cgroup hierarchy is mounted"
    return live_reason()
