"""What the kernel programs cannot read is counted as such, and never made up."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import pytest
from tests.live.scene import LABELS, losses
from tests.servers import raw, runtimes
from tests.servers.agent import until

pytestmark = pytest.mark.live

SOURCES = Path(runtimes.__file__).parent
BARE = ("-m32", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie", "-nostdlib")
REQUEST = b"GET /unseen HTTP/1.1\r\nHost: h\r\n\r\n"


@contextlib.contextmanager
def compiled_server(scene, tmp_path, name, *more, flags=()):
    """The port of a server that is compiled here; skips where the kernel or gcc cannot."""
    program = tmp_path / name
    command = ["gcc", "-O2", *flags, "-o", str(program), str(SOURCES / f"{name}.c")]
    built = subprocess.run(command, capture_output=True, check=False)
    if built.returncode:
        pytest.skip(f"gcc cannot build it: {built.stderr.decode()[-200:]}")
    port = scene.spare.pop()
    with subprocess.Popen([str(program), str(port), *more], stderr=subprocess.PIPE) as process:
        try:
            time.sleep(0.3)
            if process.poll() is not None:
                pytest.skip(f"this kernel cannot run it: {process.stderr.read().decode()}")
            yield port
        finally:
            process.kill()


@pytest.mark.parametrize("what", ["all", "answers"])
def test_what_goes_through_io_uring_is_counted_as_unseen(what, need, scene, origin, tmp_path):
    """No register points to its bytes. No status and no fault is made up for it."""
    need("gcc")
    _, since, _ = origin
    with compiled_server(scene, tmp_path, "uring", what) as port:
        for _ in range(3):
            raw.exchange(port, [(0, REQUEST), (0.05, REQUEST)], half_close=True)
        time.sleep(0.2)
        assert {} == since.requests(*LABELS)
        if what == "answers":
            assert 6 == losses(since)["response_unseen"]
        elif scene.hook == "sock":
            assert losses(since), "the operations were seen, but not their bytes"


def test_32_bit_code_is_counted_as_unseen(need, scene, origin, tmp_path):
    need("gcc")
    _, since, _ = origin
    with compiled_server(scene, tmp_path, "compat", flags=(*BARE, "-static")) as port:
        for _ in range(3):
            assert raw.exchange(port, [(0, REQUEST)]).endswith(b"ok")
        until(lambda: "compat_task" in losses(since), timeout_seconds=3)
        assert {} == since.requests(*LABELS)
        assert losses(since)["compat_task"] >= 3
