"""The catalogue names every metric once, and every kernel counter has a place in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otelauto.metrics import catalog

ABI = Path(__file__).parents[3] / "bpf" / "abi.h"


def _kernel_counters() -> list[str]:
    body = re.search(r"enum count \{(.*?)\n\};", ABI.read_text(), re.DOTALL)
    assert body is not None
    names = re.findall(r"^\t(COUNT_\w+) = \d+,", body.group(1), re.MULTILINE)
    return [name for name in names if name != "COUNT_MAX"]


def test_every_kernel_counter_is_exported_once_and_in_the_order_of_the_contract():
    assert _kernel_counters() == [count.name for count in catalog.KERNEL_COUNTS]


def test_kernel_counters_never_share_a_point():
    points = [(count.metric.name, count.attributes) for count in catalog.KERNEL_COUNTS]
    assert len(points) == len(set(points))


def test_kernel_counters_use_only_the_attributes_that_the_catalogue_declares():
    declared = {entry.metric.name: set(entry.attributes) for entry in catalog.CATALOG}
    for count in catalog.KERNEL_COUNTS:
        assert {name for name, _ in count.attributes} == declared[count.metric.name]


def test_each_name_is_declared_once():
    names = [entry.metric.name for entry in catalog.CATALOG]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("entry", catalog.CATALOG, ids=lambda entry: entry.metric.name)
def test_an_entry_is_complete(entry):
    """A unit, a sentence of help, a legal name and sorted attributes: nothing is left blank."""
    assert entry.metric.unit
    assert entry.metric.description.endswith(".")
    assert re.fullmatch(r"[a-z][a-z0-9_.]*[a-z0-9]", entry.metric.name)
    assert tuple(sorted(set(entry.attributes))) == entry.attributes


def test_every_public_metric_constant_is_in_the_catalogue():
    listed = {entry.metric for entry in catalog.CATALOG}
    constants = {
        getattr(catalog, name)
        for name in catalog.__all__
        if isinstance(getattr(catalog, name), catalog.Metric)
    }
    assert constants == listed
