"""Packages and hosts that the tests of the packages share.

The packages are built from a copy of this repository, as `make package` builds them; newer ones
from a copy with a later version and a few changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.packages.gate import build_reason, host_reason, required
from tests.packages.host import Host
from tests.packages.image import image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("agent", "bpf", "docs", "packaging", "CHANGELOG.md", "LICENSE")
EPOCH = "1700000000"


@dataclass(frozen=True, slots=True)
class Built:
    """What `make package` leaves.

    Attributes:
        source: the sources that it was built from.
        dist: the folder with the results.
        output: what was printed.
        version: of the agent.
    """

    source: Path
    dist: Path
    output: str
    version: str

    @property
    def deb(self) -> Path:
        return self.dist / f"otelauto_{self.version}-1_amd64.deb"

    @property
    def rpm(self) -> Path:
        return self.dist / f"otelauto-{self.version}-1.x86_64.rpm"


def copy_sources(target: Path, origin: Path = ROOT) -> Path:
    """A copy of what packages are made of."""
    for name in SOURCES:
        source = origin / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy(source, target / name)
    return target


def build(source: Path, dist: Path, *arguments: str) -> Built:
    """Run the build of a copy of the sources."""
    init = (source / "agent/otelauto/__init__.py").read_text()
    version = init.partition('__version__ = "')[2].partition('"')[0]
    command = [
        *(sys.executable, str(source / "packaging/tools/package.py")),
        *(f"--dist={dist}", *arguments),
    ]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PYTHONPATH": str(source / "agent"),
        "SOURCE_DATE_EPOCH": EPOCH,
    }
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=600
    )
    return Built(source, dist, done.stdout, version)


def cannot_run(reason: str) -> None:
    if required():
        pytest.fail(f"required by OTELAUTO_REQUIRE, but cannot run: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def can_build() -> None:
    if reason := build_reason():
        cannot_run(reason)


@pytest.fixture(scope="session")
def built(can_build: None, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The package otelauto of this tree."""
    folder = tmp_path_factory.mktemp("built")
    return build(copy_sources(folder / "source"), folder / "dist", "--no-grpc")


@pytest.fixture(scope="session")
def newer(can_build: None, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A later version: another default configuration, and one module has another name."""
    folder = tmp_path_factory.mktemp("newer")
    source = copy_sources(folder / "source")
    init = source / "agent/otelauto/__init__.py"
    old = init.read_text()
    init.write_text(old.replace('__version__ = "', '__version__ = "9'))
    example = source / "packaging/otelauto.yml"
    example.write_text(example.read_text() + "# A line of a later version.\n")
    environment = source / "packaging/etc/otelauto.env"
    environment.write_text(environment.read_text() + "# A line of a later version.\n")
    package = source / "agent/otelauto"
    (package / "metrics/quantiles.py").rename(package / "metrics/quantile.py")
    for path in package.rglob("*.py"):
        text = path.read_text()
        path.write_text(text.replace("metrics.quantiles", "metrics.quantile"))
    return build(source, folder / "dist", "--no-grpc")


@pytest.fixture(scope="session")
def images() -> Callable[[str], Path]:
    """images("bookworm"): its root directory."""
    if reason := host_reason():
        cannot_run(reason)
    return image


@pytest.fixture
def host(images: Callable[[str], Path], tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """host("trixie"): a booted host; host("trixie", booted=False): without systemd."""
    with ExitStack() as stack:

        def start(suite: str, *, booted: bool = True) -> Host:
            folder = tmp_path / f"{suite}-{'host' if booted else 'root'}"
            return stack.enter_context(Host(images(suite), folder, booted=booted))

        yield start
