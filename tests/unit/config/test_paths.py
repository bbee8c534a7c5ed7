from __future__ import annotations

import pytest

from otelauto.config.exports import OtelMetricsExport
from otelauto.config.paths import derived_variable, leaves, moved, suggestion, variables
from otelauto.config.schema import Config, Ebpf


def test_paths_are_unique_and_dotted():
    paths = [leaf.path for leaf in leaves()]
    assert len(paths) == len(set(paths))
    assert {"log_level", "ebpf.open_port", "discovery.instrument[].routes.patterns"} <= set(paths)


def test_every_option_outside_of_entries_has_a_variable_of_its_own():
    own = [variables(leaf)[0].name for leaf in leaves() if not leaf.in_entry]
    assert len(own) == len(set(own))
    assert derived_variable("ebpf.open_port") == "OTELAUTO_EBPF_OPEN_PORT"
    assert all(name.startswith("OTELAUTO_") for name in own)


def test_options_of_entries_have_no_variable():
    assert {()} == {variables(leaf) for leaf in leaves() if leaf.in_entry}


def test_former_places_lead_to_present_ones():
    paths = {leaf.path for leaf in leaves()} | {"buckets"}
    assert set(moved().values()) <= paths
    assert not set(moved()) & paths


@pytest.mark.parametrize(
    ("key", "cls", "section", "expected"),
    [
        ("discovry", Config, "", 'did you mean "discovery"?'),
        ("open_prt", Ebpf, "ebpf", 'did you mean "open_port"?'),
        ("open_prts", Config, "", 'did you mean "ebpf.open_port"?'),
        ("otel_traces", Config, "", 'did you mean "otel_traces_export"?'),
        ("pids", Ebpf, "ebpf", "its place is discovery.instrument[].pids"),
        ("ttl", OtelMetricsExport, "otel_metrics_export", "has no counterpart here"),
        ("zzz", OtelMetricsExport, "otel_metrics_export", "keys under otel_metrics_export: end"),
        ("", Config, "", "keys at the top level: log_level"),
    ],
)
def test_an_unknown_key_gets_the_most_useful_answer(key, cls, section, expected):
    assert expected in suggestion(key, cls, section)
