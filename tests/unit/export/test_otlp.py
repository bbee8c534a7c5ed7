"""The OTLP exporter against real receivers that decode with the official protobufs."""

from __future__ import annotations

import base64
import threading
import time

import pytest
import structlog.testing
from tests.receivers import Answer, OtlpHttpReceiver
from tests.unit.export.otlp_rig import QUICK, RECEIVERS, Service, exporter, settings
from tests.unit.export.samples import START, histogram, service, snapshot

from otelauto.errors import ExportError
from otelauto.export.otlp import OtlpExporter


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_headers_user_agent_and_compression_are_sent(protocol, rich, compression):
    with RECEIVERS[protocol]() as receiver:
        one = exporter(
            receiver,
            protocol,
            lambda: rich,
            headers=(("X-Scope-OrgID", "tenant 1"), ("Authorization", "Bearer t0ken")),
            compression=compression,
        )
        assert one.export()
        (request,) = receiver.requests
    assert request.headers["x-scope-orgid"] == "tenant 1"
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["user-agent"].startswith("otelauto/1.2.3")
    if protocol == "http/protobuf":
        assert request.path == "/v1/metrics"
        assert request.headers["content-type"] == "application/x-protobuf"
        assert request.headers.get("content-encoding", "none") == compression
        assert "x-unused" not in request.headers


@pytest.mark.parametrize("length", range(1, 7))
def test_user_information_becomes_a_basic_header_and_is_never_logged(protocol, rich, length):
    """For all lengths base64 pads differently; it must decode to the exact pair."""
    user, password = "u" * length, "p@:" + "ß" * length
    with RECEIVERS[protocol](Answer(503 if protocol != "grpc" else "UNAVAILABLE")) as receiver:
        endpoint = receiver.endpoint.replace("//", f"//{user}:p%40%3A{'%C3%9F' * length}@")
        with structlog.testing.capture_logs() as logs:
            one = exporter(receiver, protocol, lambda: rich, endpoint=endpoint)
            assert not one.export()
        header = receiver.requests[0].headers["authorization"]
    assert f"{user}:{password}" == base64.b64decode(header.removeprefix("Basic ")).decode()
    assert logs
    assert "p%40" not in repr(logs)
    assert "p@:" not in repr(logs)
    assert "p%40" not in repr(one._settings)


def test_environment_variables_of_the_sdk_do_not_change_what_is_configured(
    protocol, rich, monkeypatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-surprise=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:9/v1/metrics")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")
    with RECEIVERS[protocol]() as receiver:
        assert exporter(receiver, protocol, lambda: rich).export()
        (request,) = receiver.requests
    assert "x-surprise" not in request.headers
    assert "content-encoding" not in request.headers


def test_large_snapshots_are_cut_into_requests_that_grpc_receivers_take(protocol):
    """4 MiB is the default limit of a gRPC server; 12,000 histograms are more."""
    many = service(*(histogram(method="GET", route=f"/route/{n}/end") for n in range(12_000)))
    with RECEIVERS[protocol]() as receiver:
        assert exporter(receiver, protocol, lambda: snapshot(many), timeout_seconds=30).export()
        routes = [point.attributes["http.route"] for point in receiver.all_points()]
        assert max(request.size_bytes for request in receiver.requests) < 4 * 1024 * 1024
        assert len(receiver.requests) == 3
    assert [f"/route/{n}/end" for n in range(12_000)] == routes


def test_equal_resources_and_equal_points_are_added_up_not_lost(protocol):
    twice = snapshot(
        service(histogram((1, 0, 0, 0, 0, 0), total=0.5, method="GET")),
        service(histogram((2, 0, 0, 0, 0, 1), total=4.0, method="GET")),
    )
    with RECEIVERS[protocol]() as receiver:
        assert exporter(receiver, protocol, lambda: twice).export()
        (point,) = receiver.all_points()
    assert (point.counts, point.value) == ((3, 0, 0, 0, 0, 1), 4.5)


def test_cumulative_start_times_never_move(protocol):
    app = Service()
    with RECEIVERS[protocol]() as receiver:
        one = exporter(receiver, protocol, app)
        for _ in range(3):
            app.count += 1
            assert one.export()
        points = receiver.all_points()
    assert [point.count for point in points] == [1, 2, 3]
    assert {START} == {point.start_unix_nano for point in points}
    assert sorted({p.time_unix_nano for p in points}) == [p.time_unix_nano for p in points]


def test_the_receivers_patience_is_respected(protocol, rich):
    """Back-off would be 0.02 s and the interval is 0.05 s; the receiver asked for 1 s."""
    status = "UNAVAILABLE" if protocol == "grpc" else 429
    with RECEIVERS[protocol](Answer(status, retry_after_seconds=1), Answer()) as receiver:
        one = exporter(receiver, protocol, lambda: rich, interval_seconds=0.05)
        one.start()
        first, second = receiver.wait_for_requests(2)[:2]
        one.shutdown()
    assert 1.0 <= second.at_seconds - first.at_seconds < 2.5


def test_partial_success_is_counted_and_not_repeated(protocol, rich):
    answer = Answer(rejected=(3, "too old: see http://u:secret@x/?k=secret"))
    with RECEIVERS[protocol](answer) as receiver, structlog.testing.capture_logs() as logs:
        one = exporter(receiver, protocol, lambda: rich)
        assert one.export()
        assert len(receiver.requests) == 1
    assert one.status.dropped_points == {"rejected": 3}
    assert (one.status.successes, one.status.errors, one.status.retries) == (1, {}, 0)
    (line,) = logs
    assert line["rejected_points"] == 3
    assert "secret" not in repr(line)


def test_an_unreachable_receiver_loses_nothing_and_is_found_when_it_comes(protocol):
    app = Service()
    app.count = 5
    with RECEIVERS[protocol]() as placeholder:
        port = placeholder.port
        place = settings(placeholder, protocol, interval_seconds=0.05)
    one = OtlpExporter(place, app, backoff_seconds=QUICK)
    with structlog.testing.capture_logs() as logs:
        one.start()
        deadline = time.monotonic() + 5
        while one.status.retries < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        app.count = 8
        with RECEIVERS[protocol](port=port) as receiver:
            receiver.wait_for_requests(1)
            one.shutdown()
            (point,) = receiver.metrics()
    assert point.count == 8
    assert {"connection"} == set(one.status.errors)
    assert one.status.retries >= 2
    assert len(logs) == 1, "one line per cause in ten seconds"
    assert "refused" in logs[0]["detail"].lower()


def test_a_silent_receiver_blocks_nobody_and_shutdown_is_bounded(protocol, rich):
    with RECEIVERS[protocol](Answer(silent=True)) as receiver:
        one = exporter(receiver, protocol, lambda: rich, timeout_seconds=20)
        one.start()
        receiver.wait_for_requests(1)
        before = time.monotonic()
        assert not one.shutdown(timeout_seconds=0.5)
        assert time.monotonic() - before < 1.5


def test_a_silent_receiver_counts_as_a_timeout(protocol, rich):
    with RECEIVERS[protocol](Answer(silent=True)) as receiver:
        one = exporter(receiver, protocol, lambda: rich, timeout_seconds=0.3)
        assert not one.export()
    assert one.status.errors == {"timeout": 1}


def test_shutdown_sends_what_has_been_counted_since_the_last_interval(protocol):
    app = Service()
    with RECEIVERS[protocol]() as receiver:
        one = exporter(receiver, protocol, app, interval_seconds=60)
        one.start()
        app.count = 4
        assert one.shutdown()
        (point,) = receiver.all_points()
    assert point.count == 4


def test_shutdown_without_start_sends_too(protocol, rich):
    with RECEIVERS[protocol]() as receiver:
        assert exporter(receiver, protocol, lambda: rich).shutdown()
        assert len(receiver.requests) == 1


def test_a_collect_that_fails_costs_one_interval_not_the_exporter(rich):
    turns = iter([ValueError("map is gone"), None])

    def collect():
        error = next(turns, None)
        if error is not None:
            raise error
        return rich

    with OtlpHttpReceiver() as receiver, structlog.testing.capture_logs() as logs:
        one = exporter(receiver, "http/protobuf", collect, interval_seconds=0.05)
        one.start()
        receiver.wait_for_requests(1)
        one.shutdown()
    assert one.status.errors == {"collect": 1}
    assert "map is gone" in repr(logs)


def test_exports_keep_to_their_grid(rich):
    """A collection that takes 0.15 s does not shift the next one: five exports, 0.8 s, not 1.4."""

    def slow():
        time.sleep(0.15)
        return rich

    with OtlpHttpReceiver() as receiver:
        one = exporter(receiver, "http/protobuf", slow, interval_seconds=0.2)
        one.start()
        times = [request.at_seconds for request in receiver.wait_for_requests(5)]
        one.shutdown()
    assert 0.5 < times[4] - times[0] < 1.2


def test_reconfigure_sends_the_new_secret_from_the_next_export_on(protocol):
    app = Service()
    with RECEIVERS[protocol]() as receiver:
        one = exporter(receiver, protocol, app, headers=(("k", "old"),), temporality="delta")
        app.count = 1
        one.export()
        app.count = 3
        one.reconfigure(settings(receiver, protocol, headers=(("k", "new"),), temporality="delta"))
        one.export()
        assert [request.headers["k"] for request in receiver.requests] == ["old", "new"]
        assert [point.count for point in receiver.all_points()] == [1, 2]
        with pytest.raises(ExportError):
            one.reconfigure(settings(receiver, protocol, certificate="/nowhere.pem"))
        app.count = 4
        assert one.export()


def test_threads_end_with_the_exporter(rich):
    with OtlpHttpReceiver() as receiver:
        one = exporter(receiver, "http/protobuf", lambda: rich)
        one.start()
        one.shutdown()
    assert not [t for t in threading.enumerate() if t.name == "otlp-metrics"]


def test_reconfigure_neither_waits_for_a_silent_receiver_nor_for_its_retry_after(rich):
    with (
        OtlpHttpReceiver(Answer(503, retry_after_seconds=3000)) as refusing,
        OtlpHttpReceiver(Answer(silent=True)) as silent,
        OtlpHttpReceiver() as good,
    ):
        one = exporter(refusing, "http/protobuf", lambda: rich, interval_seconds=0.05)
        one.start()
        refusing.wait_for_requests(1)
        begin = time.monotonic()
        quick = {"interval_seconds": 0.05, "timeout_seconds": 2.0}
        one.reconfigure(settings(silent, "http/protobuf", **quick))
        silent.wait_for_requests(1)
        one.reconfigure(settings(good, "http/protobuf", **quick))
        assert time.monotonic() - begin < 1.8
        good.wait_for_requests(1)
        one.shutdown()


def test_requests_shrink_until_the_receiver_takes_them(protocol):
    """What is too large today would be too large at each interval."""
    too_large = Answer("RESOURCE_EXHAUSTED" if protocol == "grpc" else 413)
    many = snapshot(service(*(histogram(method="GET", route=f"/{n}") for n in range(400))))
    with RECEIVERS[protocol](too_large, too_large, Answer()) as receiver:
        one = exporter(receiver, protocol, lambda: many, batch_points=400)
        assert [one.export() for _ in range(3)] == [False, False, True]
        wanted = {(f"/{n}",): 7 for n in range(400)}
        assert receiver.counts("http.route", service_name="shop") == wanted
    assert sum(one.status.dropped_points.values()) == 400 + 200


def test_the_receiver_counts_by_attributes(rich):
    with OtlpHttpReceiver() as receiver:
        assert exporter(receiver, "http/protobuf", lambda: rich).export()
        by_status = receiver.counts("http.response.status_code", "http.route")
    assert by_status == {(200, "/a/{id}"): 7, (500, None): 1, (204, None): 5}
