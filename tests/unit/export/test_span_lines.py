"""A span is a line for people or for programs."""

from __future__ import annotations

import json

import pytest
from tests.unit.export.span_samples import span

from otelauto.export.span_lines import json_line, text_line

FIELDS = (
    ("http.request.method", "GET"),
    ("http.response.status_code", 200),
    ("http.route", "/users/{id}"),
    ("url.path", "/users/7"),
    ("client.address", "10.0.0.9"),
)


def test_a_line_says_when_how_long_what_and_in_which_trace():
    expected = (
        "2023-11-14T22:13:20.000000Z (1.500 ms) shop in 200 GET /users/7 (/users/{id})"
        f" peer=10.0.0.9 trace={1:032x} span={1:016x} parent=-\n"
    )
    assert expected == text_line(span(attributes=FIELDS))


def test_what_is_not_known_is_a_dash_and_a_failure_is_named():
    line = text_line(span(attributes=(("error.type", "no_response"),), kind="client"))
    assert " out no_response - - - peer=- " in line


@pytest.mark.parametrize("path", ["/\x1b[31m", "/\n", "/\ud800", "/\u202e"])
def test_nothing_from_the_wire_reaches_a_terminal(path):
    line = text_line(span(attributes=(("url.path", path),)))
    assert line.endswith("\n")
    assert line[:-1].isprintable()


def test_an_object_holds_the_whole_span():
    found = json.loads(json_line(span(attributes=FIELDS, failed=True, parent_id=b"\1" * 8)))
    assert ("error", "01" * 8, dict(FIELDS)) == (
        found["status"],
        found["parent_id"],
        found["attributes"],
    )
    assert "shop" == found["resource"]["service.name"]
    assert 1_500_000 == found["end_unix_nano"] - found["start_unix_nano"]
