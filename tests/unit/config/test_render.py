from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.config._document import Scalar, parse_document
from otelauto.config.load import load, loads
from otelauto.config.render import effective, yaml_text

WHOLE = """\
ebpf: {open_port: "80,8000-8999", bfp_debug: true}
discovery:
  instrument:
    - name: "a: #b"
      exe_path: ["*/x", "/y,{z,w}"]
      routes: {patterns: ["/a/{id}"], unmatched: wildcard}
      exports: []
      sampler: {name: always_on}
    - exe_path_regexp: "^/x$$"
  exclude_instrument: [{pids: [1, 2]}]
routes: {patterns: ["/users/{id}", "/s/*"], placeholder: "$$x"}
buckets: {duration_histogram: [0, 0.5]}
resource_attributes: {a.b: "c, d"}
otel_metrics_export: {endpoint: "http://h:4318/x", interval: 1m30s, timeout: 250ms}
prometheus_export: {port: 9400, listen_address: "::1"}
"""


def test_what_is_in_effect_is_read_back_to_the_same_values():
    loaded = loads(WHOLE, file="o.yml", environ={"LOG_LEVEL": "debug"})
    again = loads(effective(loaded), file="e.yml", environ={})
    assert loaded.config == again.config


def test_each_value_that_is_given_shows_where_it_comes_from():
    text = effective(loads(WHOLE, file="o.yml", environ={"LOG_LEVEL": "debug"}))
    lines = text.splitlines()
    assert "log_level: DEBUG  # variable LOG_LEVEL" in lines
    assert "  instrument:  # o.yml:3" in lines
    assert '    - name: "a: #b"  # o.yml:4' in lines
    assert "      exports: []  # o.yml:7" in lines
    assert "  bfp_debug: true  # o.yml:1" in lines
    assert "log_format: auto" in lines


def test_secrets_are_stars():
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cret",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://u:s3cret@localhost/x?k=s3cret",
        "OTELAUTO_PROMETHEUS_EXPORT_BASIC_AUTH_PASSWORD": "s3cret",
    }
    text = effective(loads("ebpf: {open_port: 1}", file="o.yml", environ=environ))
    assert "s3cret" not in text
    assert 'headers: {authorization: "***"}  # variable OTEL_EXPORTER_OTLP_HEADERS' in text
    assert 'password: "***"' in text


def test_a_file_name_cannot_add_lines(tmp_path):
    path = tmp_path / "o\nx: 1"
    path.write_text("ebpf: {open_port: 1}\nnoop: true")
    assert "\nx: 1" not in effective(load(path, environ={}))


@given(st.text(max_size=20))
def test_every_text_is_written_so_that_it_is_read_back(text):
    if not text.isprintable():
        return
    root = parse_document(f"[{yaml_text(text)}]", file="o.yml")
    (item,) = root.items
    assert isinstance(item, Scalar)
    assert (text, False) == (item.text, item.null)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        ("", '""'),
        ("null", '"null"'),
        ("a b", '"a b"'),
        ("/x/*", "/x/*"),
        (1.5, "1.5"),
        (["a", 1], "[a, 1]"),
        ({"a": "*"}, '{a: "*"}'),
    ],
)
def test_values_are_written_in_flow_style(value, text):
    assert text == yaml_text(value)
