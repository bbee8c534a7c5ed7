"""The command line reads arguments and gives the exit codes that the documentation promises."""

from __future__ import annotations

import argparse

import pytest

from otelauto import cli


@pytest.fixture
def idle(tmp_path):
    path = tmp_path / "o.yml"
    path.write_text("noop: true\n")
    return path


def test_check_says_2_of_a_configuration_that_selects_nothing(idle, capsys):
    assert 2 == cli.main(["check", str(idle)])
    assert capsys.readouterr().err.startswith(f"{idle}: nothing is selected")


def test_the_start_condition_says_1_of_it(idle, capsys):
    assert 1 == cli.main(["check", "--start-condition", str(idle)])
    assert capsys.readouterr().err.startswith("not started: ")


def test_each_command_has_a_parser_and_each_of_its_arguments_a_help():
    parsers = cli.parsers()
    assert ["", "check", "config"] == list(parsers)
    for parser in parsers.values():
        actions = [action for action in parser._actions if action.help is not argparse.SUPPRESS]
        assert [] == [action.dest for action in actions if not action.help]


def test_an_unknown_argument_has_exit_code_2(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["check", "--nonsense"])
    assert 2 == end.value.code
