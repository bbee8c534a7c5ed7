"""The agent's files: every text stays what it is, and no secret stands in the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.otelauto.fleet.plugins.plugin_utils.agent_file import (
    AgentFileError,
    agent_yaml,
    clear_secrets,
    local_endpoints,
    selects,
    unit_settings,
    yaml_or_empty,
)
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "otelauto.schema.json").read_text())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["ebpf", "on", "null", "1", "a b"]), values, max_size=3))
def test_what_is_written_reads_back(config):
    assert config == yaml.safe_load(agent_yaml(config, "a note\nof two lines"))


def test_the_form():
    config = {"ebpf": {"open_port": "80,443"}, "discovery": {"instrument": [{"name": "on"}]}}
    assert (
        '---\n# by hand\nebpf:\n  open_port: "80,443"\ndiscovery:\n  instrument:\n  - name: "on"\n'
    ) == agent_yaml(config, "by hand")


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(AgentFileError, match="surrogate"):
        agent_yaml({"service_name": "\ud800"})


@pytest.mark.parametrize("text", ["", "[", "- a", "\t", "a: b: c"])
def test_what_is_no_mapping_is_empty(text):
    assert {} == yaml_or_empty(text)


CLEAR = {
    "a header with a telling name": (
        {"otel_metrics_export": {"headers": {"Authorization": "Basic x", "X-Scope-OrgID": "t"}}},
        ["otel_metrics_export.headers.Authorization"],
    ),
    "headers as text": (
        {"otel_traces_export": {"headers": "authorization=x"}},
        ["otel_traces_export.headers"],
    ),
    "a password": (
        {"prometheus_export": {"basic_auth": {"username": "u", "password": "p"}}},
        ["prometheus_export.basic_auth.password"],
    ),
    "variables": (
        {
            "otel_metrics_export": {"headers": {"authorization": "Basic ${TOKEN}"}},
            "prometheus_export": {"basic_auth": {"password": "${P}"}},
        },
        [],
    ),
}


@pytest.mark.parametrize(("config", "expected"), CLEAR.values(), ids=CLEAR)
def test_secrets_in_clear_text_are_found(config, expected):
    assert expected == clear_secrets(config, SCHEMA)


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://localhost:4318", "4318"),
        ("http://127.0.0.1:4318/v1", "4318"),
        ("http://[::1]:4317", "4317"),
        ("http://localhost", "80"),
        ("https://localhost/", "443"),
        ("https://localhost.example.com:4318", None),
        ("https://otlp.example.com", None),
        ("${ENDPOINT}", None),
    ],
)
def test_endpoints_on_the_host_are_known_by_their_port(endpoint, port):
    found = local_endpoints({"otel_metrics_export": {"endpoint": endpoint}})
    assert ([port] if port else []) == [one["port"] for one in found]


def test_an_exact_endpoint_wins():
    section = {"endpoint": "http://localhost:1", "exact_endpoint": "http://localhost:2/x"}
    [found] = local_endpoints({"otel_traces_export": section})
    assert {"signal": "traces", "endpoint": "http://localhost:2/x", "port": "2"} == found


@pytest.mark.parametrize(
    ("config", "environment", "expected"),
    [
        ({}, {}, False),
        ({"ebpf": None, "discovery": {"instrument": []}}, {}, False),
        ({"ebpf": {"open_port": 80}}, {}, True),
        ({"ebpf": {"system_wide": True}}, {}, True),
        ({"discovery": {"instrument": [{"name": "x"}]}}, {}, True),
        ({}, {"BEYLA_OPEN_PORT": "80"}, True),
        ({}, {"TOKEN": "x"}, False),
    ],
)
def test_whether_something_is_selected(config, environment, expected):
    assert expected == selects(config, environment)


def test_settings_of_a_unit():
    assert "CPUWeight=50\nNice=-5\nProtectHome=yes\nEnvironment=A=1\nEnvironment=B=2" == (
        unit_settings(
            {"CPUWeight": 50, "Nice": -5, "ProtectHome": True, "Environment": ["A=1", "B=2"]}
        )
    )


@pytest.mark.parametrize("value", ["a\nExecStart=/bin/sh", "a\\", "a\r", {"x": 1}, ["a\n"]])
def test_a_value_cannot_begin_another_line(value):
    with pytest.raises(AgentFileError, match="setting CPUWeight"):
        unit_settings({"CPUWeight": value})


@pytest.mark.parametrize("name", ["cpuWeight", "A=B", "[Unit]", "A B", "", 1])
def test_a_bad_setting_is_refused(name):
    with pytest.raises(AgentFileError, match="not a setting"):
        unit_settings({name: 1})
