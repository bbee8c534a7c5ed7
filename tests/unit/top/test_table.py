"""The lines: figures, order, choice, and what a terminal is shown."""

from __future__ import annotations

import json
import math

import pytest

from otelauto.top import table
from otelauto.top.page import Key, Tally

A = Key("cart", "in", "GET", "/a")
B = Key("cart", "in", "POST", "/b")
C = Key("shop", "in", "GET", "/c")


def tally(requests, errors=0, *, fast=None):
    low = requests if fast is None else fast
    return Tally(requests, errors, {1.0: low, 2.0: requests, math.inf: requests})


BEFORE = {A: tally(10), B: tally(0)}
NOW = {A: tally(30, 5), B: tally(8, fast=0), C: tally(2)}


def test_the_figures_are_those_of_the_interval():
    found = table.lines(BEFORE, NOW, seconds=2)
    assert (20, 5, 10.0, 0.5) == (
        found[A].requests, found[A].errors, found[A].rate, found[A].p50_seconds
    )  # fmt: skip
    assert 1.0 == found[C].rate


def test_the_whole_is_since_the_series_began_but_the_rate_is_not():
    found = table.lines(BEFORE, NOW, seconds=2, whole=True)
    assert (30, 10.0) == (found[A].requests, found[A].rate)


def test_earlier_rates_come_before_this_one():
    assert (1.0, 2.0, 10.0) == table.lines(BEFORE, NOW, seconds=2, history={A: [1.0, 2.0]})[
        A
    ].rates


def test_routes_of_a_service_become_one():
    found = table.by_service(NOW)
    assert {Key("cart", "in"), Key("shop", "in")} == set(found)
    assert Tally(38, 5, {1.0: 30, 2.0: 38, math.inf: 38}) == found[Key("cart", "in")]
    assert 30 == NOW[A].requests, "the page itself stays"


@pytest.mark.parametrize(
    ("sort", "first"),
    [("rate", "/a"), ("requests", "/a"), ("errors", "/a"), ("p50", "/b"), ("p95", "/b"),
     ("p99", "/b"), ("service", "/a"), ("route", "/a")],
)  # fmt: skip
def test_the_lines_can_be_sorted(sort, first):
    found = table.lines(BEFORE, NOW, seconds=1)
    shown = table.chosen(reversed(found.values()), sort=sort)
    assert (3, first) == (len(shown), shown[0].route)


def test_every_sort_has_a_case_above():
    assert {"rate", "requests", "errors", "p50", "p95", "p99", "service", "route"} == set(
        table.SORTS
    )


@pytest.mark.parametrize(("wanted", "routes"), [("CART", ["/a", "/b"]), ("/c", ["/c"]), ("z", [])])
def test_the_filter_looks_at_service_method_and_route(wanted, routes):
    found = table.lines(BEFORE, NOW, seconds=1)
    shown = table.chosen(found.values(), sort="route", wanted=wanted)
    assert routes == [line.route for line in shown]


def test_a_sparkline_has_a_bar_for_each_rate():
    assert "▁▅█" == table.sparkline([0, 5, 10])
    assert "▁▁" == table.sparkline([0, 0])
    assert "" == table.sparkline([])


def test_colours_are_for_those_who_ask_and_red_where_there_are_errors():
    found = table.chosen(table.lines(BEFORE, NOW, seconds=1).values(), sort="rate")
    assert "\x1b" not in table.as_text(found)
    head, first, second, _ = table.as_text(found, colour=True).splitlines()
    assert head.startswith("\x1b[1m")
    assert first.startswith("\x1b[31m")
    assert not second.startswith("\x1b")


def test_lines_fit_the_terminal_and_those_left_out_are_counted():
    long = Key("cart", "in", "GET", "/x" * 90)
    found = list(table.lines({}, {long: tally(1), A: tally(2)}, seconds=1).values())
    text = table.as_text(found, width=100, limit=1)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert text.endswith("... and 1 more\n")
    assert "(no requests yet)" in table.as_text([])


def test_what_a_terminal_would_obey_is_not_printed():
    evil = Key("cart", "in", "GET", "/\x1b[2J")
    assert "\x1b" not in table.as_text(list(table.lines({}, {evil: tally(1)}, seconds=1).values()))


def test_json_is_a_list_of_objects_with_the_figures():
    [one] = json.loads(table.as_json([table.lines({}, {A: tally(4)}, seconds=2)[A]]))
    assert {"service": "cart", "route": "/a", "requests": 4, "rate": 2.0}.items() <= one.items()
    assert "rates" not in one
