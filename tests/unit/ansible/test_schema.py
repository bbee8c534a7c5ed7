"""The controller's check of the agent's configuration agrees with JSON Schema's reference."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.schema import SchemaError, problems
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "otelauto.schema.json").read_text())
REFERENCE = jsonschema.Draft202012Validator(SCHEMA)

GOOD = [
    {},
    {"ebpf": {"open_port": 443}, "otel_metrics_export": {"endpoint": "http://localhost:4318"}},
    {"ebpf": None},
    {"discovery": {"instrument": [{"open_ports": "80,443", "name": "web"}]}},
    {"prometheus_export": {"port": "${PORT}"}},
]
BAD = {
    "an unknown key": ({"discovry": {}}, "discovry is unknown; do you mean discovery?"),
    "a nested unknown key": ({"ebpf": {"opn_port": 1}}, "ebpf.opn_port is unknown"),
    "a port beyond the last": ({"prometheus_export": {"port": 70000}}, "prometheus_export.port"),
    "a word that is none": ({"log_level": "LOUD"}, "log_level is not one of DEBUG"),
    "a list for a mapping": ({"ebpf": []}, "ebpf is not an object"),
    "an item": (
        {"discovery": {"instrument": [{"nam": 1}]}},
        "discovery.instrument[0].nam is unkn",
    ),
}


@pytest.mark.parametrize("config", GOOD)
def test_good_configurations_pass(config):
    assert [] == problems(config, SCHEMA)


@pytest.mark.parametrize(("config", "message"), BAD.values(), ids=BAD)
def test_bad_ones_are_told_by_path(config, message):
    found = problems(config, SCHEMA)
    assert [True] == [line.startswith(message) for line in found], found


def test_a_value_is_never_shown():
    found = problems({"prometheus_export": {"port": "s3cret"}, "log_level": "s3cret"}, SCHEMA)
    assert 2 == len(found)
    assert "s3cret" not in "".join(found)


def test_an_unknown_keyword_is_not_passed_over():
    with pytest.raises(SchemaError, match="dependentRequired"):
        problems({}, {"dependentRequired": {}})


leaves = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        443,
        70000,
        -1,
        1.5,
        "80,443",
        "5s",
        "x",
        "",
        "${X}",
        "auto",
        "INFO",
        [],
        {},
    ]
)
names = st.sampled_from(
    sorted(
        {
            name
            for section in SCHEMA["properties"].values()
            for name in section.get("properties", {})
        }
        | set(SCHEMA["properties"])
    )
)
configs = st.dictionaries(
    names,
    leaves | st.dictionaries(names, leaves | st.lists(leaves, max_size=2), max_size=2),
    max_size=2,
)


@st.composite
def likely(draw):
    """A configuration whose keys stand where they belong, so that values are reached."""
    section = draw(st.sampled_from(sorted(SCHEMA["properties"])))
    inside = SCHEMA["properties"][section].get("properties")
    if not inside:
        return {section: draw(leaves)}
    key = draw(st.sampled_from(sorted(inside)))
    return {section: {key: draw(leaves | st.lists(leaves, max_size=2))}}


@given(configs | likely())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_it_agrees_with_the_reference(config):
    assert REFERENCE.is_valid(config) == (not problems(config, SCHEMA))
