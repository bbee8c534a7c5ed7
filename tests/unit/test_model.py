"""The values between the stages are immutable, comparable and count right."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto import model

VALUES = [
    value
    for value in vars(model).values()
    if dataclasses.is_dataclass(value) and isinstance(value, type)
]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_every_value_is_frozen_and_has_no_dict(kind):
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


@given(st.lists(st.tuples(st.text(), st.integers()), unique_by=lambda item: item[0]))
def test_equal_sets_of_attributes_are_equal_values(items):
    assert model.sorted_attributes(items) == model.sorted_attributes(reversed(items))
    assert sorted(name for name, _ in items) == [n for n, _ in model.sorted_attributes(items)]


@given(st.lists(st.integers(min_value=0), min_size=1))
def test_a_histogram_counts_each_observation_once(counts):
    bounds = tuple(float(number) for number in range(len(counts) - 1))
    point = model.HistogramPoint((), 0, 0.0, bounds, tuple(counts))
    assert sum(counts) == point.count


def test_a_process_that_told_nothing_is_only_its_id():
    process = model.Process(pid=7, start_ticks=42)
    told = (process.exe, process.cmdline, dict(process.environ), process.listen_ports)
    assert ("", (), {}, frozenset()) == told
