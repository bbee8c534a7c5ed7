"""Merging: whatever comes in, each identity stands once and no observation is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.export.samples import NOW, START, histogram, resource, service, snapshot

from otelauto.export._merge import added, batches, merged, valid_text
from otelauto.metrics import catalog
from otelauto.model import HistogramPoint, MetricFamily, NumberPoint, ResourceMetrics, Snapshot

texts = st.text(st.characters(), max_size=4)
counts = st.lists(st.integers(0, 50), min_size=6, max_size=6)
points = st.builds(
    lambda name, numbers: histogram(numbers, total=float(sum(numbers)), route=name), texts, counts
)
snapshots = st.lists(
    st.builds(lambda name, some: service(*some, name=name), texts, st.lists(points, max_size=4)),
    max_size=4,
).map(lambda some: snapshot(*some))


def observations(one: Snapshot) -> int:
    return sum(p.count for r in one.resources for f in r.families for p in f.points)


@given(snapshots)
def test_no_observation_is_lost_and_no_identity_stands_twice(one):
    after = merged(one)
    assert observations(one) == observations(after)
    resources = [r.resource for r in after.resources]
    assert len(resources) == len(set(resources))
    for entity in after.resources:
        for family in entity.families:
            identities = [p.attributes for p in family.points]
            assert len(identities) == len(set(identities))
            for attributes in (*identities, entity.resource):
                assert "".join(f"{k}{v}" for k, v in attributes).encode()
    assert merged(after) == after


@given(snapshots, st.integers(1, 5))
def test_batches_keep_order_and_size_and_lose_nothing(one, size):
    def flat(some):
        return [
            (r.resource, f.metric.name, p)
            for r in some.resources
            for f in r.families
            for p in f.points
        ]

    cut = list(batches(one, size))
    assert [entry for batch in cut for entry in flat(batch)] == flat(one)
    assert all(1 <= len(flat(batch)) <= size for batch in cut)
    assert {one.time_unix_nano} >= {batch.time_unix_nano for batch in cut}


@given(st.text(st.characters()))
def test_valid_text_is_utf_8_and_leaves_valid_text_alone(text):
    assert len(valid_text(text).encode().decode()) == len(text)
    if not any("\ud800" <= one <= "\udfff" for one in text):
        assert valid_text(text) == text


def test_counters_add_up_and_the_last_gauge_counts():
    def number(metric, value):
        return ResourceMetrics(
            resource(), (MetricFamily(metric, (NumberPoint((), START, value),)),)
        )

    after = merged(
        snapshot(
            number(catalog.EXCHANGES, 2),
            number(catalog.EXCHANGES, 3),
            number(catalog.TARGETS, 1),
            number(catalog.TARGETS, 1),
            number(catalog.CONFIG_LAST_SUCCESS, 7),
            number(catalog.CONFIG_LAST_SUCCESS, 9),
        )
    )
    (entity,) = after.resources
    assert [p.value for f in entity.families for p in f.points] == [5, 2, 9]


def test_the_earlier_start_is_kept():
    one, other = histogram(start=START), histogram(start=START - 5)
    assert added(one, other).start_unix_nano == START - 5


def test_histograms_of_different_bounds_are_added_over_the_common_ones():
    one = HistogramPoint((), START, 1.0, (1.0, 2.0, 4.0), (1, 2, 3, 4))
    other = HistogramPoint((), START, 2.0, (2.0, 3.0, 4.0), (10, 20, 30, 40))
    total = added(one, other)
    assert (total.bounds, total.counts, total.sum) == ((2.0, 4.0), (13, 53, 44), 3.0)


def test_fine_buckets_are_added_only_if_both_have_them():
    fine = replace(histogram(), fine=((0.1, 3), (0.2, 4)))
    assert added(fine, fine).fine == ((0.1, 6), (0.2, 8))
    assert added(fine, histogram()).fine == ()


def test_a_point_of_the_wrong_type_is_left_out_and_the_others_stay():
    odd = ResourceMetrics(
        resource(),
        (MetricFamily(catalog.EXCHANGES, (histogram(), NumberPoint((), START, 4))),),
    )
    (entity,) = merged(snapshot(odd)).resources
    assert [p.value for f in entity.families for p in f.points] == [4]
    with pytest.raises(TypeError):
        added(histogram(), NumberPoint((), START, 4))


def test_the_time_is_kept():
    assert merged(snapshot()).time_unix_nano == NOW
