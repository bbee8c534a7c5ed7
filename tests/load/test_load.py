"""The load generators count exactly; the witness is what the server itself counted."""

from __future__ import annotations

import pytest
from tests.load.generator import Load, Target, run_exact, run_wrk, start_exact
from tests.servers import nginx, runtimes


def logged(tmp_path):
    return nginx.access_counts(tmp_path)


@pytest.mark.parametrize(
    "shape",
    [
        {"connections": 16, "requests": 20_000},
        {"connections": 256, "requests": 20_000},
        {"connections": 16, "requests": 20_000, "pipeline": 16},
        {"connections": 4, "requests": 1_000, "one_shot": True},
        {"connections": 16, "seconds": 0.5},
        {"connections": 4, "requests": 200, "rate_per_second": 1000},
        {"connections": 4, "requests": 200, "address": "::1"},
    ],
)
def test_the_exact_generator_agrees_with_the_servers_log(
    shape, need, supervisor, tmp_path, port, loadgen
):
    need("nginx")
    nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))
    targets = (Target("/ok"), Target("/missing", 404), Target("/empty", 204), Target("/files/4k"))
    report = run_exact(loadgen, Load(port=port, targets=targets, **shape))
    assert report["started"] == report["finished"]
    if "requests" in shape:
        assert shape["requests"] == report["finished"]
    by_target = {("GET", t["path"], t["status"]): t["responses"] for t in report["targets"]}
    assert by_target == logged(tmp_path)
    assert report["targets"][3]["responses"] * 4096 == report["targets"][3]["body_bytes"]


def test_a_rate_is_kept(need, supervisor, tmp_path, port, loadgen):
    need("nginx")
    nginx.start(supervisor, tmp_path, nginx.Site(port=port))
    report = run_exact(loadgen, Load(port=port, seconds=2, rate_per_second=100, connections=4))
    assert 190 <= report["finished"] <= 210


def test_every_way_of_ending_a_response_is_understood(supervisor, tmp_path, port, loadgen):
    _, log = runtimes.start_origin(supervisor, tmp_path, port=port)
    targets = (
        Target("/chunked?n=4&size=100"),
        Target("/close-delimited?size=300"),
        Target("/early-hints"),
        Target("/bytes?n=7", method="HEAD"),
        Target("/304", 304),
        Target("/echo", method="POST"),
    )
    load = Load(port=port, targets=targets, requests=120, connections=3, body_bytes=10_000)
    report = run_exact(loadgen, load)
    sizes = [t["body_bytes"] // t["responses"] for t in report["targets"]]
    assert [400, 300, 2, 0, 0] == sizes[:5]
    assert 120 == len(log.read_text().splitlines())
    assert 20 == log.read_text().count('"request_bytes": 10000')


def test_an_unexpected_status_fails_the_run(supervisor, tmp_path, port, loadgen):
    runtimes.start_origin(supervisor, tmp_path, port=port)
    with pytest.raises(AssertionError, match='"unexpected": 10'):
        run_exact(loadgen, Load(port=port, targets=(Target("/status/500"),), requests=10))


def test_a_response_that_breaks_off_fails_the_run(supervisor, tmp_path, port, loadgen):
    runtimes.start_origin(supervisor, tmp_path, port=port)
    targets = (Target("/ok"), Target("/partial"))
    with pytest.raises(AssertionError, match='"failed": 5'):
        run_exact(loadgen, Load(port=port, targets=targets, requests=10, connections=1))


@pytest.mark.parametrize(("connections", "pipeline"), [(16, 1), (256, 1), (16, 8)])
def test_wrk_counts_at_most_what_was_in_flight_too_little(
    connections, pipeline, need, supervisor, tmp_path, port
):
    need("nginx", "wrk")
    nginx.start(supervisor, tmp_path, nginx.Site(port=port))
    url = f"http://127.0.0.1:{port}/missing"
    result = run_wrk(url, connections=connections, seconds=1, pipeline=pipeline)
    served = logged(tmp_path)["GET", "/missing", 404]
    assert 0 == result.errors
    assert result.requests == result.bad_statuses
    assert 0 <= served - result.requests <= connections * pipeline


def test_a_load_runs_in_the_background(supervisor, tmp_path, port, loadgen):
    _, log = runtimes.start_origin(supervisor, tmp_path, port=port)
    process = start_exact(loadgen, Load(port=port, requests=50))
    output, _ = process.communicate(timeout=30)
    assert b'"finished": 50' in output
    assert 50 == len(log.read_text().splitlines())
