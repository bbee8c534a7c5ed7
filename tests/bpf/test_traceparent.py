"""The kernel's parser of traceparent against the grammar of W3C Trace Context, section 3.2."""

from __future__ import annotations

import ctypes
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bpf.build import compile_library

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"
GRAMMAR = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.DOTALL,
)


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
    library = compile_library("host_traceparent.c", tmp_path_factory.mktemp("traceparent"))
    code = ctypes.CDLL(str(library))

    def parsed(text, at=12):
        out = (ctypes.c_ubyte * 25)()
        raw = text.encode("latin-1")
        if not code.host_traceparent(raw, len(raw), at, out):
            return None
        return bytes(out[:16]).hex(), bytes(out[16:24]).hex(), bool(out[24])

    return parsed


def reference(text):
    match = GRAMMAR.fullmatch(text.strip(" \t"))
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    return match[2], match[3], bool(int(match[4], 16) & 1)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD[:-1] + "0",
        GOOD[:-2] + "ff",
        f" \t {GOOD} \t",
        "cc" + GOOD[2:],
        "cc" + GOOD[2:] + "-what the future will bring",
        "cc" + GOOD[2:] + ".what",
        GOOD + "-",
        GOOD + "-more",
        "ff" + GOOD[2:],
        GOOD.upper(),
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        GOOD[:-1],
        GOOD.replace("-", "_"),
        GOOD[:10] + "g" + GOOD[11:],
        GOOD[:40] + " " + GOOD[41:],
        "",
    ],
)
def test_it_is_what_the_specification_says(parse, text):
    assert reference(text) == parse(text)


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(GOOD)))
def test_a_damaged_one_is_what_the_grammar_says_of_it(parse, at, byte, cut):
    damaged = GOOD[:at] + chr(byte) + GOOD[at + 1 :]
    for text in (damaged, damaged[:cut]):
        if text.strip(" \t") == text:
            assert reference(text) == parse(text)


@given(
    version=st.sampled_from(["00", "01", "0a", "fe"]),
    trace=st.binary(min_size=16, max_size=16).filter(any),
    parent=st.binary(min_size=8, max_size=8).filter(any),
    flags=st.binary(min_size=1, max_size=1),
    at=st.integers(12, 500),
)
def test_every_valid_one_is_read_wherever_it_stands(parse, version, trace, parent, flags, at):
    text = f"{version}-{trace.hex()}-{parent.hex()}-{flags.hex()}"
    assert (trace.hex(), parent.hex(), bool(flags[0] & 1)) == parse(text, at)
