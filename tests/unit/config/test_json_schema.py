from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from otelauto.config.json_schema import argument_options, json_schema, json_schema_text

VALIDATOR = Draft202012Validator(json_schema())


def test_the_schema_is_valid_and_its_text_is_the_schema():
    Draft202012Validator.check_schema(json_schema())
    assert json_schema() == json.loads(json_schema_text())


@pytest.mark.parametrize(
    "document",
    [
        {"ebpf": {"open_port": 443}, "otel_metrics_export": {"endpoint": "http://h"}},
        {"ebpf": {"open_port": "80,443,8000-8999"}},
        {"ebpf": {"open_port": [80, "8000-8999"]}},
        {"ebpf": None, "routes": {"unmatched": "${X}"}},
        {"open_port": "1", "routes": {"unmatch": "path"}},
        {"discovery": {"services": [{"name": 1, "target_pids": [1]}]}},
        {"prometheus_export": {"buckets": {"duration_histogram": [1, 2.5]}}},
        {"otel_metrics_export": {"interval": "1m30s", "headers": {"a": "b"}}},
    ],
)
def test_valid_documents_pass(document):
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "document",
    [
        {"discovry": {}},
        {"ebpf": {"open_port": 70000}},
        {"ebpf": 443},
        {"otel_metrics_export": {"interval": 5}},
        {"discovery": {"instrument": [{"x": 1}]}},
        {"log_level": "LOUD"},
    ],
)
def test_documents_with_faults_do_not_pass(document):
    assert not VALIDATOR.is_valid(document)


def test_options_name_their_variables_and_whether_a_reload_applies_them():
    option = json_schema()["properties"]["ebpf"]["properties"]["open_port"]
    assert option["x-env-var"] == ["OTELAUTO_EBPF_OPEN_PORT", "OPEN_PORT", "BEYLA_OPEN_PORT"]
    assert option["x-reload"] == "live"


def test_arguments_are_nested_like_the_file_and_hide_secrets():
    options = argument_options()
    auth = options["prometheus_export"]["options"]["basic_auth"]["options"]
    assert (auth["password"]["type"], auth["password"]["no_log"]) == ("str", True)
    assert (
        options["discovery"]["options"]["instrument"]["type"],
        options["discovery"]["options"]["instrument"]["elements"],
    ) == ("list", "dict")
    assert options["ebpf"]["options"]["headers"]["choices"] == ["auto", "bundled", "kernel"]
