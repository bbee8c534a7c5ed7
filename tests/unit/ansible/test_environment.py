"""Environment files: systemd and the shell see the same value, and nothing runs."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.environment import (
    EnvironmentFileError,
    environment_text,
)
from hypothesis import given, settings
from hypothesis import strategies as st

values = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\"\\$`'#!;\t "))


def shell_value(path):
    script = 'set -eu; . "$1"; printf %s "$X"'
    command = ["/bin/sh", "-c", script, "sh", str(path)]
    done = subprocess.run(command, env={"HOME": "/h"}, capture_output=True, check=True)
    assert b"" == done.stderr
    return done.stdout.decode()


@given(values)
@settings(max_examples=60, deadline=None)
def test_the_shell_reads_the_value_and_runs_nothing(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("env") / "file"
    path.write_text(environment_text({"X": value}))
    assert value == shell_value(path)


def test_command_substitution_stays_text(tmp_path):
    """The value that runs when a package's script sources the file with bare double quotes."""
    value = f"a b \"c\" $HOME $(touch {tmp_path}/ran) `touch {tmp_path}/ran` 'd' \\"
    path = tmp_path / "file"
    path.write_text(environment_text({"X": value}))
    assert value == shell_value(path)
    assert not (tmp_path / "ran").exists()


def unquoted(line):
    """A value in double quotes as systemd reads it: a backslash shields one of four characters."""
    inside, found = line.partition("=")[2][1:-1], ""
    at = 0
    while at < len(inside):
        if inside[at] == "\\" and inside[at + 1 : at + 2] in '"\\$`':
            at += 1
        found += inside[at]
        at += 1
    return found


@given(values)
def test_systemd_reads_the_value(value):
    [line] = environment_text({"X": value}).removesuffix("\n").split("\n")
    assert value == unquoted(line)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "\x1b[0m", "\x7f", "\ud800"])
def test_what_the_file_cannot_carry_is_refused_by_name_without_the_value(value):
    with pytest.raises(EnvironmentFileError, match="the variable API_KEY holds") as caught:
        environment_text({"API_KEY": "s3cret" + value})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["1A", "A-B", "A B", "", "A\n", "É", 1, None])
def test_a_bad_name_is_refused(name):
    with pytest.raises(EnvironmentFileError, match="not a name"):
        environment_text({name: "x"})


def test_a_list_is_refused_without_showing_it():
    with pytest.raises(EnvironmentFileError, match="the variable X is a list") as caught:
        environment_text({"X": ["s3cret"]})
    assert "s3cret" not in str(caught.value)


def test_numbers_and_booleans_are_written_as_text():
    assert '# by hand\nA="1"\nB="true"\n' == environment_text({"A": 1, "B": True}, "by hand")
