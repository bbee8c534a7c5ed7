"""Errors carry a remedy and the exit code that the documentation promises."""

from __future__ import annotations

import inspect

import pytest

from otelauto import errors


def test_the_text_is_what_is_wrong_and_then_what_to_do():
    error = errors.LoadError("no BTF in /sys/kernel/btf", hint="set ebpf.headers to kernel")
    assert "no BTF in /sys/kernel/btf (set ebpf.headers to kernel)" == str(error)
    assert ("no BTF in /sys/kernel/btf", "set ebpf.headers to kernel") == (
        error.message,
        error.hint,
    )


def test_without_a_remedy_the_text_is_the_message_alone():
    assert "port 9400 is taken" == str(errors.ExportError("port 9400 is taken"))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("OtelautoError", 1),
        ("ConfigError", 2),
        ("NothingSelectedError", 2),
        ("CannotInstrumentError", 3),
        ("LoadError", 3),
        ("SelfTestError", 3),
        ("ExportError", 4),
    ],
)
def test_each_kind_has_its_exit_code(name, code):
    assert code == getattr(errors, name).exit_code


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    """Whoever reads the top of the file knows what to catch."""
    drawn = {
        words[0]: words[1].strip("()")
        for words in (line.split() for line in (errors.__doc__ or "").splitlines())
        if words and words[0].endswith("Error")
    }
    defined = {
        name: str(kind.exit_code)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.OtelautoError)
    }
    assert defined == drawn
    assert sorted(defined) == sorted(errors.__all__)


def test_cannot_instrument_catches_every_failure_to_load():
    assert issubclass(errors.LoadError, errors.CannotInstrumentError)
    assert issubclass(errors.SelfTestError, errors.CannotInstrumentError)
