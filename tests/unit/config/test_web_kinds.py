from __future__ import annotations

import pytest

from otelauto.config import web_kinds
from otelauto.config.values import Secret, Url
from otelauto.options import BadValueError


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
        web_kinds.URL.parse(text)


@pytest.mark.parametrize("text", ["u:s3cret@h", "ftp://u:s3cret@h", "http://u:s3cret@h:0"])
def test_a_bad_url_never_shows_its_password(text):
    with pytest.raises(BadValueError) as caught:
        web_kinds.URL.parse(text)
    assert "s3cret" not in caught.value.message


def test_a_good_url_is_kept_as_it_is_and_an_empty_one_means_none():
    assert Url("https://u:p@h:1/otlp/?x=y") == web_kinds.URL.parse("https://u:p@h:1/otlp/?x=y")
    assert web_kinds.URL.parse("") is None


def test_headers_are_a_mapping_or_percent_encoded_text():
    expected = (("authorization", Secret("Basic a=b")), ("x-scope", Secret("t")))
    assert expected == web_kinds.HEADERS.parse({"Authorization": "Basic a=b", "X-Scope": "t"})
    assert expected == web_kinds.HEADERS.parse("Authorization=Basic%20a%3Db,x-scope=t")


@pytest.mark.parametrize(
    "raw",
    [
        {"a b": "s3cret"},
        {"a": "s3cret\r\nx: y"},
        {"a": ("s3cret",)},
        "s3cret",
        ("s3cret",),
        "Basic s3cret==",
        "s3cret=",
    ],
)
def test_headers_that_could_split_a_request_are_refused_without_their_value(raw):
    with pytest.raises(BadValueError) as caught:
        web_kinds.HEADERS.parse(raw)
    assert "s3cret" not in caught.value.message


def test_a_password_with_a_line_break_is_refused_without_being_shown():
    with pytest.raises(BadValueError) as caught:
        web_kinds.SECRET.parse("s3cret\n")
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("text", ["metrics", "/a b", "/a?b", ""])
def test_paths_of_urls_begin_with_a_slash_and_have_no_query(text):
    with pytest.raises(BadValueError):
        web_kinds.URL_PATH.parse(text)


def test_attributes_with_a_bad_entry_are_refused_whole():
    assert web_kinds.PAIRS.parse("a=b=c") == (("a", "b=c"),)
    with pytest.raises(BadValueError):
        web_kinds.PAIRS.parse("a=b,bad")
