from __future__ import annotations

import io

import pytest

from otelauto.config.command import VERBS, check, config_command, start_condition

GOOD = "ebpf: {open_port: 80}\nnoop: true\nchannel_buffer_len: 5\n"


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "o.yml"
    path.write_text(GOOD)
    return path


def test_check_accepts_a_valid_file_and_shows_its_notices(good, capsys):
    assert check(good, {}) == 0
    shown = capsys.readouterr()
    assert f"{good}: valid\n" == shown.out
    assert shown.err.startswith(f"notice: {good}:3: channel_buffer_len has no effect")


def test_check_refuses_a_bad_file_with_exit_code_2_and_prints_nothing_else(good, capsys):
    good.write_text("discovry: 1\n")
    assert check(good, {}) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f'{good}:1: unknown key "discovry" (did you mean "discovery"?)\n' == shown.err


def test_check_can_do_without_a_file():
    out, err = io.StringIO(), io.StringIO()
    assert check(None, {"OPEN_PORT": "1", "NOOP_TRACES": "true"}, out=out, err=err) == 0
    assert (out.getvalue(), err.getvalue()) == ("the environment: valid\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_prints_a_text_that_ends_with_a_line(verb, good):
    out = io.StringIO()
    assert config_command(verb, good, {}, out=out, err=io.StringIO()) == 0
    assert out.getvalue().endswith("\n")


def test_an_unknown_verb_and_a_bad_file_have_exit_code_2(good):
    err = io.StringIO()
    assert config_command("show", good, {}, err=err) == 2
    assert "reference, schema, example, effective" in err.getvalue()
    good.write_text("x: 1\n")
    assert config_command("effective", good, {}, err=err) == 2
    assert f"{good}:1: unknown key" in err.getvalue()


@pytest.mark.parametrize(
    ("text", "environ", "code"),
    [
        ("noop: true\n", {}, 1),
        ("noop: true\nebpf:\n", {}, 1),
        ("noop: true\n", {"OPEN_PORT": "80"}, 0),
        (GOOD, {}, 0),
        # What else is wrong is told by the start itself, with its own exit code.
        ("noop: true\ndiscovry: 1\n", {}, 0),
        ("log_level: INFO\n", {}, 0),
        ("", {}, 0),
    ],
)
def test_only_a_configuration_that_lacks_nothing_but_a_selector_keeps_a_start_back(
    text, environ, code, good
):
    good.write_text(text)
    err = io.StringIO()
    assert code == start_condition(good, environ, err=err)
    assert bool(code) == err.getvalue().startswith(f"not started: {good}: nothing is selected")


def test_a_file_that_is_not_there_does_not_keep_a_start_back(tmp_path):
    assert 0 == start_condition(tmp_path / "none.yml", {})
