"""Spans go where the configuration says, over all its changes."""

from __future__ import annotations

import io
import json

import pytest
from tests.receivers import Answer, OtlpHttpReceiver
from tests.unit.app.doubles import Log
from tests.unit.export.span_samples import span, spans

from otelauto.app.span_sinks import SpanSinks, span_batches, span_settings
from otelauto.errors import OtelautoError

WHOLE = """\
otel_traces_export:
  endpoint: http://u:p@h:4318/base
  headers: {x-token: abc}
  timeout: 2s
  export_timeout: 9s
  compression: gzip
  insecure_skip_verify: true
  max_export_batch_size: 10
  max_queue_size: 20
  batch_timeout: 1s
"""


def to(receiver, more=""):
    return (
        f"otel_traces_export: {{endpoint: '{receiver.url}', batch_timeout: 20ms,"
        f" export_timeout: 5s{more}}}\n"
    )


@pytest.fixture
def log():
    return Log()


def made(config, log, stream=None):
    return SpanSinks(config, stream=stream or io.StringIO(), log=log)


def test_the_exporter_is_told_what_the_configuration_says(config):
    found = span_settings(config(WHOLE))
    assert ("http://u:p@h:4318/base/v1/traces", "http/protobuf", (("x-token", "abc"),)) == (
        found.endpoint,
        found.protocol,
        found.headers,
    )
    assert (2.0, 9.0, "gzip", True) == (
        found.timeout_seconds,
        found.export_timeout_seconds,
        found.compression,
        found.insecure_skip_verify,
    )
    batches = span_batches(config(WHOLE))
    assert (20, 10, 1.0) == (batches.queue_size, batches.batch_size, batches.delay_seconds)


def test_without_an_endpoint_there_is_no_exporter(config, log):
    assert span_settings(config("")) is None
    sinks = made(config(""), log)
    sinks.start()
    sinks.take(spans(1))
    sinks.stop(1)
    assert ((), {}) == (sinks.facts, sinks.counts)


def test_spans_are_pushed_and_counted(config, log):
    with OtlpHttpReceiver() as receiver:
        sinks = made(config(to(receiver)), log)
        sinks.start()
        sinks.take(spans(3))
        receiver.wait_for_requests(1)
        sinks.stop(5)
        assert 3 == len(receiver.spans())
    (facts,) = sinks.facts
    assert ("otlp_traces", 1, 3) == (facts.name, facts.successes, sinks.counts["exported"])


def test_another_receiver_takes_over_and_counts_go_on(config, log):
    with OtlpHttpReceiver() as first, OtlpHttpReceiver() as second:
        sinks = made(config(to(first)), log)
        sinks.start()
        sinks.take(spans(3))
        first.wait_for_requests(1)
        sinks.reload(config(to(second)))
        sinks.take(spans(2))
        second.wait_for_requests(1)
        sinks.reload(config("print_traces: true\nprometheus_export: {port: 9400}\n"))
        sinks.take(spans(9))
        assert 5 == sinks.counts["exported"]
        assert 2 == sinks.facts[0].successes
        sinks.reload(config(to(second)))
        sinks.take(spans(1))
        second.wait_for_requests(2)
        sinks.stop(5)
        assert (3, 3) == (len(first.spans()), len(second.spans()))
    assert (6, 3) == (sinks.counts["exported"], sinks.facts[0].successes)


def test_settings_that_cannot_work_change_nothing(config, log, tmp_path):
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    with OtlpHttpReceiver() as receiver:
        sinks = made(config(to(receiver)), log)
        sinks.start()
        bad = config(to(receiver, f", certificate: {authority}"))
        authority.unlink()
        with pytest.raises(OtelautoError):
            sinks.reload(bad)
        sinks.take(spans(1))
        receiver.wait_for_requests(1)
        sinks.stop(5)


def test_what_is_lost_at_the_end_is_said(config, log):
    with OtlpHttpReceiver(Answer(503)) as receiver:
        sinks = made(config(to(receiver)), log)
        sinks.start()
        sinks.take(spans(4))
        receiver.wait_for_requests(1)
        sinks.stop(0.2)
    assert 0 == sinks.counts.get("exported", 0)
    assert 4 == sum(sinks.counts.values())


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("print_traces: true\n", lambda line: line.rsplit("trace=")[1].split()[0]),
        ("trace_printer: json\n", lambda line: json.loads(line)["trace_id"]),
    ],
)
def test_spans_are_printed_one_a_line(config, log, text, read):
    stream = io.StringIO()
    sinks = made(config(text + "prometheus_export: {port: 9400}\n"), log, stream)
    sinks.take(spans(2))
    assert [f"{n:032x}" for n in (1, 2)] == [read(one) for one in stream.getvalue().splitlines()]


def test_a_printer_without_reader_stops_and_the_exporter_goes_on(config, log):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with OtlpHttpReceiver() as receiver:
        sinks = made(config("print_traces: true\n" + to(receiver)), log, Closed())
        sinks.start()
        sinks.take([span(1)])
        sinks.take([span(2)])
        sinks.stop(5)
        assert 2 == len(receiver.spans())
    assert 1 == len(log.events("warning"))
