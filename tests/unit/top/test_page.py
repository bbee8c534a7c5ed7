"""A Prometheus page becomes tallies; its quantiles are those that Prometheus computes."""

from __future__ import annotations

import math

import pytest

from otelauto.top.page import Key, Tally, histogram_quantile, read_page, since

PAGE = """\
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{{{ok},le="0.1"}} 6
http_server_request_duration_seconds_bucket{{{ok},le="+Inf"}} 8
http_server_request_duration_seconds_count{{{ok}}} 8
http_server_request_duration_seconds_sum{{{ok}}} 1.5
http_server_request_duration_seconds_bucket{{{bad},le="0.1"}} 1
http_server_request_duration_seconds_bucket{{{bad},le="+Inf"}} 2
http_server_request_duration_seconds_count{{{bad}}} 2
# TYPE http_client_request_duration_seconds histogram
http_client_request_duration_seconds_bucket{{{out},le="+Inf"}} 3
http_client_request_duration_seconds_count{{{out}}} 3
# TYPE http_server_request_body_size_bytes histogram
http_server_request_body_size_bytes_count{{{ok}}} 8
""".format(
    ok='service_name="cart",service_namespace="shop",http_request_method="GET",'
    'http_route="/a/{id}",http_response_status_code="200"',
    bad='service_name="cart",service_namespace="shop",http_request_method="GET",'
    'http_route="/a/{id}",http_response_status_code="500",error_type="500"',
    out='service_name="cart",http_request_method="GET",server_address="db",'
    'server_port="80",http_response_status_code="404",error_type="404"',
)


def test_statuses_of_a_route_are_one_tally_with_its_errors():
    found = read_page(PAGE)
    assert Tally(10, 2, {0.1: 7, math.inf: 10}) == found[Key("shop/cart", "in", "GET", "/a/{id}")]


def test_requests_made_have_the_other_side_and_count_4xx_as_errors():
    assert Tally(3, 3, {math.inf: 3}) == read_page(PAGE)[Key("cart", "out", "GET", "db:80")]


def test_a_route_that_is_unknown_is_a_dash_and_no_answer_is_an_error():
    page = (
        "# TYPE http_server_request_duration_seconds histogram\n"
        'http_server_request_duration_seconds_count{service_name="x",error_type="timeout"} 4\n'
    )
    assert {Key("x", "in", "", "-"): Tally(4, 4)} == read_page(page)


def test_text_that_is_no_page_is_refused():
    with pytest.raises(ValueError, match="metric name"):
        read_page("<html><body class='x'>hello")


def test_what_happened_since_is_the_difference():
    before, now = Tally(3, 1, {1.0: 2, math.inf: 3}), Tally(8, 1, {1.0: 6, math.inf: 8})
    assert Tally(5, 0, {1.0: 4, math.inf: 5}) == since(before, now)


@pytest.mark.parametrize("before", [None, Tally(9, 0, {math.inf: 9})])
def test_after_a_restart_everything_counts(before):
    now = Tally(4, 1, {math.inf: 4})
    assert now == since(before, now)


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, {1.0: 10, 2.0: 20, math.inf: 20}, 1.0),
        (0.75, {1.0: 10, 2.0: 20, math.inf: 20}, 1.5),
        (0.25, {1.0: 10, math.inf: 10}, 0.25),
        (0.99, {1.0: 1, math.inf: 10}, 1.0),
        (0.5, {0.0: 9, 1.0: 9, math.inf: 9}, 0.0),
        (0.5, {math.inf: 3}, None),
        (0.5, {1.0: 0, math.inf: 0}, None),
        (0.5, {}, None),
    ],
)
def test_a_quantile_is_that_of_prometheus(share, buckets, expected):
    assert expected == histogram_quantile(share, buckets)
