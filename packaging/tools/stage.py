"""The tree of files that a package installs, below one folder, and nothing else.

Everything of it comes from the repository and from verified wheels; modes are set here, times are
those of the source (SOURCE_DATE_EPOCH).
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import manuals
import sbom
import vendor

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
HOME = "usr/lib/otelauto"
DOC = "usr/share/doc/otelauto"
#: The interpreter whose wheels are taken where they differ; only their pure parts are.
PYTHON = "3.10"
#: For which versions of Python the gRPC package has a build of it.
GRPC_PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

_NOTHING_YET = """\
#
# Nothing is instrumented until something is selected here, with ebpf.open_port or
# discovery.instrument; until then the service is not started.
#
"""


def agent(root: Path, *, machine: str, version: str, epoch: int) -> tuple[vendor.Wheel, ...]:
    """Stage the package `otelauto`; the wheels that went into it."""
    shutil.copytree(
        ROOT / "agent/otelauto",
        root / HOME / "agent/otelauto",
        ignore=shutil.ignore_patterns("__pycache__", "_bpf"),
    )
    shutil.copytree(ROOT / "bpf", root / HOME / "agent/otelauto/_bpf")
    _put(root, f"{HOME}/bytecode", (PACKAGING / "bin/bytecode").read_bytes(), mode=0o755)
    _put(root, "usr/bin/otelauto", (PACKAGING / "bin/otelauto").read_bytes(), mode=0o755)
    wheels = vendor.wheels("agent.txt", python=PYTHON, machine=machine)
    for wheel in wheels:
        vendor.unpack(wheel, root / HOME / "vendor")
    systemd = PACKAGING / "systemd"
    _copy(root, "usr/lib/systemd/system/otelauto.service", systemd / "otelauto.service")
    _copy(root, "usr/lib/sysusers.d/otelauto.conf", systemd / "sysusers.conf")
    configuration = inactive((PACKAGING / "otelauto.yml").read_text())
    _put(root, "etc/otelauto/otelauto.yml", configuration.encode(), mode=0o640)
    environment = (PACKAGING / "etc/otelauto.env").read_bytes()
    _put(root, "etc/otelauto/otelauto.env", environment, mode=0o640)
    _put(
        root, "usr/share/bash-completion/completions/otelauto", manuals.bash_completion().encode()
    )
    _put(root, "usr/share/zsh/otelauto", manuals.zsh_completion().encode())
    _put(root, "usr/share/fish/otelauto", manuals.fish_completion().encode())
    date = sbom.day(epoch)
    _zip(root, "usr/share/man/man1/otelauto.1.gz", manuals.command_page(date))
    _zip(root, "usr/share/man/man5/otelauto.yml.5.gz", manuals.configuration_page(date))
    _put(root, "usr/share/licenses/otelauto/LICENSE", (ROOT / "LICENSE").read_bytes())
    _documents(root, wheels, version=version, epoch=epoch)
    _settle(root)
    return wheels


def grpc(root: Path, *, machine: str, **_: object) -> tuple[vendor.Wheel, ...]:
    """Stage the package `otelauto-grpc`; the wheels that went into it."""
    found = []
    for python in GRPC_PYTHONS:
        folder = root / HOME / "grpc" / f"cp{python.replace('.', '')}"
        for wheel in vendor.wheels("grpc.txt", python=python, machine=machine):
            vendor.unpack(wheel, folder, any_python=False)
            found.append(wheel)
    folder = "usr/share/doc/otelauto-grpc"
    _put(root, f"{folder}/copyright", sbom.copyright_text(found[:1], own=False).encode())
    _settle(root)
    return tuple(found)


def changelog(version: str, epoch: int) -> str:
    """The packages' own changelog, in nfpm's form; what changed for users is in CHANGELOG.md."""
    time = dt.datetime.fromtimestamp(epoch, dt.timezone.utc)
    return (
        f"- semver: {version}-1\n  date: {time:%Y-%m-%dT%H:%M:%SZ}\n"
        "  packager: The otelauto authors <maintainers@otelauto.example>\n"
        "  deb:\n    urgency: medium\n    distributions: [stable]\n"
        f"  changes:\n    - note: Version {version}; see changelog.gz of the package otelauto.\n"
    )


def inactive(example: str) -> str:
    """The commented example, without the selector that is active in it.

    Raises:
        ValueError: the example has none, or several.
    """
    lines = example.splitlines(keepends=True)
    active = [number for number, line in enumerate(lines) if line.startswith("  open_port:")]
    if len(active) != 1:
        raise ValueError(f"packaging/otelauto.yml has {len(active)} active lines with open_port")
    lines[active[0]] = f"#{lines[active[0]]}"
    head = next(number for number, line in enumerate(lines) if line.startswith("# Values may"))
    return "".join([*lines[: head + 1], _NOTHING_YET, *lines[head + 1 :]])


def _documents(root: Path, wheels: Iterable[vendor.Wheel], *, version: str, epoch: int) -> None:
    wheels = tuple(wheels)
    bill = sbom.cyclonedx("otelauto", version, wheels, epoch=epoch)
    _put(root, f"{DOC}/otelauto.cdx.json", (json.dumps(bill, indent=1) + "\n").encode())
    _put(root, f"{DOC}/copyright", sbom.copyright_text(wheels, own=True).encode())
    for path in sorted((PACKAGING / "examples").iterdir()):
        _copy(root, f"{DOC}/examples/{path.name}", path)
    _copy(root, f"{DOC}/examples/otelauto.container", PACKAGING / "container/otelauto.container")
    _zip(root, f"{DOC}/changelog.gz", (ROOT / "CHANGELOG.md").read_text())
    _copy(root, f"{DOC}/configuration.md", ROOT / "docs/configuration.md")


def _copy(root: Path, name: str, source: Path) -> None:
    _put(root, name, source.read_bytes())


def _zip(root: Path, name: str, text: str) -> None:
    # Without a time and a name in it: two builds are equal.
    _put(root, name, gzip.compress(text.encode(), 9, mtime=0))


def _put(root: Path, name: str, content: bytes, *, mode: int = 0o644) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _settle(root: Path) -> None:
    """Modes as they are to be installed, whatever the umask and the checkout's modes are."""
    keep = {root / "etc/otelauto/otelauto.yml", root / "etc/otelauto/otelauto.env"}
    programs = {root / "usr/bin/otelauto", root / HOME / "bytecode"}
    for path in root.rglob("*"):
        if path.is_symlink():
            raise ValueError(f"{path} is a link, which no package here has")
        if path not in keep:
            path.chmod(0o755 if path.is_dir() or path in programs else 0o644)


def size(root: Path) -> tuple[int, int]:
    """Bytes and number of the files."""
    sizes = [path.stat().st_size for path in root.rglob("*") if path.is_file()]
    return sum(sizes), len(sizes)


if __name__ == "__main__":
    sys.exit("run packaging/tools/package.py")
