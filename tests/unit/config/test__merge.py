from __future__ import annotations

import pytest


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(read):
    loaded = read("log_level: WARN\nlog_format: text\n", LOG_LEVEL="debug")
    assert (loaded.config.log_level, loaded.config.log_format) == ("DEBUG", "text")
    origins = loaded.origins
    assert origins["log_level"].text("o.yml") == "variable LOG_LEVEL"
    assert origins["log_format"].text("o.yml") == "o.yml:4"
    assert "noop" not in origins


@pytest.mark.parametrize(
    ("variables", "ports"),
    [
        ({"OTELAUTO_EBPF_OPEN_PORT": "1", "OPEN_PORT": "2", "BEYLA_OPEN_PORT": "3"}, "1"),
        ({"OPEN_PORT": "2", "BEYLA_OPEN_PORT": "3"}, "2"),
        ({"BEYLA_OPEN_PORT": "3"}, "3"),
        ({"OPEN_PORT": "", "BEYLA_OPEN_PORT": "3"}, "3"),
        ({"OPEN_PORT": "", "BEYLA_OPEN_PORT": ""}, "80"),
    ],
)
def test_of_several_variables_the_first_that_is_not_empty_counts(read, variables, ports):
    assert ports == str(read(**variables).config.ebpf.open_port)


def test_a_bad_variable_is_a_fault_that_names_it(faults):
    assert faults("print_traces: true", OPEN_PORT="70000") == [
        "variable OPEN_PORT: port 70000 is outside 1 to 65535"
    ]


def test_a_bad_value_of_the_file_is_a_fault_even_if_a_variable_overrides_it(faults):
    text = "ebpf: {open_port: 0}\nprint_traces: true\n"
    assert faults(text, OPEN_PORT="1") == ["o.yml:1: ebpf.open_port: port 0 is outside 1 to 65535"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_METRIC_EXPORT_INTERVAL", "5s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "abc"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "lz4"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2"),
        ("OTEL_SDK_DISABLED", "1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_RESOURCE_ATTRIBUTES", "bad"),
    ],
)
def test_a_bad_number_or_word_of_the_specification_is_one_notice_and_the_default(
    read, name, value
):
    loaded = read(**{name: value})
    assert read().config == loaded.config
    (notice,) = loaded.notices
    assert notice.startswith(f"variable {name}: ")


def test_a_bad_sampler_in_the_file_is_one_notice_and_the_default(read):
    loaded = read("otel_traces_export: {sampler: {name: traceidratio, arg: 1.5}}\n")
    assert (
        loaded.config.otel_traces_export.sampler.name,
        loaded.config.otel_traces_export.sampler.arg,
    ) == ("traceidratio", 1.0)
    (notice,) = loaded.notices
    assert notice.startswith("o.yml:3: otel_traces_export.sampler.arg: ")


def test_variables_of_the_specification_are_milliseconds(read):
    loaded = read(
        OTEL_METRIC_EXPORT_INTERVAL="1500",
        OTEL_METRIC_EXPORT_TIMEOUT="2000",
        OTEL_EXPORTER_OTLP_TIMEOUT="250",
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    metrics = loaded.config.otel_metrics_export
    assert (
        metrics.interval_seconds,
        metrics.export_timeout_seconds,
        metrics.timeout_seconds,
    ) == (1.5, 2.0, 0.25)
    assert loaded.config.otel_traces_export.batch_timeout_seconds == 0.1


def test_an_option_without_effect_is_a_notice_with_the_reason(read):
    loaded = read("channel_buffer_len: 50\nprofile_port: 0\n", BPF_DEBUG="true")
    assert len(loaded.notices) == 2
    assert loaded.notices[0].startswith("BPF_DEBUG has no effect: the kernel programs do not")
    assert loaded.notices[1].startswith("o.yml:3: channel_buffer_len has no effect: requests do")


def test_a_misspelt_variable_with_the_products_prefix_is_a_notice(read):
    (notice,) = read(OTELAUTO_EBPF_OPENPORT="1", OTELAUTO_CONFIG_PATH="/x", PATH="/bin").notices
    assert "did you mean OTELAUTO_EBPF_OPEN_PORT?" in notice


def test_variables_inside_values_are_replaced_in_values_only(read):
    text = "# ${UNSET} in a comment\nservice_name: ${NAME}-$$1\nroutes: {patterns: ['/${NAME}']}\n"
    config = read(text, NAME="shop").config
    assert config.service_name == "shop-$1"
    assert config.routes.patterns == ("/shop",)


def test_a_port_may_come_from_a_variable_inside_the_file(read):
    assert (
        read("prometheus_export: {port: '${P}'}", P="9400").config.prometheus_export.port == 9400
    )


def test_what_a_variable_holds_is_never_shown_in_a_fault(faults):
    text = "ebpf: {open_port: 80}\nprint_traces: true\nlog_level: ${TOKEN}\n"
    (line,) = faults(text, TOKEN="s3cret")
    assert line.startswith("o.yml:3: log_level: ")
    assert "s3cret" not in line


def test_unset_variables_and_empty_items_are_faults_with_their_own_lines(faults):
    text = """\
ebpf: {open_port: 80}
print_traces: true
routes:
  patterns:
    - /a
    - ${UNSET}
    -
otel_metrics_export:
  headers:
    a: ${UNSET}
    b:
    c: 1
    c: 2
"""
    assert [int(line.split(":")[1]) for line in faults(text)] == [6, 7, 10, 11, 13]


def test_each_bad_item_of_a_list_has_its_own_line(faults):
    text = "ebpf:\n  open_port:\n    - 80\n    - 70000\n    - 0\nprint_traces: true\n"
    assert [int(line.split(":")[1]) for line in faults(text)] == [4, 5]
