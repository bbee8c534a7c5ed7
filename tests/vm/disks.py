"""The disks of a virtual machine: a Debian root, and what is tested on it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from pathlib import Path

from tests.vm.cache import built, called, mirrors

__all__ = ["PYTHON", "payload_disk", "root_disk"]

ROOT = Path(__file__).resolve().parents[2]
#: The Python of each suite that the agent runs on.
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}

_PACKAGES = "python3-bpfcc,nginx-light,curl,iproute2,procps,busybox-static"
_OPTIONS = (
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("locale", "doc", "man")),
)
#: Beside the agent's own requirements.
_FOR_TESTS = ("pytest>=8.0", "pytest-timeout>=2.3", "hypothesis>=6.90", "trustme>=1.1")
_SOURCES = ("agent", "bpf", "tests", "pyproject.toml")


def root_disk(suite: str) -> Path:
    """A file system with a Debian system; built if it is not there yet.

    Raises:
        BuildError: it cannot be built.
    """
    recipe = (suite, _PACKAGES, _OPTIONS, 1)
    return built(f"root-{suite}", recipe, lambda to: _build_root(suite, to)) / "disk"


def _build_root(suite: str, folder: Path) -> None:
    root = folder / "root"
    command = [
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
        *("--components=main", f"--include={_PACKAGES}", *_OPTIONS),
        "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr",
        *(suite, str(root), *mirrors(suite)),
    ]
    called(command)
    (root / "payload").mkdir()
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (root / "etc/machine-id").write_text("")
    _make_disk(root, folder / "disk", size="3G")
    shutil.rmtree(root)


def _make_disk(tree: Path, disk: Path, *, size: str) -> None:
    disk.unlink(missing_ok=True)
    with disk.open("wb"):
        os.truncate(disk, 0)
    features = "^has_journal,^metadata_csum"
    called(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", features, "-d", str(tree), str(disk), size])


def _site_packages(suite: str) -> Path:
    """What the agent and the tests import, for the suite's Python."""
    wanted = [
        line for line in importlib.metadata.requires("otelauto") or () if "extra ==" not in line
    ]
    platforms = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"),
        *("--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp"),
        *(f"--platform={name}" for name in platforms),
        f"--python-version={PYTHON[suite]}",
        *(*wanted, *_FOR_TESTS),
    ]
    return built(
        f"python-{suite}",
        (suite, command[1:], 1),
        lambda to: called([*command, f"--target={to}"]) and None,
    )


def payload_disk(suite: str, disk: Path) -> None:
    """Write the disk with this checkout, the load generator and what they import.

    Raises:
        BuildError: it cannot be made.
    """
    tree = disk.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    leave = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for name in _SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=leave)
        else:
            shutil.copy(source, tree / name)
    shutil.copytree(_site_packages(suite), tree / "site-packages")
    # It runs on any of the suites: none of them has a compiler.
    loadgen = ROOT / "tests/load/loadgen.c"
    called(["gcc", "-O2", "-static", "-o", str(tree / "loadgen"), str(loadgen)])
    shutil.copy(ROOT / "tests/vm/guest/init", tree / "init")
    (tree / "init").chmod(0o755)
    # Where tests find the agent in a checkout.
    (tree / ".venv/bin").mkdir(parents=True)
    agent = tree / ".venv/bin/otelauto"
    agent.write_text('#!/bin/sh\nexec /usr/bin/python3 -m otelauto "$@"\n')
    agent.chmod(0o755)
    _make_disk(tree, disk, size="400M")
    shutil.rmtree(tree)
