"""Runs amount to medians; the table and the chart say the same."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from tests.bench.comparison import Run, chart, rows, table

RUNS = [
    Run("bare", 1000, 2, 0.5, 20_000_000, 900, 2000),
    Run("<sdk>", 500, 2, 0.5, 60_000_000, 1800, 4000),
    Run("bare", 1000, 2, 0.7, 22_000_000, 1000, 3000),
    Run("bare", 1200, 2, 0.6, 24_000_000, 1100, 9000),
]


def test_a_way_is_the_medians_of_its_runs_and_what_it_adds_to_the_bare_one():
    bare, sdk = rows(RUNS)
    assert ("bare", 500, 22, 1000, 3000) == (
        bare.way,
        bare.rate,
        bare.pss_mb,
        bare.p50_us,
        bare.p99_us,
    )
    assert pytest.approx(500) == bare.cpu_us
    assert pytest.approx(0) == bare.added_us
    assert pytest.approx(500) == sdk.added_us


def test_nothing_is_compared_without_the_bare_application():
    with pytest.raises(ValueError, match="no values"):
        rows(RUNS[1:2])


def test_the_table_is_markdown_with_a_line_for_each_way():
    head, rule, bare, sdk = table(rows(RUNS)).splitlines()
    assert 1 == len({line.count("|") for line in (head, rule, bare, sdk)})
    assert "| bare | 500 | 500 | 0 | 22.0 | 1000 | 3000 |" == bare
    assert "| <sdk> | 250 | 1000 | 500 | 60.0 | 1800 | 4000 |" == sdk


def test_the_bars_of_the_chart_are_as_long_as_their_values():
    root = ET.fromstring(chart(rows(RUNS)))
    space = "{http://www.w3.org/2000/svg}"
    _, bare, sdk = (float(rect.get("width")) for rect in root.iter(f"{space}rect"))
    assert pytest.approx(sdk) == 2 * bare
    assert "<sdk>" in [text.text for text in root.iter(f"{space}text")]
