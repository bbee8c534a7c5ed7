"""Spans reach a receiver, wait in bounds while it is away, and are counted if they are lost."""

from __future__ import annotations

import threading
import time

import pytest
from tests.receivers import Answer, OtlpGrpcReceiver, OtlpHttpReceiver
from tests.unit.app.doubles import Log
from tests.unit.export.span_samples import exporter, span, spans

from otelauto.errors import ExportError
from otelauto.export.settings import OtlpSettings, SpanBatches

RECEIVERS = {"http/protobuf": OtlpHttpReceiver, "grpc": OtlpGrpcReceiver}
BUSY = {"http/protobuf": 503, "grpc": "UNAVAILABLE"}
REFUSED = {"http/protobuf": 400, "grpc": "INVALID_ARGUMENT"}
TOO_LARGE = {"http/protobuf": 413, "grpc": "RESOURCE_EXHAUSTED"}
QUICK = SpanBatches(delay_seconds=0.05)
LATE = SpanBatches(delay_seconds=60.0)


@pytest.fixture
def log():
    return Log()


@pytest.fixture(params=RECEIVERS)
def protocol(request):
    return request.param


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_spans_arrive_once_and_whole(protocol, log):
    with RECEIVERS[protocol]() as receiver:
        running = exporter(receiver, protocol, log)
        running.start()
        running.offer(spans(5))
        receiver.wait_for_requests(1)
        assert running.shutdown(5)
        found = receiver.spans()
    assert [f"{n:032x}" for n in range(1, 6)] == [one.trace_id for one in found]
    assert {"service.name": "shop", "service.namespace": "eu"} == found[0].resource
    assert ("otelauto", "GET /users/{id}", "server", "unset", ["1", "2"]) == (
        found[0].scope,
        found[0].name,
        found[0].kind,
        found[0].status,
        found[0].attributes["http.request.header.x-a"],
    )
    assert {"exported": 5} == {k: v for k, v in running.status.spans.items() if v}
    assert (1, 0, {}) == (running.status.successes, running.status.retries, running.status.errors)


def test_the_path_and_the_headers_are_those_of_traces(protocol, log):
    with RECEIVERS[protocol]() as receiver:
        running = exporter(receiver, protocol, log, headers=(("x-token", "abc"),))
        running.start()
        running.offer(spans(1))
        (request,) = receiver.wait_for_requests(1)
        running.shutdown(5)
    assert "abc" == request.headers["x-token"]
    assert request.path in {
        "/v1/traces",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }


def test_a_batch_goes_when_it_is_full_and_not_before(log):
    with OtlpHttpReceiver() as receiver:
        batches = SpanBatches(queue_size=100, batch_size=10, delay_seconds=60.0)
        running = exporter(receiver, "http/protobuf", log, batches=batches)
        running.start()
        running.offer(spans(9))
        assert () == receiver.requests
        running.offer(spans(1))
        receiver.wait_for_requests(1)
        running.offer(spans(25))
        receiver.wait_for_requests(3)
        assert 30 == len(receiver.spans())
        assert running.shutdown(5)
        assert 35 == len(receiver.spans())


def test_what_finds_no_room_is_counted_and_nobody_waits(log):
    with OtlpHttpReceiver(Answer(silent=True)) as receiver:
        batches = SpanBatches(queue_size=10, batch_size=5, delay_seconds=0.01)
        running = exporter(receiver, "http/protobuf", log, batches=batches)
        running.start()
        running.offer(spans(5))
        receiver.wait_for_requests(1)
        running.offer(spans(100))
        assert 90 == running.status.spans["queue_full"]
        running.shutdown(0.2)
    total = running.status.spans
    assert 105 == sum(total.values())


def test_a_failure_that_may_pass_is_tried_again_until_it_passes(protocol, log):
    busy = Answer(BUSY[protocol])
    with RECEIVERS[protocol](busy, busy, Answer()) as receiver:
        running = exporter(receiver, protocol, log)
        running.start()
        running.offer(spans(3))
        until(lambda: running.status.successes)
        running.shutdown(5)
        assert 3 == len(receiver.spans())
    assert (2, 3) == (running.status.retries, running.status.spans["exported"])
    assert 2 == sum(running.status.errors.values())


def test_the_receivers_wish_to_wait_is_honoured(protocol, log):
    asked = Answer(BUSY[protocol], retry_after_seconds=1)
    with RECEIVERS[protocol](asked, Answer()) as receiver:
        running = exporter(receiver, protocol, log)
        running.start()
        running.offer(spans(1))
        first, second = receiver.wait_for_requests(2)
        running.shutdown(5)
    assert second.at_seconds - first.at_seconds >= 0.99


def test_a_wish_beyond_the_time_of_an_export_gives_the_batch_up(log):
    with OtlpHttpReceiver(Answer(429, retry_after_seconds=3600), Answer()) as receiver:
        running = exporter(receiver, "http/protobuf", log, export_timeout_seconds=5.0)
        running.start()
        running.offer(spans(4))
        until(lambda: running.status.spans.get("export_failed"))
        running.offer(spans(2))
        until(lambda: running.status.spans.get("exported"))
        running.shutdown(5)
    assert (4, 2) == (running.status.spans["export_failed"], running.status.spans["exported"])


def test_what_is_refused_is_not_sent_again(protocol, log):
    with RECEIVERS[protocol](Answer(REFUSED[protocol]), Answer()) as receiver:
        running = exporter(receiver, protocol, log)
        running.start()
        running.offer(spans(4))
        until(lambda: running.status.spans.get("export_failed"))
        running.shutdown(5)
        assert 1 == len(receiver.requests)
    assert (4, 0) == (running.status.spans["export_failed"], running.status.retries)
    assert {str(REFUSED[protocol]): 1} == running.status.errors


def test_what_the_receiver_refused_of_a_batch_is_counted(protocol, log):
    with RECEIVERS[protocol](Answer(rejected=(3, "too old"))) as receiver:
        running = exporter(receiver, protocol, log)
        running.start()
        running.offer(spans(10))
        until(lambda: running.status.successes)
        running.shutdown(5)
    assert (7, 3) == (running.status.spans["exported"], running.status.spans["rejected"])
    assert "the receiver accepted the spans only in part" in log.events("warning")


def test_a_batch_that_is_too_large_is_sent_in_parts(protocol, log):
    large = Answer(TOO_LARGE[protocol])
    with RECEIVERS[protocol](large, Answer()) as receiver:
        running = exporter(receiver, protocol, log)
        running.start()
        running.offer(spans(200))
        until(lambda: running.status.spans.get("exported") == 200)
        running.shutdown(5)
        assert [f"{n:032x}" for n in range(1, 201)] == [one.trace_id for one in receiver.spans()]


def test_nobody_listens_then_somebody_does(protocol, log):
    with RECEIVERS[protocol]() as gone:
        port = gone.port
    running = exporter(gone, protocol, log)
    running.start()
    running.offer(spans(6))
    until(lambda: running.status.errors.get("connection"))
    with RECEIVERS[protocol](port=port) as receiver:
        until(lambda: running.status.spans.get("exported") == 6)
        running.shutdown(5)
        assert 6 == len(receiver.spans())


def test_the_end_sends_what_waits(log):
    with OtlpHttpReceiver() as receiver:
        running = exporter(receiver, "http/protobuf", log, batches=LATE)
        running.start()
        running.offer(spans(7))
        assert running.shutdown(5)
        assert 7 == len(receiver.spans())
        running.offer(spans(2))
    assert {"exported": 7, "shutdown": 2} == {k: v for k, v in running.status.spans.items() if v}


@pytest.mark.parametrize("answer", [Answer(503), Answer(silent=True)], ids=["busy", "silent"])
def test_the_end_comes_in_time_whatever_the_receiver_does(log, answer):
    with OtlpHttpReceiver(answer) as receiver:
        running = exporter(receiver, "http/protobuf", log, batches=LATE)
        running.start()
        running.offer(spans(7))
        start = time.monotonic()
        running.shutdown(0.5)
        assert time.monotonic() - start < 10
        until(lambda: sum(running.status.spans.values()) == 7)
    assert 0 == running.status.spans.get("exported", 0)


def test_an_exporter_that_was_never_started_ends_and_counts(log):
    with OtlpHttpReceiver() as receiver:
        running = exporter(receiver, "http/protobuf", log)
        running.offer(spans(2))
        assert not running.shutdown(1)
    assert 2 == running.status.spans["shutdown"]


def test_other_settings_hold_for_what_waits(log):
    with OtlpHttpReceiver(Answer(503)) as first, OtlpHttpReceiver() as second:
        running = exporter(first, "http/protobuf", log)
        running.start()
        running.offer(spans(3))
        first.wait_for_requests(1)
        settings = OtlpSettings(second.traces_endpoint, headers=(("x-token", "new"),))
        running.reconfigure(settings, QUICK)
        (request,) = second.wait_for_requests(1)
        assert running.shutdown(5)
        assert ("new", 3) == (request.headers["x-token"], len(second.spans()))


def test_settings_that_cannot_work_change_nothing(log):
    with OtlpHttpReceiver() as receiver:
        running = exporter(receiver, "http/protobuf", log)
        running.start()
        with pytest.raises(ExportError):
            running.reconfigure(OtlpSettings("nowhere"), QUICK)
        running.offer(spans(1))
        receiver.wait_for_requests(1)
        running.shutdown(5)


def test_spans_that_cannot_be_encoded_cost_only_themselves(log):
    with OtlpHttpReceiver() as receiver:
        running = exporter(receiver, "http/protobuf", log)
        running.start()
        running.offer([span(attributes=(("url.path", object()),), kind="nonsense")])
        until(lambda: running.status.spans.get("export_failed") == 1)
        running.offer(spans(2))
        until(lambda: running.status.spans.get("exported") == 2)
        running.shutdown(5)


def test_many_may_offer_at_once(log):
    with OtlpHttpReceiver() as receiver:
        batches = SpanBatches(queue_size=10_000, batch_size=100, delay_seconds=0.01)
        running = exporter(receiver, "http/protobuf", log, batches=batches)
        running.start()
        threads = [threading.Thread(target=running.offer, args=(spans(50),)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert running.shutdown(10)
        assert 1000 == len(receiver.spans()) == running.status.spans["exported"]


def test_no_credential_is_logged(log):
    with OtlpHttpReceiver() as gone:
        endpoint = f"http://user:secret@127.0.0.1:{gone.port}/v1/traces?key=secret"
    running = exporter(gone, "http/protobuf", log, endpoint=endpoint)
    running.start()
    running.offer(spans(1))
    until(lambda: running.status.errors)
    running.shutdown(1)
    assert log.events("warning")
    assert "secret" not in str(log.said)
