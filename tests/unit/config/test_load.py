from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otelauto.config.load import load, loads, survey
from otelauto.errors import ConfigError, NothingSelectedError

SEED = """\
ebpf:
  open_port: 443
otel_metrics_export:
  endpoint: http://localhost:4318
otel_traces_export:
  endpoint: http://localhost:4318
"""


def test_the_first_example_of_the_product_is_valid(tmp_path):
    path = tmp_path / "instrumenter-config.yml"
    path.write_text(SEED)
    loaded = load(path, environ={})
    assert str(loaded.config.ebpf.open_port) == "443"
    assert str(loaded.config.otel_metrics_export.url) == "http://localhost:4318/v1/metrics"
    assert "http://localhost:4318/v1/traces" == str(loaded.config.otel_traces_export.url)
    assert () == loaded.notices
    assert f"{path}:2" == loaded.origins["ebpf.open_port"].text(loaded.file)


@pytest.mark.parametrize(
    "selector",
    [
        "ebpf: {open_port: 443}",
        "open_port: 443",
        "discovery: {services: [{open_ports: 443}]}",
        "discovery: {instrument: [{open_ports: 443}]}",
    ],
)
def test_the_selectors_of_all_versions_of_the_example_select_the_same_port(selector):
    rest = "\notel_metrics_export: {endpoint: 'http://localhost:4318'}\n"
    config = loads(selector + rest, file="o.yml", environ={}).config
    entries = [entry.open_ports for entry in config.discovery.instrument]
    assert [str(ports) for ports in (config.ebpf.open_port, *entries) if ports] == ["443"]


def test_the_environment_alone_configures_the_agent():
    environ = {"OPEN_PORT": "8080", "PROMETHEUS_PORT": "9400"}
    loaded = load(None, environ=environ)
    assert (
        str(loaded.config.ebpf.open_port),
        loaded.config.prometheus_export.port,
    ) == ("8080", 9400)
    assert loaded.notices == ()


def test_nothing_at_all_is_an_error_without_a_file_name():
    with pytest.raises(ConfigError) as caught:
        load(None, environ={})
    assert caught.value.message.startswith("nothing is selected")
    assert caught.value.exit_code == 2


def test_an_empty_file_says_that_it_is_empty(faults):
    lines = faults("# nothing here\n")
    assert lines[0] == "o.yml: the file is empty"
    assert len(lines) == 3


def test_all_faults_are_told_at_once_in_the_order_of_the_file(faults):
    text = """\
discovry: {}
ebpf:
  open_port: 70000
  interval: 5s
otel_metrics_export:
  endpoint: 127.0.0.1:4318
  interval: 5
  protocol: http
prometheus_export:
  port: 1
  port: 2
"""
    lines = faults(text, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="h:4318")
    assert lines[0].startswith("variable OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ")
    assert [int(line.split(":")[1]) for line in lines[1:]] == [1, 3, 4, 6, 7, 8, 11]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("discovry: {}", 'o.yml:1: unknown key "discovry" (did you mean "discovery"?)'),
        ("ebpf: {OPEN_PORT: 1}", '(did you mean "open_port"?)'),
        ("otel_metrics: {}", '(did you mean "otel_metrics_export"?)'),
        ("interval: 5s", "its place is otel_metrics_export.interval"),
        ("ebpf: {instrument: []}", "its place is discovery.instrument"),
        ("network: {}", "has no counterpart here"),
        ("ebpf: {qqq: 1}", "keys under ebpf: open_port"),
        ("ebpf: 443", '"ebpf" must be a mapping, not one value'),
        ("discovery: {instrument: {}}", "must be a list"),
        ("discovery: {instrument: [80]}", "must be a mapping"),
        ("ebpf: {open_port: {a: 1}}", "not a mapping"),
        ("log_level: [INFO]", "one value is expected"),
        ("discovery: {instrument: [{exe_path: '[bad'}]}", 'unclosed "["'),
        ("ebpf: {batch_length: 0}", "0 is outside 1 to"),
        ("- a", "the configuration must be a mapping, not a list"),
        ("443", "the configuration must be a mapping, not one value"),
    ],
)
def test_a_wrong_key_or_shape_says_what_is_right(faults, text, expected):
    lines = faults(text)
    assert lines[0].startswith("o.yml:1: ")
    assert expected in lines[0]


def test_the_number_of_shown_faults_is_bounded(faults):
    lines = faults("\n".join(f"key{number}zz: 1" for number in range(200)))
    assert len(lines) == 51
    assert lines[-1] == "150 more problems"


def test_secrets_show_neither_in_the_values_nor_in_notices_nor_in_faults(faults):
    text = """\
ebpf: {open_port: 80}
otel_metrics_export:
  endpoint: http://u:s3cret@h:4318/?k=s3cret
  headers: {authorization: Bearer s3cret}
prometheus_export:
  port: 9400
  basic_auth: {username: u, password: s3cret}
"""
    loaded = loads(text, file="o.yml", environ={})
    assert loaded.config.otel_metrics_export.headers[0][1].reveal() == "Bearer s3cret"
    assert "s3cret" not in repr(loaded)
    assert "s3cret" not in "\n".join(faults(text + "noop: x\n"))


KEYS = st.sampled_from([
    "ebpf", "open_port", "discovery", "instrument", "routes", "patterns", "unmatch", "headers",
    "otel_metrics_export", "endpoint", "buckets", "duration_histogram", "<<", "x", "port",
])  # fmt: skip
VALUES = st.sampled_from(
    ["1", "'1'", "~", "*a", "&a x", "${X}", "$$", "[1, 2]", "{x: 1}", "http://u:p@h", "5s", "!x y"]
)


@st.composite
def documents(draw):
    lines = draw(st.lists(st.tuples(st.integers(0, 3), st.booleans(), KEYS, VALUES), max_size=8))
    return "\n".join(
        f"{'  ' * depth}{'- ' if dash else ''}{key}: {value if depth else ''}"
        for depth, dash, key, value in lines
    )


@given(documents() | st.text(max_size=60))
@example("a: &a [*a]")
@example("\ufeff")
def test_any_text_is_a_configuration_or_a_config_error(text):
    message = "none"
    try:
        loads(text, file="o.yml", environ={"X": "x"})
    except ConfigError as error:
        message = error.message
    assert message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_configuration_or_a_config_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "o.yml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load(path, environ={})


@given(
    st.dictionaries(
        st.sampled_from(["OPEN_PORT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES",
                         "OTEL_EXPORTER_OTLP_ENDPOINT", "METRICS_INTERVAL", "LOG_LEVEL",
                         "OTEL_TRACES_SAMPLER_ARG", "OTELAUTO_ROUTES_PATTERNS"]),
        st.text(max_size=30),
    )
)  # fmt: skip
def test_any_environment_is_a_configuration_or_a_config_error(environ):
    message = "none"
    try:
        loads("", file="", environ=environ)
    except ConfigError as error:
        message = error.message
    assert message


def test_a_survey_gives_what_is_valid_and_what_is_wrong_with_the_rest(tmp_path):
    path = tmp_path / "o.yml"
    path.write_text("open_port: 80\nprometheus_export: {port: 9400, path: nonsense}\n")
    loaded, fault = survey(path, environ={})
    assert (9400, "/metrics") == (
        loaded.config.prometheus_export.port, loaded.config.prometheus_export.path
    )  # fmt: skip
    with pytest.raises(ConfigError) as error:
        load(path, environ={})
    assert str(error.value) == str(fault)


def test_a_survey_of_a_file_without_a_selector_has_its_exporters(tmp_path):
    path = tmp_path / "o.yml"
    path.write_text("prometheus_export: {port: 9400}\n")
    loaded, fault = survey(path, environ={})
    assert 9400 == loaded.config.prometheus_export.port
    assert isinstance(fault, NothingSelectedError)


def test_a_survey_of_what_is_no_yaml_has_the_environment(tmp_path):
    path = tmp_path / "o.yml"
    path.write_text("a: [\n")
    loaded, fault = survey(path, environ={"PROMETHEUS_PORT": "9400"})
    assert 9400 == loaded.config.prometheus_export.port
    assert str(fault).startswith(f"{path}:")
