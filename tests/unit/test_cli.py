"""The command line reads arguments and gives the exit codes that the documentation promises."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otelauto import __version__, cli
from otelauto.errors import (
    CannotInstrumentError,
    ConfigError,
    ExportError,
    LoadError,
    NothingSelectedError,
    OtelautoError,
    SelfTestError,
)


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
    assert ["", "check", "config", "doctor", "explain", "top"] == list(parsers)
    for parser in parsers.values():
        actions = [action for action in parser._actions if action.help is not argparse.SUPPRESS]
        assert [] == [action.dest for action in actions if not action.help]


def test_an_unknown_argument_has_exit_code_2(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["check", "--nonsense"])
    assert 2 == end.value.code


def test_the_version_is_told_both_ways(capsys):
    assert 0 == cli.main(["version"])
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert 0 == end.value.code
    assert [f"otelauto {__version__}"] * 2 == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("spelling", ["-config", "--config"])
def test_the_agent_runs_with_the_file_that_is_named(monkeypatch, spelling):
    """One dash as in the original, two as everywhere."""
    started = []
    monkeypatch.setattr("otelauto.app.run.run", lambda path, _: started.append(path) or 0)
    assert 0 == cli.main([spelling, "o.yml"])
    assert [Path("o.yml")] == started


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"OTELAUTO_CONFIG_PATH": "a.yml"}, Path("a.yml")),
        ({"BEYLA_CONFIG_PATH": "b.yml"}, Path("b.yml")),
        ({"OTELAUTO_CONFIG_PATH": "a.yml", "BEYLA_CONFIG_PATH": "b.yml"}, Path("a.yml")),
    ],
)
def test_without_a_file_a_variable_may_name_it(monkeypatch, environ, expected):
    started = []
    monkeypatch.setattr("otelauto.app.run.run", lambda path, _: started.append(path) or 0)
    for name in ("OTELAUTO_CONFIG_PATH", "BEYLA_CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    cli.main([])
    assert [expected] == started


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OtelautoError("it broke"), 1),
        (ConfigError("o.yml:3: it broke"), 2),
        (NothingSelectedError("it broke"), 2),
        (CannotInstrumentError("it broke", hint="mend it"), 3),
        (LoadError("it broke"), 3),
        (SelfTestError("it broke"), 3),
        (ExportError("it broke"), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_one_line_and_the_exit_code_of_its_kind(monkeypatch, capsys, error, code):
    def fails(*_):
        raise error

    monkeypatch.setattr("otelauto.app.run.run", fails)
    assert code == cli.main(["-config", "o.yml"])
    captured = capsys.readouterr()
    assert (f"otelauto: {error}\n", "") == (captured.err, captured.out)


def test_the_documented_exit_codes_are_those_of_the_errors():
    kinds = (OtelautoError, ConfigError, CannotInstrumentError, ExportError)
    promised = dict(re.findall(r"(\d) ([a-z ]+)", cli._EXIT_CODES))
    assert {"0", *(str(kind.exit_code) for kind in kinds)} == promised.keys()


@pytest.mark.parametrize("verb", ["reference", "schema", "example"])
def test_each_verb_prints_something_and_needs_no_file(capsys, verb):
    assert 0 == cli.main(["config", verb])
    captured = capsys.readouterr()
    assert ("", True) == (captured.err, len(captured.out) > 1000)


def test_the_configuration_in_effect_is_that_of_the_file(idle, capsys):
    idle.write_text("ebpf: {open_port: 81}\nprint_traces: true\n")
    for arguments in (["effective", str(idle)], ["effective", "-config", str(idle)]):
        assert 0 == cli.main(["config", *arguments])
        assert "81" in capsys.readouterr().out


def test_a_valid_configuration_passes_the_check(idle, capsys):
    idle.write_text("ebpf: {open_port: 81}\nprint_traces: true\n")
    assert 0 == cli.main(["check", str(idle)])


@pytest.mark.parametrize("command", ["check", "doctor", "top"])
@pytest.mark.parametrize("given", [["o.yml"], ["-config", "o.yml"], ["--config", "o.yml"]])
def test_a_command_takes_the_file_with_and_without_the_option(command, given):
    assert Path("o.yml") == cli.parsers()[command].parse_args(given).file


@pytest.mark.parametrize("command", ["check", "doctor", "top"])
def test_a_command_without_a_file_has_that_of_the_variable(monkeypatch, command):
    monkeypatch.delenv("BEYLA_CONFIG_PATH", raising=False)
    monkeypatch.setenv("OTELAUTO_CONFIG_PATH", "v.yml")
    assert Path("v.yml") == cli.parsers()[command].parse_args([]).file
    assert Path("o.yml") == cli.parsers()[command].parse_args(["-config", "o.yml"]).file
    monkeypatch.delenv("OTELAUTO_CONFIG_PATH")
    assert cli.parsers()[command].parse_args([]).file is None


@pytest.mark.parametrize("arguments", [["-config"], ["config"], ["config", "nonsense"], ["stray"]])
def test_arguments_that_are_none_have_exit_code_2_and_a_usage(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert 2 == end.value.code
    assert capsys.readouterr().err.startswith("usage: otelauto")


def test_whoever_has_read_enough_of_the_output_is_no_fault():
    """`otelauto config reference | head -1`."""
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"set -o pipefail; {sys.executable} -m otelauto config reference | head -1",
        ],
        env={"PYTHONPATH": str(Path(cli.__file__).parents[1]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)
