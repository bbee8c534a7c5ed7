from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.config import kinds
from otelauto.config.paths import leaves
from otelauto.options import BadValueError

RAW = st.recursive(
    st.text(max_size=30) | st.sampled_from(["80", "5s", "true", "http://u:pw@h:1/x", "a=b,c=%"]),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
ALL = {leaf.path: leaf.option.kind for leaf in leaves()}


@given(st.sampled_from(sorted(ALL)), RAW)
def test_no_text_list_or_mapping_makes_any_option_fail_otherwise(path, raw):
    """Whatever is written, a kind gives a value or a BadValueError with a message."""
    message = "none"
    try:
        ALL[path].parse(raw)
    except BadValueError as error:
        message = error.message
    assert message


@pytest.mark.parametrize("path", sorted(ALL))
def test_every_default_is_shown_in_a_form_that_its_schema_knows(path):
    kind = ALL[path]
    default = next(leaf.member.default for leaf in leaves() if leaf.path == path)
    assert isinstance(kind.plain(default), bool | int | float | str | list | dict | None)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("Yes", True), ("1", True), ("FALSE", False), ("off", False), ("0", False)],
)
def test_booleans_have_the_usual_spellings(text, value):
    assert value is kinds.BOOLEAN.parse(text)


@pytest.mark.parametrize("text", ["", "2", "y es", "truth"])
def test_other_words_are_no_booleans(text):
    with pytest.raises(BadValueError):
        kinds.BOOLEAN.parse(text)


def test_integers_have_a_range_and_no_other_spelling():
    small = kinds.integer(1, 10)
    assert small.parse("10") == 10
    for text in ("0", "11", "1.0", "0x1", "1_0", "", "9" * 5000, "\u0661"):
        with pytest.raises(BadValueError):
            small.parse(text)


def test_lists_are_lists_or_texts_with_commas_and_name_each_bad_item():
    numbers = kinds.sequence(kinds.integer(1, 9))
    assert (1, 2) == numbers.parse("1, 2") == numbers.parse(("1", "2"))
    with pytest.raises(BadValueError) as caught:
        numbers.parse(("1", "x", "99"))
    assert [place for place, _ in caught.value.items] == [1, 2]


def test_lists_are_bounded():
    with pytest.raises(BadValueError, match="at most 2"):
        kinds.sequence(kinds.TEXT, most=2).parse("a,b,c")


@pytest.mark.parametrize("raw", ["1,1", "2,1", "-1,2", "x", "", "1,nan", "1,2,3,4"])
def test_bounds_must_ascend_from_zero_within_their_number(raw):
    with pytest.raises(BadValueError):
        kinds.bounds(3).parse(raw)


def test_good_bounds_are_shown_without_needless_fractions():
    kind = kinds.bounds(3)
    assert kind.plain(kind.parse("0,0.5,10")) == [0, 0.5, 10]


def test_choices_ignore_case_and_know_later_spellings():
    kind = kinds.choice("WARN", "INFO", also={"WARNING": "WARN"})
    assert [kind.parse(t) for t in ("warn", "Warning", "info")] == ["WARN", "WARN", "INFO"]
    with pytest.raises(BadValueError, match="WARN, INFO"):
        kind.parse("loud")


@pytest.mark.parametrize("text", ["1.5", "-0.1", "abc", "", "nan"])
def test_ratios_are_within_0_and_1(text):
    with pytest.raises(BadValueError):
        kinds.RATIO.parse(text)


def test_milliseconds_become_seconds():
    kind = kinds.milliseconds(0.1, 10)
    assert math.isclose(1.5, kind.parse("1500"))
    for text in ("5s", "0", "99", "10001", "-1"):
        with pytest.raises(BadValueError):
            kind.parse(text)


def test_standard_booleans_know_two_words():
    assert [kinds.STANDARD_BOOLEAN.parse(t) for t in ("True", "FALSE")] == [True, False]
    for text in ("1", "yes", ""):
        with pytest.raises(BadValueError):
            kinds.STANDARD_BOOLEAN.parse(text)


@pytest.mark.parametrize("text", ["", "a/b", "a b", "?"])
def test_a_placeholder_is_one_path_segment(text):
    with pytest.raises(BadValueError, match="placeholder"):
        kinds.PLACEHOLDER.parse(text)


@pytest.mark.parametrize("text", ["(", "[", "*", "a" * 2000])
def test_bad_regular_expressions_are_refused(text):
    with pytest.raises(BadValueError):
        kinds.REGEXP.parse(text)


def test_a_regular_expression_that_python_warns_of_is_accepted_in_silence():
    assert kinds.REGEXP.parse("[[a]") == "[[a]"


def test_globs_are_not_split_at_commas():
    assert kinds.GLOBS.parse("*/{a,b}") == ("*/{a,b}",)
    assert kinds.GLOBS.parse(("a", "b")) == ("a", "b")


@pytest.mark.parametrize("text", ["relative", "a/b"])
def test_paths_are_absolute(text):
    with pytest.raises(BadValueError, match="absolute"):
        kinds.PATH.parse(text)


def test_route_patterns_are_checked_by_the_routes_own_parser():
    assert kinds.ROUTE.parse("/users/{id}") == "/users/{id}"
    with pytest.raises(BadValueError, match="position"):
        kinds.ROUTE.parse("/a b")
