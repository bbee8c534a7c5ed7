"""Descriptors of kernel objects that are closed at the end of a test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def keep():
    """Returns its argument, a descriptor, and closes it at the end."""
    descriptors = []

    def remember(fd: int) -> int:
        descriptors.append(fd)
        return fd

    yield remember
    for fd in descriptors:
        os.close(fd)


@pytest.fixture
def descriptors():
    """The open descriptors of this process now, as numbers."""

    def now() -> set[str]:
        return {path.name for path in Path("/proc/self/fd").iterdir()} - {_listing()}

    return now


def _listing() -> str:
    # iterdir() has closed its own descriptor when the set is complete, but lists it: it is the
    # lowest free number.
    fd = os.open("/", os.O_RDONLY)
    os.close(fd)
    return str(fd)
