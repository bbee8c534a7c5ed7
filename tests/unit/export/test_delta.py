"""Deltas: the sum of what was accepted is the cumulative value."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from tests.receivers import Answer, OtlpHttpReceiver
from tests.unit.export.otlp_rig import RECEIVERS, Service, exporter
from tests.unit.export.samples import NOW, START, histogram, service, snapshot

from otelauto.export._delta import Delta
from otelauto.export._merge import batches


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


@dataclass(frozen=True)
class Step:
    """One interval: who is there, who restarted, what came, and how the requests ended."""

    added: tuple[int, int, int]
    present: tuple[bool, bool, bool]
    restarted: tuple[bool, bool, bool]
    accepted: tuple[bool, bool]


three = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
flags = st.tuples(st.booleans(), st.booleans(), st.booleans())
steps = st.lists(
    st.builds(Step, three, flags, flags, st.tuples(st.booleans(), st.booleans())), max_size=12
)


@given(steps)
def test_whatever_happens_every_observation_is_accepted_exactly_once(history):
    """Requests of two points, of which any may fail; services that come, restart and go."""
    delta = Delta(frozenset({"histogram"}))
    observed, accepted = 0, 0
    counts, starts, at = [0, 0, 0], [START, START, START], NOW
    ends: dict[str, int] = {}
    calm = Step((0, 0, 0), (False, False, False), (False, False, False), (True, True))
    for step in [*history, calm]:
        at += 1_000_000_000
        live = []
        for n in range(3):
            if step.restarted[n] or not step.present[n]:
                counts[n], starts[n] = 0, at
            if step.present[n]:
                counts[n] += step.added[n]
                observed += step.added[n]
                live.append(histogram((counts[n], 0, 0, 0, 0, 0), start=starts[n], route=f"/{n}"))
        owed = delta.take(snapshot(service(*live), at=at))
        for turn, batch in enumerate(batches(owed, 2)):
            if not step.accepted[min(turn, 1)]:
                break
            delta.accept(batch)
            for one in batch.resources[0].families[0].points:
                accepted += one.count
                route = str(one.attributes)
                assert ends.get(route, 0) <= one.start_unix_nano <= at
                ends[route] = batch.time_unix_nano if one.start_unix_nano < at else 0
    assert accepted == observed
    assert not delta._series


def test_what_waits_for_an_absent_receiver_is_bounded_and_the_loss_is_counted():
    delta = Delta(frozenset({"histogram"}), ended_max=10)
    for n in range(25):
        owed = delta.take(snapshot(service(histogram(route=f"/{n}")), at=NOW + n))
    assert delta.dropped_points == 14
    (entity,) = owed.resources
    assert [f"/{n}" for n in range(14, 25)] == sorted(
        (dict(one.attributes)["http.route"] for one in entity.families[0].points),
        key=lambda route: int(route[1:]),
    )
