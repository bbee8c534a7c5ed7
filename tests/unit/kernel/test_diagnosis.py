from __future__ import annotations

import errno
import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.kernel.diagnosis import (
    Answer,
    Layout,
    compiler_excerpt,
    describe_exit,
    explain,
    keep_log,
    layout_differences,
    parse_answer,
    verifier_excerpt,
)

GOOD = {
    "ok": True,
    "programs": ["p"],
    "refused": {"q": "no"},
    "maps": ["m"],
    "layouts": [{"map": "m", "part": "key", "size": 8, "offsets": {"a": 0}}],
    "bcc": "0.26.0",
    "seconds": {"compile": 0.5},
}
BAD = {"ok": False, "stage": "load", "message": "no", "errno": 13, "program": "p"}
LOG = """
== program first ==
0: R1=ctx() R10=fp0
processed 2 insns (limit 1000000)
== program second ==
bpf: Failed to load program: Permission denied
0: R1=ctx() R10=fp0
7: (95) exit
R0 !read_ok
processed 8 insns (limit 1000000) max_states_per_insn 0
== program third ==
"""


def test_a_good_answer_becomes_a_value():
    assert Answer(
        ok=True,
        programs=("p",),
        maps=("m",),
        refused={"q": "no"},
        layouts=(Layout("m", "key", 8, {"a": 0}),),
        bcc="0.26.0",
        seconds={"compile": 0.5},
    ) == parse_answer(json.dumps(GOOD).encode())


def test_a_bad_answer_becomes_a_value():
    expected = Answer(ok=False, stage="load", message="no", error_number=13, program="p")
    assert expected == parse_answer(json.dumps(BAD).encode())


@pytest.mark.parametrize("key", sorted(GOOD))
def test_an_answer_without_one_of_its_members_is_garbage(key):
    raw = {name: value for name, value in GOOD.items() if name != key}
    assert "garbage" == parse_answer(json.dumps(raw).encode()).stage


def test_a_number_without_end_is_garbage():
    raw = json.dumps(BAD).replace("13", "1e999")
    assert "garbage" == parse_answer(raw.encode()).stage


@given(st.binary(max_size=100) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, *BAD]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_nonsense_is_an_answer_that_is_not_ok(content):
    answer = parse_answer(content)
    assert answer.ok is False or answer == parse_answer(json.dumps(json.loads(content)).encode())


def test_equal_layouts_have_no_differences():
    layout = Layout("m", "value", 16, {"a": 0, "b": 8})
    padded = Layout("m", "value", 16, {"a": 0, "b": 8, "__pad_end": 12})
    assert () == layout_differences(layout, padded)


def test_every_difference_of_two_layouts_is_named():
    expected = Layout("m", "value", 16, {"a": 0, "b": 8, "c": 12})
    found = Layout("m", "value", 24, {"a": 0, "b": 4, "d": 16})
    assert (
        "value of map m: 24 bytes instead of 16",
        "value of map m: member b at 4 instead of 8",
        "value of map m: member c is missing",
        "value of map m: unknown member d",
    ) == layout_differences(expected, found)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (1, "it ended with status 1 before it answered"),
        (-9, "it was ended by SIGKILL before it answered"),
        (-6, "it was ended by SIGABRT before it answered"),
        (-250, "it was ended by signal 250 before it answered"),
    ],
)
def test_a_return_code_is_put_into_words(status, expected):
    assert expected == describe_exit(status)


def test_the_compilers_first_errors_are_shown():
    log = "x.h:1:2: warning: w\nx.h:3:4: error: e1\n  code\nx.h:5:6: error: e2\n"
    assert "x.h:3:4: error: e1; x.h:5:6: error: e2" == compiler_excerpt(log)


def test_without_an_error_the_compilers_last_lines_are_shown():
    assert "b; c; d" == compiler_excerpt("a\nb\n\nc\nd\n")


def test_the_verifiers_reason_is_that_of_the_refused_program():
    assert (
        "bpf: Failed to load program: Permission denied; 0: R1=ctx() R10=fp0; 7: (95) exit; "
        "R0 !read_ok"
    ) == verifier_excerpt(LOG, "second")


def test_the_whole_log_is_kept_where_only_we_can_read_it(tmp_path):
    state = tmp_path / "state"
    said = keep_log("text\n", state, name="loader")
    path = state / "loader.log"
    assert f"the whole log is in {path}" == said
    assert "text\n" == path.read_text()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(state.stat().st_mode)
    assert [path] == list(state.iterdir())


def test_a_planted_link_is_replaced_and_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "loader.log").symlink_to(victim)
    keep_log("text", tmp_path, name="loader")
    assert "precious" == victim.read_text()
    assert "text" == (tmp_path / "loader.log").read_text()


def test_a_folder_that_cannot_be_written_is_said_and_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    said = keep_log("text", tmp_path / "file" / "state", name="loader")
    assert said.startswith("the log could not be kept in ")


def test_nothing_is_kept_without_a_folder_or_without_a_log(tmp_path):
    assert "" == keep_log("text", None, name="loader")
    assert "" == keep_log(" \n", tmp_path, name="loader")
    assert [] == list(tmp_path.iterdir())


def explained(**members):
    answer = Answer(ok=False, **members)
    kept = "the whole log is in /s/l"
    return explain(answer, log=LOG, kept=kept, python="/p", timeout_seconds=5)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"stage": "bcc", "message": "No module"}, "/p cannot import bcc: No module"),
        (
            {"stage": "load", "program": "second", "error_number": errno.EACCES},
            (
                "the kernel refuses program second: bpf: Failed to load program: Permission "
                "denied; 0: R1=ctx() R10=fp0; 7: (95) exit; R0 !read_ok; the whole log is in /s/l"
            ),
        ),
        (
            {"stage": "load", "program": "second", "error_number": errno.EPERM},
            "the kernel does not let us load program second: EPERM; the whole log is in /s/l",
        ),
        (
            {"stage": "load", "program": "second", "error_number": errno.E2BIG},
            ("program second is too complex for this kernel's verifier; the whole log is in /s/l"),
        ),
        (
            {"stage": "timeout", "message": "m"},
            "loading took longer than 5 s: m; the whole log is in /s/l",
        ),
        (
            {"stage": "maps", "message": "no such map: x"},
            "the kernel programs are not what the agent expects: no such map: x",
        ),
    ],
)
def test_an_error_says_what_where_and_what_to_do(members, message):
    error = explained(**members)
    assert message == error.message
    assert error.hint


def test_a_map_that_the_kernel_refuses_is_not_blamed_on_the_source():
    log = "could not open bpf map: red, error: Cannot allocate memory\n"
    answer = Answer(ok=False, stage="compile", message="Failed to compile BPF module")
    error = explain(answer, log=log, kept="", python="/p", timeout_seconds=5)
    assert "the kernel does not give us map red: Cannot allocate memory" == error.message


def test_a_child_that_died_is_explained_with_the_last_lines_it_printed():
    message = explained(stage="died", message="it was ended by SIGKILL").message
    assert "the loader (/p) failed: it was ended by SIGKILL: " in message
    assert "R0 !read_ok" in message
