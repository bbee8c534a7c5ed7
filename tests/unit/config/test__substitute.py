from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.config._substitute import substitute
from otelauto.options import BadValueError

ENVIRON = {"X": "x", "EMPTY": "", "DOLLAR": "${X} $$"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pa$$word", "pa$word"),
        ("a$1b", "a$1b"),
        ("$$${X}", "$x"),
        ("$${X}", "${X}"),
        ("${UNSET:-def}", "def"),
        ("${EMPTY:-def}", "def"),
        ("${X:-def}", "x"),
        ("${UNSET:-}", ""),
        ("${EMPTY}", ""),
        ("${env:X}", "x"),
        ("$(X)", "$(X)"),
        ("$", "$"),
        ("a$", "a$"),
        ("${DOLLAR}", "${X} $$"),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${X}${X}", "xx"),
    ],
)
def test_each_form_becomes_what_the_table_says(text, expected):
    assert expected == substitute(text, ENVIRON)


@pytest.mark.parametrize("text", ["${1BAD}", "${", "${X", "${}", "${a b}", "${X-y}", "${Ä}"])
def test_what_names_no_variable_is_refused(text):
    with pytest.raises(BadValueError, match="names no variable"):
        substitute(text, ENVIRON)


def test_an_unset_variable_is_named():
    with pytest.raises(BadValueError, match="variable UNSET is not set"):
        substitute("${UNSET}", ENVIRON)


@given(st.text(alphabet="$#{}:-XaE _1", max_size=30))
def test_a_text_with_doubled_dollar_signs_is_itself(text):
    assert text == substitute(text.replace("$", "$$"), ENVIRON)
