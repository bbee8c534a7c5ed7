from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.config import kinds
from otelauto.config.paths import leaves
from otelauto.config.values import Secret, Url
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:4318", "no scheme"),
        ("localhost:4318", "no scheme"),
        (":4317", "no scheme"),
        ("ftp://h", "http:// or https://"),
        ("http://", "no host"),
        ("http:///x", "no host"),
        ("http://h:0", "port 0"),
        ("http://h:99999", "not valid"),
        ("http://[::1", "not valid"),
        ("http://h h", "space"),
    ],
)
def test_a_bad_url_says_what_it_lacks(text, expected):
    with pytest.raises(BadValueError, match=expected):
        kinds.URL.parse(text)


@pytest.mark.parametrize("text", ["u:s3cret@h", "ftp://u:s3cret@h", "http://u:s3cret@h:0"])
def test_a_bad_url_never_shows_its_password(text):
    with pytest.raises(BadValueError) as caught:
        kinds.URL.parse(text)
    assert "s3cret" not in caught.value.message


def test_a_good_url_is_kept_as_it_is_and_an_empty_one_means_none():
    assert Url("https://u:p@h:1/otlp/?x=y") == kinds.URL.parse("https://u:p@h:1/otlp/?x=y")
    assert kinds.URL.parse("") is None


def test_headers_are_a_mapping_or_percent_encoded_text():
    expected = (("authorization", Secret("Basic a=b")), ("x-scope", Secret("t")))
    assert expected == kinds.HEADERS.parse({"Authorization": "Basic a=b", "X-Scope": "t"})
    assert expected == kinds.HEADERS.parse("Authorization=Basic%20a%3Db,x-scope=t")


@pytest.mark.parametrize(
    "raw", [{"a b": "s3cret"}, {"a": "s3cret\r\nx: y"}, {"a": ("s3cret",)}, "s3cret", ("s3cret",)]
)
def test_headers_that_could_split_a_request_are_refused_without_their_value(raw):
    with pytest.raises(BadValueError) as caught:
        kinds.HEADERS.parse(raw)
    assert "s3cret" not in caught.value.message


def test_a_password_with_a_line_break_is_refused_without_being_shown():
    with pytest.raises(BadValueError) as caught:
        kinds.SECRET.parse("s3cret\n")
    assert "s3cret" not in caught.value.message


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
    assert math.isclose(1.5, kinds.MILLISECONDS.parse("1500"))
    with pytest.raises(BadValueError):
        kinds.MILLISECONDS.parse("5s")


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


@pytest.mark.parametrize("text", ["metrics", "/a b", "/a?b", ""])
def test_paths_of_urls_begin_with_a_slash_and_have_no_query(text):
    with pytest.raises(BadValueError):
        kinds.URL_PATH.parse(text)


def test_route_patterns_are_checked_by_the_routes_own_parser():
    assert kinds.ROUTE.parse("/users/{id}") == "/users/{id}"
    with pytest.raises(BadValueError, match="position"):
        kinds.ROUTE.parse("/a b")


def test_attributes_with_a_bad_entry_are_refused_whole():
    assert kinds.PAIRS.parse("a=b=c") == (("a", "b=c"),)
    with pytest.raises(BadValueError):
        kinds.PAIRS.parse("a=b,bad")
