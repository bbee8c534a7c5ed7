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
from tests.bpf.build import HERE

# Words are read where they lie, as the kernel's machines can.
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize=alignment")
STRICT = "-fno-sanitize-recover=undefined"
#: With a tenth of the examples: sanitizers are slow.
SELECTED = (
    "test_hostile.py",
    "test_framing.py",
    "test_corpus.py::test_it_may_come_in_small_operations",
)


@pytest.fixture(scope="module")
def runtime():
    """The path of gcc's address sanitizer."""
    answer = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False
    )
    path = Path(answer.stdout.strip())
    if not path.is_absolute():
        pytest.skip("gcc has no address sanitizer on this machine")
    return path


def run(library, runtime, *arguments):
    environment = os.environ | {
        "LD_PRELOAD": str(runtime),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps what it has
        "PYTHONMALLOC": "malloc",  # so that each segment of user memory has its own end
        "OTELAUTO_HOST_LIBRARY": str(library),
        "OTELAUTO_HOST_EXAMPLES": "10",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_no_byte_is_touched_that_is_not_the_machines_own(compiled, runtime):
    library = compiled("host_stream.c", *SANITIZERS, STRICT)
    selected = [f"tests/bpf/{name}" for name in SELECTED]
    outcome = run(
        library, runtime, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *selected
    )
    report = outcome.stdout[-3000:] + outcome.stderr[-3000:]
    assert 0 == outcome.returncode, report
    assert re.search(r"\b\d{3,} passed", outcome.stdout), report


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


def test_a_byte_beyond_a_segment_would_be_found(compiled, runtime):
    """The sanitizers are at work: a segment is said to be longer than it is."""
    library = compiled("host_stream.c", *SANITIZERS, STRICT)
    outcome = run(library, runtime, "-c", BEYOND, str(library))
    assert 0 != outcome.returncode
    assert "heap-buffer-overflow" in outcome.stderr
