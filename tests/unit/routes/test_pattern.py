"""Patterns: what the configuration's syntax means, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelauto.errors import ConfigError
from otelauto.routes.pattern import (
    Pattern,
    parse_pattern,
    parse_patterns,
    printable,
    split_path,
)


@pytest.mark.parametrize(
    ("text", "segments", "rest"),
    [
        ("/", (), False),
        ("/users", (b"users",), False),
        ("/users/:id", (b"users", None), False),
        ("/users/{id}/profile", (b"users", None, b"profile"), False),
        ("/static/*", (b"static",), True),
        ("/static/**", (b"static",), True),
        ("/static/{path...}", (b"static",), True),
        ("/*", (), True),
        ("users//{user-id}/", (b"users", None), False),
        ("/caf%C3%A9", (b"caf%C3%A9",), False),
        ("/v1/books:batchGet", (b"v1", b"books:batchGet"), False),
        ("/a.b-c_d~e$f(1)", (b"a.b-c_d~e$f(1)",), False),
    ],
)
def test_what_a_pattern_means(text, segments, rest):
    pattern = parse_pattern(text)
    assert (segments, rest) == (pattern.segments, pattern.rest)


def test_the_name_is_the_text_as_it_was_configured():
    assert "/users/:id/" == parse_pattern("/users/:id/").name
    assert "/users" == parse_pattern("users").name


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("/a/*/b", 6, "nothing may follow the wildcard"),
        ("/a/b*", 5, "* stands alone"),
        ("/a/{id", 4, "whole segment"),
        ("/a/x{id}", 5, "whole segment"),
        ("/a/:", 5, "needs a name"),
        ("/a/{}", 5, "needs a name"),
        ("/a/{...}", 5, "needs a name"),
        ("/a/{b c}", 6, "a space"),
        ("/a?x=1", 3, "never part of a path"),
        ("/a#b", 3, "never part of a path"),
        ("/users/@:user", 8, "prefix is not supported"),
        ("/" + "a" * 256, 257, "256 bytes"),
        ("/\ud800", 2, "not valid Unicode"),
    ],
)
def test_an_error_names_the_pattern_and_the_position(text, position, says):
    with pytest.raises(ConfigError) as error:
        parse_pattern(text)
    assert f"route pattern {text!r}, position {position}: " in error.value.message
    assert says in error.value.message
    assert error.value.hint


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_pattern_is_refused(text):
    with pytest.raises(ConfigError, match="empty"):
        parse_pattern(text)


def test_of_two_spellings_of_one_set_of_paths_the_first_gives_the_name():
    patterns = parse_patterns(("/a/:id", "/b", "/a/{user}", "/a/*"))
    assert ["/a/:id", "/b", "/a/*"] == [pattern.name for pattern in patterns]


def test_literal_beats_placeholder_beats_wildcard_beats_less_of_it():
    texts = ("/a/b", "/a/{x}", "/a/{x}/*", "/a/*", "/{x}/b", "/{x}/*", "/*")
    patterns = [parse_pattern(text) for text in reversed(texts)]
    ordered = sorted(patterns, key=lambda pattern: pattern.precedence)
    assert texts == tuple(pattern.name for pattern in ordered)


@pytest.mark.parametrize("path", [b"/a/b", b"a/b", b"/a/b/", b"//a///b//"])
def test_slashes_at_the_ends_and_empty_segments_do_not_count(path):
    assert (b"a", b"b") == split_path(path)


@pytest.mark.parametrize(
    ("segment", "text"),
    [
        (b"abc", "abc"),
        ("é".encode(), "é"),
        (b"\xff", "%FF"),
        (b"a b", "a%20b"),
        (b"\n", "%0A"),
        ("\u202e".encode(), "%E2%80%AE"),
    ],
)
def test_a_label_shows_what_cannot_be_printed_percent_encoded(segment, text):
    assert text == printable(segment)


@settings(deadline=None)
@given(st.binary())
def test_a_label_is_always_valid_and_printable_unicode(segment):
    text = printable(segment)
    assert text.encode().decode() == text
    assert " " not in text
    assert text.isprintable()


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_pattern_or_a_config_error(text):
    try:
        pattern = parse_pattern(text)
    except ConfigError:
        return
    assert isinstance(pattern, Pattern)
    assert pattern.name.startswith("/")
