"""OTLP over HTTP: answers, proxies and what is loaded."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
import structlog.testing
from tests.receivers import Answer, OtlpHttpReceiver
from tests.unit.export.otlp_rig import exporter, settings

from otelauto.export.otlp import OtlpExporter


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_http_retries_what_may_pass(rich, status):
    with OtlpHttpReceiver(Answer(status), Answer(status), Answer()) as receiver:
        one = exporter(receiver, "http/protobuf", lambda: rich, interval_seconds=0.05)
        one.start()
        receiver.wait_for_requests(3)
        one.shutdown()
    assert {str(status): 2} == one.status.errors
    assert one.status.retries == 2
    assert one.status.successes >= 1
    assert one.status.dropped_points == {}


@pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 413, 500])
def test_http_drops_what_will_not_pass_at_once_and_counts_it(rich, status):
    answer = Answer(status, headers={"Location": "http://127.0.0.1:9/", "Retry-After": "9"})
    with OtlpHttpReceiver(answer) as receiver:
        one = exporter(receiver, "http/protobuf", lambda: rich)
        assert not one.export()
        assert not one.export()
        assert len(receiver.requests) == 2
    assert {str(status): 2} == one.status.errors
    assert one.status.retries == 0
    assert {str(status): 16} == one.status.dropped_points


def test_a_receiver_that_answers_nonsense_with_200_has_the_data(rich):
    with OtlpHttpReceiver(Answer(body=b"<html>ok</html>\xff\xff")) as receiver:
        assert exporter(receiver, "http/protobuf", lambda: rich).export()


def test_an_accepted_request_whose_answer_is_cut_off_is_not_repeated(rich):
    for headers in ({"Content-Encoding": "gzip"}, {"Content-Length": "99"}):
        answer = Answer(200, headers=headers, body=b"x")
        with OtlpHttpReceiver(answer) as receiver:
            one = exporter(receiver, "http/protobuf", lambda: rich, timeout_seconds=0.5)
            assert one.export()
            assert len(receiver.requests) == 1


def test_a_404_is_logged_once_with_the_url_but_without_its_secrets(rich):
    with OtlpHttpReceiver(Answer(404)) as receiver, structlog.testing.capture_logs() as logs:
        endpoint = receiver.endpoint.replace("//", "//user:s3cret@") + "?token=s3cret"
        now = [0.0]
        one = OtlpExporter(
            settings(receiver, "http/protobuf", endpoint=endpoint),
            lambda: rich,
            clock=lambda: now[0],
        )
        for _ in range(3):
            one.export()
            now[0] += 100
    assert len(logs) == 1
    assert logs[0]["endpoint"] == receiver.endpoint
    assert "s3cret" not in repr(logs)


def test_http_does_not_load_grpc_and_the_module_loads_neither():
    code = (
        "import sys\n"
        "from otelauto.export.otlp import OtlpExporter\n"
        "from otelauto.export.settings import OtlpSettings\n"
        "heavy = {'opentelemetry', 'grpc', 'requests', 'prometheus_client', 'structlog'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "e = OtlpExporter(OtlpSettings('http://127.0.0.1:9/v1/metrics'), lambda: None)\n"
        "assert 'requests' in sys.modules and 'grpc' not in sys.modules\n"
        "assert 'opentelemetry' in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )


def test_http_goes_through_the_proxy_except_to_hosts_that_are_excluded(rich, monkeypatch):
    """The "proxy" is a receiver: a proxied request carries the absolute URL as its target."""
    with OtlpHttpReceiver() as proxy, OtlpHttpReceiver() as receiver:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//pu:s3cret@"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8,.svc.local")
        assert exporter(receiver, "http/protobuf", lambda: rich).export()
        assert (len(receiver.requests), len(proxy.requests)) == (1, 0)
        outside = "http://collector.example:4318/v1/metrics"
        assert exporter(receiver, "http/protobuf", lambda: rich, endpoint=outside).export()
        (request,) = proxy.requests
        assert outside == request.path
        credentials = request.headers["proxy-authorization"].removeprefix("Basic ")
        assert base64.b64decode(credentials) == b"pu:s3cret"
    with structlog.testing.capture_logs() as logs:
        one = exporter(receiver, "http/protobuf", lambda: rich, endpoint=outside)
        assert not one.export()
    assert one.status.errors == {"proxy": 1}
    assert "s3cret" not in repr(logs)
