"""From the kernel's numbers, which wrap and vanish, to totals that only grow."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.metrics.red import SLICES, members, raw_key, raw_value

from otelauto.abi import _layout as abi
from otelauto.metrics import catalog
from otelauto.metrics.aggregate import Aggregate, Bounds
from otelauto.metrics.fine import FINE_BOUNDS_SECONDS
from otelauto.metrics.series import series_key

U32, U64 = 1 << 32, 1 << 64
BOUNDS = Bounds(
    duration_seconds=(0.0, 0.005, 1.0), request_bytes=(0.0, 100.0), response_bytes=(0.0, 1000.0)
)
START = 1_000


def place(key):
    """Routes have the name of their number; what has ROUTE_OTHER is not reported."""
    return None if key.route == abi.Route.OTHER else series_key(key, f"/{key.route}")


class Reader:
    """An aggregate, read at 2000, 3000, ... nanoseconds."""

    def __init__(self, *, fine=False):
        self.aggregate = Aggregate(BOUNDS, start_unix_nano=START, fine=fine)
        self.now = START
        self.placed = []

    def read(self, items):
        self.now += 1_000
        self.aggregate.read(dict(items).items(), now_unix_nano=self.now, place=self._place)

    def _place(self, key):
        self.placed.append(key)
        return place(key)

    def points(self, metric=catalog.HTTP_SERVER_DURATION, service=1):
        families = self.aggregate.families().get(service, ())
        return next((family.points for family in families if family.metric is metric), ())

    def only(self, metric=catalog.HTTP_SERVER_DURATION, service=1):
        (point,) = self.points(metric, service)
        return point


@pytest.fixture
def reader():
    return Reader()


def test_the_first_read_counts_from_the_start_of_the_probes(reader):
    reader.read([(raw_key(), raw_value(duration={1: 3, 3: 1}, duration_sum_ns=2_500_000_000))])
    point = reader.only()
    assert (START, 2.5, (0, 3, 0, 1), 4) == (
        point.start_unix_nano,
        point.sum,
        point.counts,
        point.count,
    )
    assert BOUNDS.duration_seconds == point.bounds
    assert () == point.fine


def test_a_series_that_comes_later_starts_where_the_read_before_it_ended(reader):
    reader.read([(raw_key(), raw_value(duration=1))])
    later = (raw_key(route=20), raw_value(duration=1))
    reader.read([(raw_key(), raw_value(duration=1)), later])
    starts = {
        dict(point.attributes)["http.route"]: point.start_unix_nano for point in reader.points()
    }
    assert {"/0": START, "/20": START + 1_000} == starts


def test_the_three_histograms_of_each_side_have_their_own_bounds_sums_and_counts(reader):
    value = raw_value(
        duration={2: 2},
        duration_sum_ns=20_000_000,
        request_size={0: 1, 1: 1},
        request_bytes=70,
        response_size={2: 2},
        response_bytes=5000,
    )
    client = raw_key(2, role=abi.Role.CLIENT)
    reader.read([(raw_key(1), value), (client, value)])
    for service, metrics in (
        (
            1,
            (
                catalog.HTTP_SERVER_DURATION,
                catalog.HTTP_SERVER_REQUEST_SIZE,
                catalog.HTTP_SERVER_RESPONSE_SIZE,
            ),
        ),
        (
            2,
            (
                catalog.HTTP_CLIENT_DURATION,
                catalog.HTTP_CLIENT_REQUEST_SIZE,
                catalog.HTTP_CLIENT_RESPONSE_SIZE,
            ),
        ),
    ):
        families = reader.aggregate.families()[service]
        assert metrics == tuple(family.metric for family in families)
        points = [reader.only(metric, service) for metric in metrics]
        assert [0.02, 70.0, 5000.0] == [point.sum for point in points]
        assert [(0, 0, 2, 0), (1, 1, 0), (0, 0, 2)] == [point.counts for point in points]


def test_counts_that_wrap_go_on(reader):
    """A member of 32 bits wraps after four thousand million requests, one of 64 as well."""
    near = raw_value(duration=U32 - 2, duration_sum_ns=U64 - 1_000_000_000)
    reader.read([(raw_key(), near)])
    reader.read([(raw_key(), raw_value(duration=3, duration_sum_ns=1_000_000_000))])
    point = reader.only()
    assert U32 + 3 == point.count
    assert math.isclose((U64 + 1_000_000_000) / 1e9, point.sum)
    reader.read([(raw_key(), raw_value(duration=2, duration_sum_ns=999_999_999))])
    assert 2 * U32 + 2 == reader.only().count


def test_shards_of_a_series_are_added_up(reader):
    shards = [(raw_key(shard=n), raw_value(duration={n: n + 1})) for n in range(4)]
    reader.read(shards)
    assert (1, 2, 3, 4) == reader.only().counts
    assert 4 == reader.aggregate.entries
    assert 10 == reader.aggregate.exchanges


def test_several_paths_of_a_route_are_one_series(reader):
    def one_route(key):
        return series_key(key, "/items/{id}")

    keys = [raw_key(route=abi.Route.PENDING, path=path) for path in (7, 8, 9)]
    reader.aggregate.read(
        [(key, raw_value(duration=2)) for key in keys], now_unix_nano=2000, place=one_route
    )
    assert 6 == reader.only().count


def test_an_entry_is_placed_once_and_keeps_its_series(reader):
    for number in range(1, 4):
        reader.read([(raw_key(), raw_value(duration=number))])
    assert 1 == len(reader.placed)
    assert reader.aggregate.knows(raw_key())
    assert not reader.aggregate.knows(raw_key(2))


def test_what_is_not_reported_is_never_in_a_family(reader):
    ignored = raw_key(route=abi.Route.OTHER)
    reader.read([(ignored, raw_value(duration=5))])
    reader.read([(ignored, raw_value(duration=9))])
    assert {} == reader.aggregate.families()
    assert 0 == reader.aggregate.exchanges
    assert 1 == len(reader.placed)


def test_a_series_without_a_change_keeps_the_very_same_points(reader):
    """Exporters compare points by identity first: at rest an export costs next to nothing."""
    other = raw_key(route=20)
    reader.read([(raw_key(), raw_value(duration=1)), (other, raw_value(duration=1))])
    before = reader.points()
    reader.read([(raw_key(), raw_value(duration=1)), (other, raw_value(duration=2))])
    after = reader.points()
    assert [True, False] == [old is new for old, new in zip(before, after, strict=True)]


def test_nothing_is_lost_when_an_entry_is_forgotten_and_comes_back(reader):
    pending = raw_key(route=abi.Route.PENDING, path=7)
    reader.read([(pending, raw_value(duration=5))])
    reader.aggregate.forget([pending, raw_key(9)])
    assert not reader.aggregate.knows(pending)
    reader.read([])
    assert 5 == reader.only().count
    reader.read([(pending, raw_value(duration=2))])
    assert (7, START) == (reader.only().count, reader.only().start_unix_nano)


def test_only_paths_without_a_route_that_rest_are_idle(reader):
    pending = raw_key(route=abi.Route.PENDING, path=7)
    busy = raw_key(route=abi.Route.PENDING, path=8)
    for number in range(4):
        items = [(raw_key(), raw_value(duration=1)), (pending, raw_value(duration=1))]
        reader.read([*items, (busy, raw_value(duration=number + 1))])
        expected = [pending] if number >= 3 else []
        assert expected == reader.aggregate.idle(3)


def test_a_change_ends_the_rest_of_a_path(reader):
    pending = raw_key(route=abi.Route.PENDING, path=7)
    for number in (1, 1, 1, 2):
        reader.read([(pending, raw_value(duration=number))])
    assert [] == reader.aggregate.idle(1)


def test_a_dropped_service_is_gone_with_its_entries(reader):
    gone = [raw_key(1, shard=shard) for shard in range(2)]
    unreported = raw_key(1, route=abi.Route.OTHER)
    reader.read(
        (key, raw_value(duration=4)) for key in (*gone, unreported, raw_key(2), raw_key(3))
    )
    assert {*gone, unreported} == set(reader.aggregate.drop_service(1))
    assert {2, 3} == reader.aggregate.families().keys()
    assert not reader.aggregate.knows(gone[0])
    assert [] == reader.aggregate.drop_service(1)


def test_the_exchanges_of_the_agents_own_counter_never_fall(reader):
    reader.read([(raw_key(1), raw_value(duration=4)), (raw_key(2), raw_value(duration=1))])
    reader.aggregate.drop_service(1)
    assert 5 == reader.aggregate.exchanges
    reader.read([(raw_key(1), raw_value(duration=2)), (raw_key(2), raw_value(duration=1))])
    assert 7 == reader.aggregate.exchanges


def test_what_comes_back_under_the_id_of_a_dropped_service_starts_anew(reader):
    reader.read([(raw_key(1), raw_value(duration=4))])
    reader.aggregate.drop_service(1)
    reader.read([(raw_key(1), raw_value(duration=2))])
    assert (2, START + 1_000) == (reader.only().count, reader.only().start_unix_nano)


def test_the_overflow_series_appears_when_something_is_in_it_and_is_no_aggregated_exchange(reader):
    overflow = raw_key(1, route=abi.Route.OVERFLOW, method=0, status=0, server_port=0, version=0)
    reader.read([(overflow, raw_value())])
    assert {} == reader.aggregate.families()
    assert 0 == reader.aggregate.entries
    reader.read([(overflow, raw_value(duration=3)), (raw_key(), raw_value(duration=2))])
    counts = {point.attributes: point.count for point in reader.points()}
    assert 3 == counts[("otel.metric.overflow", True),]
    assert 2 == reader.aggregate.exchanges
    reader.aggregate.drop_service(1)
    assert 2 == reader.aggregate.exchanges


def test_fine_buckets_are_there_on_demand_and_for_durations_only():
    reader = Reader(fine=True)
    reader.read([(raw_key(), raw_value(duration=3, fine={0: 1, 55: 2}, request_size=1))])
    fine = reader.only().fine
    assert FINE_BOUNDS_SECONDS == tuple(bound for bound, _ in fine)
    assert [1, *([0] * 54), 2] == [count for _, count in fine]
    assert () == reader.only(catalog.HTTP_SERVER_REQUEST_SIZE).fine


MEMBERS = st.sampled_from(
    [(name, index) for name in SLICES for index in range(SLICES[name].stop - SLICES[name].start)]
)
#: What happens to one entry between two reads.
INCREMENTS = st.lists(st.tuples(MEMBERS, st.integers(0, U32 - 1)), max_size=4)
ENTRIES = st.sampled_from(
    [
        {"service": service, "shard": shard, "route": route}
        for service in (1, 2)
        for shard in (0, 1)
        for route in (16, 17, abi.Route.OTHER)
    ]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("count"), ENTRIES, INCREMENTS),
        st.tuples(st.just("read"), st.none(), st.none()),
        st.tuples(st.just("forget"), ENTRIES, st.none()),
    ),
    max_size=30,
)


class Model:
    """The same in plain sums: what every series has counted, without any limit."""

    def __init__(self):
        self.kernel = {}  # entry -> members, modulo
        self.unread = defaultdict(int)  # (entry, index) -> increments
        self.read_so_far = defaultdict(int)  # (service, route, index) -> total

    def count(self, entry, increments):
        values = self.kernel.setdefault(entry, members())
        for (name, index), number in increments:
            at = SLICES[name].start + index
            modulus = U64 if SLICES[name].stop <= SLICES["duration"].start else U32
            values[at] = (values[at] + number) % modulus
            self.unread[entry, at] += number

    def read(self):
        for (entry, at), number in self.unread.items():
            service, _, route = entry
            if route != abi.Route.OTHER:
                self.read_so_far[service, route, at] += number
        self.unread.clear()

    def totals(self):
        return {key: total for key, total in self.read_so_far.items() if total}


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_totals_are_those_of_a_plain_model_whatever_wraps_and_is_forgotten(steps):
    """Between two reads no member may grow by more than it can hold: kept below here."""
    reader, model = Reader(), Model()

    def read():
        reader.read(
            (raw_key(service, shard=shard, route=route), abi.RED_VALUE.pack(*values))
            for (service, shard, route), values in model.kernel.items()
        )
        model.read()

    for step, fields, increments in steps:
        entry = None if fields is None else (fields["service"], fields["shard"], fields["route"])
        if step == "read":
            read()
        elif step == "count":
            room = all(
                model.unread[entry, SLICES[name].start + index] + number < U32
                for (name, index), number in increments
            )
            if room and len({member for member, _ in increments}) == len(increments):
                model.count(entry, increments)
        elif not any(pending for (key, _), pending in model.unread.items() if key == entry):
            # As the session does it: deleted in the kernel, then forgotten.
            model.kernel.pop(entry, None)
            reader.aggregate.forget([raw_key(**fields)])
    read()
    found = {
        (series.key.service, int(dict(series.key.attributes)["http.route"][1:]), at): total
        for series in reader.aggregate._series.values()
        for at, total in enumerate(series.totals)
        if total
    }
    assert model.totals() == found
