from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass

import pytest

from otelauto.options import (
    BadValueError,
    Group,
    Kind,
    Option,
    Variable,
    entries,
    members,
    opt,
    section,
)

WORD = Kind("word", str, str, {"type": "string"})


@dataclass(frozen=True, slots=True)
class Inner:
    word: str = opt("a", kind=WORD, help="A word.", secret=True)


@dataclass(frozen=True, slots=True)
class Outer:
    time_seconds: str = opt("1s", kind=WORD, help="Time.", key="time", env=("T", Variable("U")))
    inner: Inner = section(Inner, help="Inside.")  # noqa: RUF009
    many: tuple[Inner, ...] = entries(Inner, help="Many.", aliases=("lots",))


def test_members_tell_key_attribute_default_and_declaration_in_order():
    found = members(Outer)
    assert [(member.attribute, member.key) for member in found] == [
        ("time_seconds", "time"),
        ("inner", "inner"),
        ("many", "many"),
    ]
    assert ["1s", Inner(), ()] == [member.default for member in found]
    assert [Option, Group, Group] == [type(member.spec) for member in found]


def test_variables_keep_their_order():
    spec = members(Outer)[0].spec
    assert isinstance(spec, Option)
    assert (Variable("T"), Variable("U")) == spec.env


def test_values_are_frozen_and_secrets_are_not_in_their_repr():
    outer = Outer(inner=Inner("s3cret"))
    assert "s3cret" not in repr(outer)
    with pytest.raises(FrozenInstanceError):
        outer.inner.word = "b"


def test_a_bad_value_carries_its_items():
    error = BadValueError("two", items=((0, "one"),))
    assert (error.message, error.items) == ("two", ((0, "one"),))
