"""What a collector would not load is told before it is shipped."""

from __future__ import annotations

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.check import check
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.errors import MeaningError
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.parser import parse

GOOD = """
otelcol.receiver.otlp "default" {
	http { }
	output {
		metrics = [otelcol.exporter.prometheus.default.input]
	}
}
otelcol.exporter.prometheus "default" {
	forward_to = [prometheus.remote_write.m.receiver]
}
prometheus.remote_write "m" {
	external_labels = {host = constants.hostname}
	endpoint {
		url = "https://" + sys.env("HOST")
	}
}
"""

BAD = {
    "a reference to nothing": (
        "remote_write.m.receiver",
        "remote_write.x.receiver",
        "refers to nothing",
    ),
    "an export that is none": ("m.receiver", "m.input", "exports no 'input'"),
    "an unknown function": ("sys.env", "sys.getenv", "no function 'sys.getenv'"),
    "a component twice": (
        'prometheus.remote_write "m"',
        'otelcol.receiver.otlp "default"',
        "given twice",
    ),
    "a bare name": ("constants.hostname", "True", "True refers to nothing"),
    "a cycle": ('"https://"', "otelcol.exporter.prometheus.default.input", "a cycle: "),
    "an attribute twice": ("external_labels", "endpoint = 1\n\tendpoint", "given twice in prom"),
    "an attribute at the top": (
        "\notelcol.receiver",
        "\na = 1\notelcol.receiver",
        "only blocks may",
    ),
}


def test_a_good_file_passes():
    check(parse(GOOD))


@pytest.mark.parametrize(("old", "new", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_loaded_is_refused(old, new, message):
    assert old in GOOD
    with pytest.raises(MeaningError, match=message):
        check(parse(GOOD.replace(old, new)))


def test_the_agent_knows_no_namespaced_functions():
    with pytest.raises(MeaningError, match=r"'sys\.env' in the dialect agent"):
        check(parse(GOOD), "agent")
    check(parse(GOOD.replace("sys.env", "env")), "agent")
    check(parse(GOOD.replace("sys.env", "env")), "alloy")
