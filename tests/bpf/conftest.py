"""What the host-side tests of the kernel programs share: the compiled state machine.

OTELAUTO_HOST_LIBRARY and OTELAUTO_HOST_KERNEL name libraries that are there already;
test_sanitized.py sets them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.bpf.build import KERNEL_FLAGS, compile_library
from tests.bpf.kernel import Kernel
from tests.bpf.stream import Machine


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """compiled("host_red.c"): the path of that source as a library."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on this machine: the kernel programs cannot run on the host")
    folder = tmp_path_factory.mktemp("bpf")
    return lambda source, *flags: compile_library(source, folder, *flags)


@pytest.fixture(scope="session")
def library(request):
    """The path of the compiled state machine."""
    given = os.environ.get("OTELAUTO_HOST_LIBRARY")
    return Path(given) if given else request.getfixturevalue("compiled")("host_stream.c")


@pytest.fixture(scope="session")
def programs(request):
    """All kernel programs; each test resets them."""
    given = os.environ.get("OTELAUTO_HOST_KERNEL")
    if given is None:
        given = request.getfixturevalue("compiled")("host_kernel.c", *KERNEL_FLAGS)
    return Kernel(Path(given))


@pytest.fixture(scope="session")
def machine(library):
    """One machine for all tests: each opens a connection of its own on it."""
    return Machine(library)


@pytest.fixture
def kernel(programs):
    """All kernel programs, with empty maps."""
    programs.reset()
    return programs
