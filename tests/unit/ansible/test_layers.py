"""Layers of configuration: later over earlier, mappings merged, lists replaced, null removes."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.layers import (
    LayerError,
    merge_layers,
)
from hypothesis import given
from hypothesis import strategies as st

FLEET = {"log_level": "INFO", "ebpf": {"open_port": "80", "headers": "auto"}, "hosts": [1, 2]}

#: The examples of RFC 7396, appendix A, whose target and result are mappings.
RFC = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC)
def test_the_examples_of_the_rfc(target, patch, result):
    assert result == merge_layers([target, patch])


def test_a_host_overrides_one_key_of_its_group():
    host = {"ebpf": {"open_port": "8080"}, "hosts": [3]}
    assert {
        "log_level": "INFO",
        "ebpf": {"open_port": "8080", "headers": "auto"},
        "hosts": [3],
    } == merge_layers([FLEET, None, {}, host])


def test_a_layer_that_is_no_mapping_is_refused_by_number():
    with pytest.raises(LayerError, match="layer 2 is not a mapping but a list"):
        merge_layers([{}, []])


layers = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    ),
    max_size=3,
)


@given(st.lists(layers, max_size=4))
def test_merging_keeps_the_layers_and_the_last_word(given_layers):
    before = copy.deepcopy(given_layers)
    merged = merge_layers(given_layers)
    assert before == given_layers
    if given_layers:
        for key, value in given_layers[-1].items():
            if value is None:
                assert key not in merged
            elif not isinstance(value, dict):
                assert value == merged[key]
