"""The guard of live tests sees what it must see."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.live.gate import bpf_syscall
from tests.live.leftovers import leftovers, observe

pytestmark = pytest.mark.live


def test_a_map_that_stays_open_is_seen_and_blamed_on_its_holder():
    before = observe()
    attributes = ctypes.create_string_buffer(128)
    fields = (2, 4, 4, 1)  # BPF_MAP_TYPE_ARRAY, key and value of 4 bytes, one entry
    attributes[:16] = b"".join(field.to_bytes(4, "little") for field in fields)
    descriptor = bpf_syscall(0, attributes)
    try:
        found = leftovers(before, patience_seconds=0)
        assert [[os.getpid()]] == list(found["BPF objects and their holders"].values())
    finally:
        os.close(descriptor)
    assert {} == leftovers(before)


def test_a_process_is_seen_by_its_session_even_without_the_mark(supervisor):
    before = observe()
    code = "import subprocess, sys; subprocess.Popen(['sleep', '60'], env={})"
    started = supervisor.start("parent", [sys.executable, "-c", code])
    started.process.wait()
    found = leftovers(before, supervisor.sessions, patience_seconds=0)
    assert ["sleep 60"] == list(found["processes"].values())
    supervisor.stop_all()
    assert {} == leftovers(before, supervisor.sessions)


def test_a_mount_is_seen():
    """Where tests and agents mount; elsewhere others may."""
    Path("/run/netns").mkdir(exist_ok=True)
    place = Path("/run/netns/otelauto-test-mount")
    before = observe()
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        assert str(place) in leftovers(before, patience_seconds=0)["mounts"]
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()
