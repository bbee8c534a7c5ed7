from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otelauto.config.kinds import GLOBS
from otelauto.discovery.globs import Glob
from otelauto.errors import ConfigError
from otelauto.options import BadValueError


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "/any/thing\nat all", True),
        ("*/nginx", "/usr/sbin/nginx", True),
        ("*/nginx", "/usr/sbin/nginx2", False),
        ("/usr/*/nginx", "/usr/local/sbin/nginx", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "axbxbxc", True),
        ("a*b*c", "axcxb", False),
        ("?", "x", True),
        ("?", "", False),
        ("java?jar", "java\njar", True),
        ("python3.1[0-3]", "python3.12", True),
        ("python3.1[0-3]", "python3.14", False),
        ("[!a]b", "cb", True),
        ("[^a]b", "^b", True),
        ("[]x]", "]", True),
        ("[a-]", "-", True),
        (r"\*", "*", True),
        (r"\*", "x", False),
        ("{nginx,apache2}", "apache2", True),
        ("{nginx,apache2}", "apache", False),
        ("{a,b{c,d}}*", "bd9", True),
        (r"\{a,b}", "{a,b}", True),
        ("[{]", "{", True),
        ("a.c", "abc", False),
        ("(x|y)+", "(x|y)+", True),
    ],
)
def test_glob_matches_the_whole_text(pattern, text, expected):
    assert expected == Glob(pattern).matches(text)


@pytest.mark.parametrize(
    "pattern", ["[bad", "[", "[]", "{a,b", "{", "x\\", "[z-a]", "{a,b}" * 9 + "x"]
)
def test_bad_pattern_is_a_configuration_error_that_shows_it(pattern):
    with pytest.raises(ConfigError) as caught:
        Glob(pattern)
    assert pattern[:3] in caught.value.message.replace("\\\\", "\\")


def test_hostile_text_cannot_stop_the_agent():
    glob = Glob("*a*a*a*a*a*a*a*a*a*a*b")
    text = "a" * 200_000
    started = time.process_time()
    assert not glob.matches(text)
    assert time.process_time() - started < 1


@given(st.text(), st.text())
def test_any_pattern_compiles_or_is_refused(pattern, text):
    try:
        glob = Glob(pattern)
    except ConfigError:
        return
    assert glob.matches(text) in {True, False}


@given(st.text(alphabet="ab[]!^-{},\\*"))
@example("[]")
@example("[a-]")
@example("{a,[}]}")
def test_configuration_refuses_the_same_patterns(pattern):
    """What the configuration's check lets pass must compile here, and the other way round."""
    try:
        GLOBS.parse([pattern])
    except BadValueError:
        with pytest.raises(ConfigError):
            Glob(pattern)
    else:
        try:
            Glob(pattern)
        except ConfigError as error:
            assert "stands for more than" in error.message  # noqa: PT017 - only this one is allowed


@given(st.text(alphabet="ab/.*+"), st.text(), st.text())
def test_what_stands_between_the_stars_is_found_anywhere(middle, before, after):
    literal = middle.replace("*", "")
    assert Glob(f"*{literal}*").matches(before + literal + after)
