"""The tests of hostile input pass under the address and undefined-behaviour sanitizers as well.

They run in a process of their own, because a sanitizer's runtime has to be loaded before Python.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bpf.build import HERE, KERNEL_FLAGS

# Words are read where they lie, as the kernel's machines can.
SANITIZERS = (
    "-fsanitize=address,undefined",
    "-fno-sanitize=alignment",
    "-fno-sanitize-recover=undefined",
)
#: With a twelfth of the examples: sanitizers are slow.
SELECTED = (
    "test_hostile.py",
    "test_framing.py",
    "test_programs.py",
    "test_ends.py",
    "test_corpus.py::test_it_may_come_in_small_operations",
)
BEYOND = """
import ctypes, sys
sys.path[:0] = [".", "agent"]
from pathlib import Path
from tests.bpf.stream import Machine, Vector
machine = Machine(Path(sys.argv[1]))
machine.open()
owned = ctypes.c_char_p(b"GET / HTTP/1.1..")
vector = (Vector * 1)((ctypes.cast(owned, ctypes.c_void_p), 18))
machine._code.host_operation(0, 1, 18, vector, 1)
"""


@pytest.fixture(scope="module")
def sanitized(compiled):
    """sanitized("host_stream.c"): the path of that source as a library with sanitizers."""
    return lambda source, *flags: compiled(source, *SANITIZERS, *flags)


@pytest.fixture(scope="module")
def run(compiled):
    """run("-c", "pass", NAME=path): Python with gcc's address sanitizer."""
    answer = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False
    )
    runtime = Path(answer.stdout.strip())
    if not runtime.is_absolute():
        pytest.skip("gcc has no address sanitizer on this machine")

    def python(*arguments, **environment):
        sanitizer = {
            "LD_PRELOAD": str(runtime),
            "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps what it has
            "PYTHONMALLOC": "malloc",  # so that each segment of user memory has its own end
        }
        return subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | sanitizer | environment,
            cwd=HERE.parents[1],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return python


def test_no_byte_is_touched_that_is_not_the_machines_own(sanitized, run):
    selected = [f"tests/bpf/{name}" for name in SELECTED]
    outcome = run(
        *("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
        *selected,
        OTELAUTO_HOST_LIBRARY=str(sanitized("host_stream.c")),
        OTELAUTO_HOST_KERNEL=str(sanitized("host_kernel.c", *KERNEL_FLAGS)),
        OTELAUTO_HOST_EXAMPLES="8",
    )
    report = outcome.stdout[-3000:] + outcome.stderr[-3000:]
    assert 0 == outcome.returncode, report
    assert re.search(r"\b\d{3,} passed", outcome.stdout), report


def test_a_byte_beyond_a_segment_would_be_found(sanitized, run):
    """The sanitizers are at work: a segment is said to be longer than it is."""
    outcome = run("-c", BEYOND, str(sanitized("host_stream.c")))
    assert 0 != outcome.returncode
    assert "heap-buffer-overflow" in outcome.stderr
