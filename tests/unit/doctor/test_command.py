"""The report: its lines, its JSON and its exit code."""

from __future__ import annotations

import io
import json

import pytest

from otelauto.doctor import checks, command
from otelauto.doctor.checks import Check

GOOD = Check("clock", "pass", "synchronized")
ODD = Check("disk", "warn", "1 MiB free", "make room")
BAD = Check("bcc", "fail", "not installed", "install it")


@pytest.fixture
def healthy(monkeypatch):
    """A host without faults, so that only the configuration counts."""
    monkeypatch.setattr(checks, "host", lambda _: [])
    monkeypatch.setattr(checks, "probed_hooks", lambda: GOOD)


def run(path, *, machine=False):
    out = io.StringIO()
    return command.doctor(path, {}, machine=machine, out=out), out.getvalue()


def test_the_exit_code_is_that_of_the_first_failure_and_warnings_do_not_count():
    assert 0 == command.exit_code([GOOD, ODD])
    assert 3 == command.exit_code([ODD, BAD, Check("x", "fail", "y", code=4)])


def test_a_line_for_each_check_and_one_for_each_remedy():
    assert (
        "pass  clock  synchronized\n"
        "warn  disk   1 MiB free\n"
        "             -> make room\n"
        "2 checks, 0 failed, 1 warnings\n"
    ) == command.as_text([GOOD, ODD])


def test_what_a_terminal_would_obey_is_not_printed():
    assert "\x1b" not in command.as_text([Check("x", "warn", "a\x1b[2J", "b\x07")])


def test_json_has_the_checks_in_order_and_the_exit_code():
    found = json.loads(command.as_json([GOOD, BAD]))
    assert ["clock", "bcc"] == [each["name"] for each in found["checks"]]
    assert 3 == found["exit_code"]


def test_a_configuration_that_is_not_valid_is_the_first_failure(healthy, tmp_path):
    path = tmp_path / "o.yml"
    path.write_text("prometheus_exprot: {port: 9400}\n")
    code, text = run(path)
    assert 2 == code
    assert "prometheus_export" in text.splitlines()[0]


def test_without_a_configuration_the_host_is_looked_at(healthy):
    code, text = run(None, machine=True)
    assert 0 == code
    names = [each["name"] for each in json.loads(text)["checks"]]
    assert {"configuration", "clock", "disk", "container", "other agents"} <= set(names)


@pytest.mark.parametrize(
    ("text", "code"), [("open_port: 80\n", 4), ("", 4), ("open_prot: 80\n", 2)]
)
def test_the_exporters_of_any_configuration_are_looked_at(healthy, tmp_path, text, code):
    """Also if it selects nothing, or is not valid otherwise."""
    path = tmp_path / "o.yml"
    path.write_text(f"{text}otel_metrics_export: {{endpoint: 'http://127.0.0.1:1'}}\n")
    given, shown = run(path, machine=True)
    found = {each["name"]: each["state"] for each in json.loads(shown)["checks"]}
    assert (code, "fail") == (given, found["otel_metrics_export"])


def test_a_bad_variable_is_told_without_a_file(healthy):
    out = io.StringIO()
    assert 2 == command.doctor(None, {"PROMETHEUS_PORT": "x"}, machine=False, out=out)
    assert "PROMETHEUS_PORT" in out.getvalue().splitlines()[0]


def test_a_file_that_is_no_yaml_is_told_and_the_host_looked_at(healthy, tmp_path):
    path = tmp_path / "o.yml"
    path.write_text("a: [\n")
    code, text = run(path)
    assert 2 == code
    assert "clock" in text
