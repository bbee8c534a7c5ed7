"""Results are held against the right side of their bars."""

from __future__ import annotations

import pytest
from tests.bench.bars import BARS, all_reached, results, table


def reached(name, value):
    return next(result.reached for result in results({name: value}) if result.bar.name == name)


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("nginx_ratio", 0.90, True),
        ("nginx_ratio", 0.899, False),
        ("nginx_added_us", 0.8, True),
        ("nginx_added_us", 0.81, False),
        ("counted_ratio", 1, True),
        ("counted_ratio", 0.999999, False),
        ("counted_ratio", 1.000001, False),
    ],
)
def test_a_bar_is_reached_on_its_own_side_and_exactly_at_it(name, value, verdict):
    assert verdict is reached(name, value)


def test_what_was_not_measured_neither_misses_nor_reaches():
    assert all(result.reached is None for result in results({}))
    assert all_reached({})


def test_one_miss_is_a_miss():
    assert not all_reached({"nginx_ratio": 0.95, "app_ratio": 0.9})


def test_a_value_without_a_bar_is_a_mistake():
    with pytest.raises(KeyError, match="no bar for typo"):
        results({"typo": 1.0})


def test_the_table_has_a_line_per_bar_and_names_misses():
    text = table({"nginx_ratio": 0.5})
    assert 1 + len(BARS) == len(text.splitlines())
    assert "0.500  >= 0.9" in text
    assert 1 == text.count("MISSED")
