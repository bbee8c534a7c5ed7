from __future__ import annotations

import pytest

from otelauto.config.load import loads

SELECTED = "ebpf: {open_port: 80}\n"


def test_a_configuration_that_selects_nothing_says_what_to_set(faults):
    (line,) = faults("print_traces: true\n")
    assert line.startswith("o.yml: nothing is selected; set ebpf.open_port")


def test_a_configuration_that_exports_nothing_says_what_to_set(faults):
    (line,) = faults(SELECTED)
    assert line.startswith("o.yml: no exporter is enabled; set otel_metrics_export.endpoint")


@pytest.mark.parametrize(
    "text",
    [
        "print_traces: true",
        "trace_printer: json",
        "noop: true",
        "prometheus_export: {port: 9400}",
        "otel_metrics_export: {endpoint: 'http://h'}",
        "otel_metrics_export: {exact_endpoint: 'http://h/x'}",
    ],
)
def test_each_exporter_suffices(text):
    assert loads(SELECTED + text, file="o.yml", environ={}).config.has_metrics_exporter


@pytest.mark.parametrize(
    "text",
    [
        "ebpf: {open_port: 80}",
        "ebpf: {executable_name: nginx}",
        "executable_name: ngin[x]",
        "ebpf: {system_wide: true}",
        "ebpf: {exe_path: '*/nginx'}",
        "discovery: {instrument: [{pids: [1]}]}",
        "discovery: {instrument: [{cmd_args: '*x*'}]}",
        "discovery: {instrument: [{systemd_unit: 'a@*'}]}",
        "discovery: {services: [{exe_path_regexp: x}]}",
    ],
)
def test_each_selector_suffices(text):
    assert loads(text + "\nnoop: true", file="o.yml", environ={}).config.has_selector


def test_a_misspelt_section_is_not_also_reported_as_missing(faults):
    assert faults("discovry: {instrument: [{open_ports: 80}]}\nnoop: true\n") == [
        'o.yml:1: unknown key "discovry" (did you mean "discovery"?)'
    ]


def test_a_bad_port_is_not_also_reported_as_no_selector(faults):
    assert faults("ebpf: {open_port: 0}\nnoop: true\n") == [
        "o.yml:1: ebpf.open_port: port 0 is outside 1 to 65535"
    ]


def test_traces_alone_are_enough():
    text = SELECTED + "otel_traces_export: {endpoint: 'http://h:4318'}\n"
    found = loads(text, file="", environ={})
    assert (False, True) == (found.config.has_metrics_exporter, found.config.has_traces_exporter)


def test_traces_beside_metrics_are_nothing_to_notice(read):
    assert () == read("otel_traces_export:\n  endpoint: http://localhost:4318\n").notices


def test_a_disabled_agent_needs_neither_selector_nor_exporter():
    assert loads("", file="", environ={"OTEL_SDK_DISABLED": "true"}).config.sdk_disabled


@pytest.mark.parametrize("key", ["instrument", "exclude_instrument", "default_exclude_instrument"])
def test_an_entry_without_criterion_is_an_error_at_its_line(faults, key):
    text = f"{SELECTED}noop: true\ndiscovery:\n  {key}:\n    - pids: [1]\n    - name: x\n"
    (line,) = faults(text)
    assert line.startswith(f"o.yml:6: discovery.{key}[1] selects nothing")


def test_system_wide_excludes_the_other_quick_selectors(faults):
    (line,) = faults("ebpf:\n  open_port: 80\n  system_wide: true\nnoop: true\n")
    assert line.startswith("o.yml:3: ebpf.system_wide selects every process; remove it")


def test_a_port_and_a_name_must_both_hold_and_a_notice_says_so(read):
    (notice,) = read(EXECUTABLE_NAME="nginx").notices
    assert notice.startswith("variable EXECUTABLE_NAME: ebpf.open_port and ebpf.executable_name")


@pytest.mark.parametrize(
    ("endpoint", "protocol", "word"),
    [("http://h:4317", "http/protobuf", "port 4317"), ("http://h:4318", "grpc", "port 4318")],
)
def test_a_port_of_the_other_protocol_is_a_notice(read, endpoint, protocol, word):
    loaded = read(
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol
    )
    (notice,) = loaded.notices
    assert word in notice


def test_headers_in_clear_to_another_host_are_a_notice_and_to_this_host_are_not(read):
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cret"}
    near = read(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="http://localhost:4318", **headers)
    (notice,) = read(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="http://h:4318", **headers).notices
    assert near.notices == ()
    assert "in clear" in notice
    assert "s3cret" not in notice


def test_files_that_cannot_be_read_are_errors_that_name_the_option(faults, tmp_path):
    missing = tmp_path / "ca.pem"
    text = f"{SELECTED}otel_metrics_export:\n  endpoint: https://h\n  certificate: {missing}\n"
    (line,) = faults(text)
    assert line.startswith("o.yml:4: otel_metrics_export.certificate: cannot read")


def test_a_client_key_needs_its_certificate(faults, tmp_path):
    key = tmp_path / "key.pem"
    key.touch()
    text = f"{SELECTED}otel_metrics_export:\n  endpoint: https://h\n  client_key: {key}\n"
    (line,) = faults(text)
    assert "need each other" in line


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("tls: {cert_file: FILE}", "need each other"),
        ("basic_auth: {username: u}", "needs a username, and a password"),
        ("basic_auth: {password: s3cret}", "needs a username, and a password"),
        ("basic_auth: {username: u, password: s3cret, password_file: FILE}", "keep one"),
        ("basic_auth: {username: 'u:v', password: s3cret}", "must not hold a colon"),
    ],
)
def test_half_of_tls_or_authentication_is_an_error(faults, tmp_path, text, word):
    file = tmp_path / "file"
    file.touch()
    text = f"{SELECTED}prometheus_export:\n  port: 9400\n  {text.replace('FILE', str(file))}\n"
    (line,) = faults(text)
    assert word in line
    assert "s3cret" not in line


def test_a_password_in_clear_on_a_reachable_address_is_a_notice(read):
    auth = "basic_auth: {username: u, password: p}"
    far = read(f"prometheus_export:\n  port: 9400\n  listen_address: '::'\n  {auth}\n")
    near = read(f"prometheus_export:\n  port: 9400\n  {auth}\n")
    assert [notice[:7] for notice in far.notices] == ["o.yml:5"]
    assert near.notices == ()


def test_a_batch_larger_than_its_queue_is_an_error(faults):
    (line,) = faults(SELECTED + "noop: true\notel_traces_export: {queue_size: 10}\n")
    assert "is larger than max_queue_size (10)" in line


def test_a_name_that_names_nothing_is_a_notice():
    text = "discovery: {instrument: [{pids: [1]}]}\nnoop: true\n"
    loaded = loads(text, file="o.yml", environ={"OTEL_SERVICE_NAME": "x"})
    (notice,) = loaded.notices
    assert notice.startswith("variable OTEL_SERVICE_NAME: service_name names only")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,service.namespace=n,x=y"}, ("a", "n")),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,x=y", "OTEL_SERVICE_NAME": "b"}, ("b", "")),
        ({"OTEL_RESOURCE_ATTRIBUTES": "x=y,service.instance.id=z"}, ("", "")),
    ],
)
def test_the_name_may_come_from_the_resource_and_otel_service_name_wins(read, variables, expected):
    config = read(**variables).config
    assert expected == (config.service_name, config.service_namespace)
    assert config.resource_attributes == (("x", "y"),)
