"""The kernel's walk (bpf/core/route.h, compiled for the host) and Automaton.match agree."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelauto.abi._layout import PATH_BYTES, ROUTE_EDGE, ROUTE_STEP, SERVICE
from otelauto.routes.automaton import Automaton, Entry
from otelauto.routes.pattern import Pattern, split_path

SEED = 0x0123_4567_89AB_CDEF
SOURCE = Path(__file__).with_name("route_walk_host.c")


@pytest.fixture(scope="module")
def kernel_walk(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    library = tmp_path_factory.mktemp("walk") / "walk.so"
    flags = ["-shared", "-fPIC", "-O1", "-w", f"-DROUTE_SEED={SEED}ULL", "-o", library]
    subprocess.run([compiler, *flags, SOURCE], check=True, timeout=60)
    walk = ctypes.CDLL(library).host_walk
    walk.restype = ctypes.c_uint32

    def route(compiled, text, *, truncated):
        table = b"".join(
            ROUTE_STEP.pack(*step) + ROUTE_EDGE.pack(*edge)
            for step, edge in compiled.steps.items()
        )
        service = SERVICE.pack(*compiled.root, 1, 2, 0, 0)
        size = len(compiled.steps)
        return walk(table, size, service, text, len(text), int(truncated))

    return route


SEGMENT = st.one_of(st.sampled_from([b"a", b"b", b"\xff\x80", b"a" * 130]), st.none())
CHOICES = st.one_of(st.just(()), st.just((b"a", b"c")))
ENTRIES = st.lists(
    st.tuples(st.lists(SEGMENT, max_size=4).map(tuple), st.booleans(), CHOICES), max_size=8
)
TEXT = st.lists(
    st.sampled_from([b"/", b"//", b"/a", b"/b", b"/c", b"/z", b"/\xff\x80", b"/" + b"a" * 130]),
    max_size=6,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(
    ENTRIES,
    st.lists(st.tuples(TEXT, st.binary(max_size=4), st.booleans()), min_size=1, max_size=9),
)
def test_both_walks_end_at_the_same_route(kernel_walk, entries, texts):
    compiled = Automaton(
        [
            Entry(
                Pattern(segments, rest=rest and not choices, name=""),
                (age,),
                0 if choices else 16 + age,
                choices,
            )
            for age, (segments, rest, choices) in enumerate(entries)
        ],
        seed=SEED,
        node_ids=count(1),
    )
    for start, end, cut in texts:
        path = start + end
        text, truncated = path[:PATH_BYTES], cut or len(path) > PATH_BYTES
        expected = compiled.match(split_path(text), truncated=truncated)
        assert expected == kernel_walk(compiled, text, truncated=truncated)
