from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.config._grammar import (
    check_glob,
    duration_text,
    finite_number,
    parse_duration,
    parse_pairs,
    parse_ports,
    quoted,
)
from otelauto.discovery.globs import Glob
from otelauto.errors import ConfigError
from otelauto.options import BadValueError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("0", 0.0),
        ("10us", 0.00001),
        ("10µs", 0.00001),
        (".5s", 0.5),
        ("+2s", 2.0),
    ],
)
def test_durations_are_those_of_go(text, seconds):
    assert seconds == pytest.approx(parse_duration(text), abs=1e-12)


@pytest.mark.parametrize("text", ["", "s", "5 s", "5x", "5s5", "-1s", "1e3s", "9999999h", "٣s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(BadValueError):
        parse_duration(text)


def test_a_number_without_unit_says_which_units_to_write():
    with pytest.raises(BadValueError, match="write 5s, 5ms or 5m"):
        parse_duration("5")


@given(st.integers(min_value=0, max_value=10**15))
def test_a_duration_survives_being_shown(nanoseconds):
    shown = duration_text(nanoseconds / 1e9)
    assert nanoseconds / 1e9 == pytest.approx(parse_duration(shown), abs=1e-6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (5, "5s"), (90, "1m30s"), (3600, "1h"), (0.25, "250ms"), (1.5, "1500ms")],
)
def test_durations_are_shown_short(seconds, text):
    assert text == duration_text(seconds)


@pytest.mark.parametrize(
    ("texts", "ranges"),
    [
        (("443",), ((443, 443),)),
        (("80,443,8000-8999",), ((80, 80), (443, 443), (8000, 8999))),
        (("80", "443"), ((80, 80), (443, 443))),
        ((" 1 - 3 , 2-5",), ((1, 5),)),
        (("2", "1"), ((1, 2),)),
        (("1-65535",), ((1, 65535),)),
    ],
)
def test_ports_become_sorted_ranges_that_do_not_touch(texts, ranges):
    assert ranges == parse_ports(texts).ranges


@pytest.mark.parametrize("text", ["0", "70000", "9000-8000", "", "80,", "a", "-1", "80-", "8 0"])
def test_bad_ports_are_refused(text):
    with pytest.raises(BadValueError):
        parse_ports((text,))


def test_each_bad_port_is_named_with_its_place():
    with pytest.raises(BadValueError) as caught:
        parse_ports(("80", "70000", "0"))
    assert tuple(place for place, _ in caught.value.items) == (1, 2)


@given(st.text(alphabet="ab[]!{},\\*?-z", max_size=12))
def test_globs_are_refused_exactly_when_the_matcher_refuses_them(text):
    try:
        Glob(text)
        valid = True
    except ConfigError:
        valid = False
    try:
        accepted = check_glob(text) == text
    except BadValueError:
        accepted = False
    assert valid == accepted


def test_pairs_keep_equals_signs_and_decode_percent_signs():
    pairs, problems = parse_pairs("service.name=shop, version=1.2,note=a%3Db%2Cc,x=a=b,")
    expected = (("service.name", "shop"), ("version", "1.2"), ("note", "a=b,c"), ("x", "a=b"))
    assert (expected, ()) == (pairs, problems)


def test_bad_pairs_are_told_by_place_and_never_by_value():
    pairs, problems = parse_pairs("a=1,s3cret,b=%zz,c=%ff,=v")
    assert pairs == (("a", "1"),)
    assert len(problems) == 4
    assert "s3cret" not in " ".join(problems)


def test_quoted_texts_are_bounded_and_hold_no_control_character():
    shown = quoted("\x1b[31m" + "x" * 500)
    assert "\x1b" not in shown
    assert len(shown) < 100


@pytest.mark.parametrize("text", ["nan", "inf", "1" * 400, "x", ""])
def test_only_finite_numbers_are_numbers(text):
    with pytest.raises(BadValueError):
        finite_number(text)
