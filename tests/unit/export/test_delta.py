"""Deltas: the sum of what was accepted is the cumulative value."""

from __future__ import annotations

from tests.receivers import Answer, OtlpHttpReceiver
from tests.unit.export.otlp_rig import RECEIVERS, Service, exporter
from tests.unit.export.samples import START


def test_deltas_add_up_to_the_cumulative_value_whatever_fails(protocol):
    refused = Answer("UNAVAILABLE" if protocol == "grpc" else 503)
    dropped = Answer("INVALID_ARGUMENT" if protocol == "grpc" else 400)
    app = Service()
    with RECEIVERS[protocol]() as receiver:
        one = exporter(receiver, protocol, app, temporality="delta")
        results = []
        for added, answer in ((3, Answer()), (4, refused), (5, dropped), (1, Answer())):
            app.count += added
            receiver.script(answer)
            results.append(one.export())
        points = receiver.all_points()
    assert results == [True, False, False, True]
    assert [point.count for point in points] == [3, 10]
    assert sum(point.value for point in points) == 13 * 0.25
    assert {"delta"} == {point.temporality for point in points}
    first, second = points
    assert first.start_unix_nano == START
    assert second.start_unix_nano == first.time_unix_nano


def test_deltas_survive_a_restart_and_the_end_of_the_service_while_the_receiver_is_away():
    app = Service()
    with OtlpHttpReceiver(Answer(503)) as receiver:
        one = exporter(receiver, "http/protobuf", app, temporality="delta")
        app.count = 7
        one.export()
        app.start, app.count = START + 5, 2
        one.export()
        app.present = False
        one.export()
        receiver.script(Answer())
        assert one.export()
        assert one.export()
        assert sum(point.count for point in receiver.all_points()) == 9
        assert len([r for r in receiver.requests if r.accepted]) == 1


def test_lowmemory_makes_deltas_of_histograms_only(rich):
    with OtlpHttpReceiver() as receiver:
        one = exporter(receiver, "http/protobuf", lambda: rich, temporality="lowmemory")
        assert one.export()
        assert one.export()
        points = receiver.all_points()
    assert {("histogram", "delta"), ("counter", "cumulative"), ("updown", "cumulative")} == {
        (point.kind, point.temporality) for point in points if point.temporality
    }
    assert sum(point.kind == "histogram" for point in points) == 3
    assert sum(point.kind == "counter" for point in points) == 6
