"""The package otelauto-grpc has a gRPC for the Python of each host."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from tests.packages.conftest import build, copy_sources
from tests.packages.image import SUITES

pytestmark = [pytest.mark.packages, pytest.mark.timeout(900)]

#: What the command's paths are, and then the agent's own module for gRPC.
IMPORT = """\
import sys
home = "/usr/lib/otelauto"
sys.path[:0] = [home + "/agent", home + "/vendor", home + "/grpc/cp%d%d" % sys.version_info[:2]]
import otelauto.export._otlp_grpc, grpc
print(grpc.__file__)
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Both packages, of one build."""
    folder = tmp_path_factory.mktemp("both")
    return build(copy_sources(folder / "source"), folder / "dist")


def test_lintian_finds_nothing(both):
    (package,) = both.dist.glob("otelauto-grpc_*.deb")
    command = ["lintian", "--fail-on=error,warning", "--tag-display-limit=0", str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.findall(r"^[EW]: .*$", done.stdout, re.MULTILINE)
    assert (0, []) == (done.returncode, found)


@pytest.mark.parametrize("suite", SUITES)
def test_the_agent_finds_it_for_the_hosts_python(suite, host, both):
    machine = host(suite, booted=False)
    names = []
    for package in both.dist.glob("*.deb"):
        shutil.copy(package, machine.root / "root")
        names.append(f"/root/{package.name}")
    assert 2 == len(names)
    machine.run("apt-get", "install", "-y", *names)
    version = machine.run("python3", "-c", "import sys; print('cp%d%d' % sys.version_info[:2])")
    told = machine.run("/usr/bin/python3", "-ISB", "-c", IMPORT)
    assert f"/usr/lib/otelauto/grpc/{version.strip()}/grpc/__init__.py" == told.strip()
    machine.run("apt-get", "purge", "-y", "otelauto", "otelauto-grpc")
    assert not (machine.root / "usr/lib/otelauto").exists()
