"""The table for people: right numbers between two snapshots, and harmless text."""

from __future__ import annotations

import io
import json
import os
import pty
import threading
from dataclasses import replace

import pytest
from tests.unit.export.samples import NOW, START, histogram, service, snapshot

from otelauto.export.lines import LinePrinter, json_lines, rows, table
from otelauto.metrics import catalog

SECOND = 1_000_000_000


def at(seconds, *points, **identity):
    return snapshot(service(*points, **identity), at=NOW + seconds * SECOND)


def test_rates_and_shares_are_of_the_time_between_the_snapshots():
    before = at(
        0,
        histogram((0, 10, 0, 0, 0, 0), method="GET", status=200, route="/a"),
        histogram((0, 5, 0, 0, 0, 0), method="GET", status=500, route="/a"),
    )
    after = at(
        4,
        histogram((0, 40, 0, 0, 0, 0), method="GET", status=200, route="/a"),
        histogram((0, 5, 0, 10, 0, 0), method="GET", status=500, route="/a"),
        histogram((0, 0, 0, 0, 0, 0), method="PUT", status=200, route="/idle"),
    )
    fine, broken = rows(before, after)
    assert (
        fine.service,
        fine.side,
        fine.method,
        fine.route,
        fine.status,
        fine.requests,
        fine.rate,
        fine.error_share,
    ) == ("prod/shop", "in", "GET", "/a", "2xx", 30, 7.5, 0.25)
    assert (
        broken.status,
        broken.requests,
        broken.rate,
        broken.error_share,
    ) == ("5xx", 10, 2.5, 0.25)
    assert 0 < fine.p50_seconds <= 0.005
    assert 0.01 < broken.p99_seconds <= 0.1


def test_without_an_earlier_snapshot_everything_since_the_start_counts():
    (row,) = rows(None, at(0, histogram((0, 30, 0, 0, 0, 0), method="GET", status=200)))
    assert (row.requests, row.rate) == (30, 30 / 60)
    assert START + 60 * SECOND == NOW


def test_a_restarted_service_counts_from_zero():
    before = at(0, histogram((0, 90, 0, 0, 0, 0), method="GET", status=200))
    after = at(1, histogram((0, 3, 0, 0, 0, 0), method="GET", status=200, start=START + 9))
    (row,) = rows(before, after)
    assert row.requests == 3


def test_series_of_one_status_class_are_one_row():
    after = at(
        1,
        histogram((0, 1, 0, 0, 0, 0), method="GET", status=200, route="/a"),
        histogram((0, 2, 0, 0, 0, 0), method="GET", status=204, route="/a"),
    )
    (row,) = rows(None, after)
    assert (row.status, row.requests) == ("2xx", 3)


def test_errors_are_those_of_the_conventions():
    """404 is an error of the client's, not of the server's; no answer is one of both."""

    def shares(metric, **attributes):
        one = service(histogram(method="GET", **attributes), metric=metric)
        return [(row.status, row.error_share) for row in rows(None, snapshot(one))]

    server, client = catalog.HTTP_SERVER_DURATION, catalog.HTTP_CLIENT_DURATION
    assert shares(server, status=404) == [("4xx", 0.0)]
    assert shares(client, status=404) == [("4xx", 1.0)]
    assert shares(server, status=503) == [("5xx", 1.0)]
    assert shares(server, **{"error.type": "no_response"}) == [("no_response", 1.0)]
    assert shares(server, status=200, **{"error.type": "connection_reset"}) == [("2xx", 1.0)]


def test_requests_made_are_shown_with_their_peer():
    one = service(
        histogram(method="GET", status=200, port=5432, **{"server.address": "10.0.0.5"}),
        metric=catalog.HTTP_CLIENT_DURATION,
    )
    (row,) = rows(None, snapshot(one))
    assert (row.side, row.route) == ("out", "10.0.0.5:5432")


def test_fine_buckets_sharpen_the_quantiles():
    coarse = histogram((0, 0, 0, 0, 4, 0), method="GET", status=200)
    fine = replace(coarse, fine=((0.2, 2), (0.21, 2)))
    (row,) = rows(None, at(0, fine))
    assert 0.2 < row.p99_seconds <= 0.21


def test_the_table_reads_well():
    after = at(
        0,
        histogram((0, 600, 0, 0, 0, 0), method="GET", status=200, route="/a/{id}"),
        histogram((0, 0, 0, 0, 6, 0), method="POST", status=503, route="/b"),
    )
    expected = (
        "SERVICE    DIR  METHOD  ROUTE    STATUS  REQ/S  ERR%      P50      P95      P99\n"
        "prod/shop  in   GET     /a/{id}  2xx      10.0   0.0   2.5 ms  4.75 ms  4.95 ms\n"
        "prod/shop  in   POST    /b       5xx       0.1  100.0   550 ms      1 s      1 s\n"
    )
    found = table(rows(None, after)).splitlines()
    assert [line.split() for line in expected.splitlines()] == [line.split() for line in found]
    assert len({line.index("ROUTE") for line in found if "ROUTE" in line}) == 1
    assert "... and 1 more" in table(rows(None, after), limit=1)
    assert "no requests yet" in table(())


def test_lines_fit_the_terminal_by_cutting_routes():
    after = at(0, histogram(method="GET", status=200, route="/" + "x" * 300))
    for line in table(rows(None, after), width=100).splitlines():
        assert len(line) <= 100


def test_text_from_the_wire_cannot_drive_the_terminal():
    after = at(0, histogram(method="GET", status=200, route="/\x1b]0;x\x07\n\u202e"), name="a\rb")
    text = table(rows(None, after))
    assert text.count("\n") == 2
    assert all(one.isprintable() for line in text.splitlines() for one in line)
    assert "prod/a?b" in text
    assert "/?]0;x???" in text


def collected(*snapshots):
    turns = iter(snapshots)
    return lambda: next(turns)


def test_once_prints_one_table_to_a_pipe_without_escapes():
    stream = io.StringIO()
    one = at(0, histogram(method="GET", status=200))
    LinePrinter(collected(one), stream).print_once()
    assert stream.getvalue().count("SERVICE") == 1
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_is_cleared_and_sized(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("LINES", "8")
    points = [histogram(method="GET", status=200, route=f"/{n}{'x' * 200}") for n in range(9)]
    main, side = pty.openpty()
    with (
        os.fdopen(main, "rb", buffering=0) as reader,
        os.fdopen(side, "w", encoding="utf-8") as stream,
    ):
        LinePrinter(collected(at(0, *points)), stream).print_once()
        text = os.read(reader.fileno(), 65536).decode()
    assert text.startswith("\x1b[H\x1b[J")
    assert "... and 5 more" in text
    assert max(map(len, text.replace("\x1b[H\x1b[J", "").splitlines())) <= 90


def counting(stop, *, last):
    turns = iter(
        at(n, histogram((0, 10 * n, 0, 0, 0, 0), method="GET", status=200)) for n in range(100)
    )

    def collect():
        one = next(turns)
        if one.time_unix_nano >= NOW + last * SECOND:
            stop.set()
        return one

    return collect


def test_run_prints_differences_until_it_is_stopped_and_once_more():
    stop = threading.Event()
    stream = io.StringIO()
    printer = LinePrinter(counting(stop, last=2), stream, interval_seconds=0.01)
    assert printer.run(stop)
    assert [
        float(line.split()[5]) for line in stream.getvalue().splitlines() if "2xx" in line
    ] == [10.0, 10.0, 10.0]


def test_json_lines_are_the_rows():
    stop = threading.Event()
    stream = io.StringIO()
    printer = LinePrinter(counting(stop, last=1), stream, interval_seconds=0.01, as_json=True)
    assert printer.run(stop)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [10, 10] == [one["requests"] for one in found]
    assert ["GET", "GET"] == [one["method"] for one in found]
    assert [NOW / 1e9 + 1, NOW / 1e9 + 2] == [one["time_unix_seconds"] for one in found]
    assert "" == json_lines((), time_unix_nano=NOW)


def test_a_collection_that_fails_is_told_and_the_next_is_printed():
    stop = threading.Event()
    good = counting(stop, last=2)
    calls = []
    told = []

    def collect():
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("map gone")
        return good()

    stream = io.StringIO()
    assert LinePrinter(collect, stream, interval_seconds=0.01).run(stop, told.append)
    assert ["map gone"] == [str(error) for error in told]
    assert 4 == stream.getvalue().count("SERVICE")


@pytest.mark.parametrize("error", [BrokenPipeError, OSError(28, "no space"), ValueError])
def test_run_ends_when_nothing_can_be_written(error):
    class Closed(io.StringIO):
        def write(self, _):
            raise error

    one = at(0, histogram(method="GET", status=200))
    printer = LinePrinter(lambda: one, Closed(), interval_seconds=0.01)
    assert not printer.run(threading.Event())
