"""Every metric that the catalogue promises of the agent is made, with exactly its attributes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from otelauto import __version__
from otelauto.abi import _layout as abi
from otelauto.discovery.identity import Host
from otelauto.metrics import catalog
from otelauto.metrics.resource import agent_resource
from otelauto.metrics.selfstats import ExporterFacts, Facts, self_families

START = 1_700_000_000_500_000_000
ENTRIES = {entry.metric: entry for entry in catalog.AGENT_METRICS}

LEAST = Facts(start_unix_nano=START, hook="sock", counts={}, exchanges=0, series=0)
FULL = Facts(
    start_unix_nano=START,
    hook="syscall",
    counts={count: 100 + count for count in abi.Count},
    exchanges=12,
    series=7,
    targets={"selector": 2, "executable": 1},
    instrumentation_errors={"map_full": 3},
    routes_learned=5,
    routes_overflow=1,
    degraded=("raw_tracepoint:sched_process_fork",),
    self_tests={"sock": False, "syscall": True},
    programs={"sys_exit": (1.5, 1000)},
    exporters=(
        ExporterFacts(
            "otlp_metrics",
            successes=9,
            errors={"timeout": 2},
            retries=4,
            dropped_points={"rejected": 6},
            last_success_unix_nano=START + 250_000_000,
        ),
    ),
    spans={"exported": 11, "queue_full": 2},
    scrapes={200: 8, 404: 1},
    config_hash="abc",
    config_unix_nano=START,
    reloads={"applied": 2, "refused": 1},
    last_reload_successful=False,
)


@pytest.fixture
def proc(tmp_path):
    folder = tmp_path / "self"
    folder.mkdir()
    numbers = " ".join(str(number) for number in range(4, 53))
    (folder / "stat").write_text(f"77 (o tel) (auto) S {numbers}\n")
    (folder / "smaps_rollup").write_text(
        "55d0-7ffc ---p 00000000 00:00 0  [rollup]\n"
        "Rss:  30000 kB\nPss:  20000 kB\nPss_Dirty: 9 kB\n"
    )
    return tmp_path


@pytest.fixture
def values(proc):
    """values(facts, metric): value by attributes."""

    def ask(facts, metric):
        found = [f for f in self_families(facts, proc=proc) if f.metric is metric]
        return {point.attributes: point.value for family in found for point in family.points}

    return ask


def test_every_metric_of_the_catalogue_is_made(proc):
    made = [family.metric for family in self_families(FULL, proc=proc)]
    assert set(ENTRIES) == set(made)
    assert len(made) == len(set(made))


@pytest.mark.parametrize("facts", [LEAST, FULL], ids=["least", "full"])
def test_points_have_exactly_the_attributes_that_the_catalogue_declares(proc, facts):
    for family in self_families(facts, proc=proc):
        for point in family.points:
            names = tuple(name for name, _ in point.attributes)
            assert ENTRIES[family.metric].attributes == names, family.metric.name


@pytest.mark.parametrize("facts", [LEAST, FULL], ids=["least", "full"])
def test_no_two_points_of_a_metric_are_the_same_series(proc, facts):
    for family in self_families(facts, proc=proc):
        found = [point.attributes for point in family.points]
        assert len(found) == len(set(found)), family.metric.name


def test_everything_counts_from_the_start_of_the_probes(proc):
    points = [point for family in self_families(FULL, proc=proc) for point in family.points]
    assert {START} == {point.start_unix_nano for point in points}


@pytest.mark.parametrize("count", catalog.KERNEL_COUNTS, ids=lambda count: count.name)
def test_every_counter_of_the_kernel_is_told_and_0_before_it_counts(values, count):
    number = abi.Count[count.name.removeprefix("COUNT_")]
    assert 100 + number == values(FULL, count.metric)[count.attributes]
    assert 0 == values(LEAST, count.metric)[count.attributes]


def test_exchanges_are_told_by_what_became_of_them(values):
    expected = {
        (("otelauto.outcome", "aggregated"),): 12,
        (("otelauto.outcome", "overflow"),): 101,
        (("otelauto.outcome", "lost"),): 102,
    }
    assert expected == values(FULL, catalog.EXCHANGES)


def test_numbers_that_are_there_from_the_start_are_told_as_0(values):
    for metric in (catalog.SERIES, catalog.ROUTES_LEARNED, catalog.ROUTES_OVERFLOW):
        assert {(): 0} == values(LEAST, metric)
    assert {(("otelauto.name_rule", "none"),): 0} == values(LEAST, catalog.TARGETS)


def test_targets_are_told_by_the_rule_that_named_them(values):
    expected = {
        (("otelauto.name_rule", "executable"),): 1,
        (("otelauto.name_rule", "selector"),): 2,
    }
    assert expected == values(FULL, catalog.TARGETS)


def test_times_are_seconds_since_the_epoch(values):
    assert {(): 1_700_000_000.5} == values(FULL, catalog.START_TIME)
    exporter = (("otelauto.exporter", "otlp_metrics"),)
    assert {exporter: pytest.approx(1_700_000_000.75)} == values(FULL, catalog.EXPORT_LAST_SUCCESS)


def test_an_export_that_never_succeeded_has_no_time_of_success(values):
    facts = Facts(
        start_unix_nano=START,
        hook="sock",
        counts={},
        exchanges=0,
        series=0,
        exporters=(ExporterFacts("otlp_metrics"),),
    )
    assert {} == values(facts, catalog.EXPORT_LAST_SUCCESS)
    assert {(("otelauto.exporter", "otlp_metrics"),): 0} == values(facts, catalog.EXPORT_SUCCESSES)


def test_failures_of_exports_are_told_by_reason(values):
    errors = (("error.type", "timeout"), ("otelauto.exporter", "otlp_metrics"))
    dropped = (("error.type", "rejected"), ("otelauto.exporter", "otlp_metrics"))
    assert {errors: 2} == values(FULL, catalog.EXPORT_ERRORS)
    assert {dropped: 6} == values(FULL, catalog.EXPORT_POINTS_DROPPED)


def test_the_result_of_each_self_test_and_the_last_reload_are_1_or_0(values):
    assert {
        (("otelauto.hook", "sock"),): 0,
        (("otelauto.hook", "syscall"),): 1,
    } == values(FULL, catalog.SELF_TEST_PASSED)
    assert {(): 0} == values(FULL, catalog.CONFIG_LAST_RELOAD_SUCCESSFUL)
    assert {(): 1} == values(LEAST, catalog.CONFIG_LAST_RELOAD_SUCCESSFUL)


def test_the_build_is_named(values):
    ((attributes, value),) = values(LEAST, catalog.BUILD_INFO).items()
    assert 1 == value
    assert {
        "host.arch": dict(agent_resource(Host("a", "b")))["host.arch"],
        "os.kernel": platform.release(),
        "otelauto.version": __version__,
        "process.runtime.version": platform.python_version(),
    } == dict(attributes)


def test_cpu_time_is_in_seconds_whatever_the_process_is_called(values):
    ticks = os.sysconf("SC_CLK_TCK")
    expected = {(("cpu.mode", "user"),): 14 / ticks, (("cpu.mode", "system"),): 15 / ticks}
    assert expected == values(LEAST, catalog.CPU_TIME)


def test_memory_is_in_bytes_by_kind(values):
    kinds = {
        (("otelauto.memory.kind", "rss"),): 30000 * 1024,
        (("otelauto.memory.kind", "pss"),): 20000 * 1024,
    }
    assert kinds == values(LEAST, catalog.MEMORY_USAGE)


def test_a_kernel_that_does_not_tell_the_memory_costs_only_that_metric(proc):
    (proc / "self" / "smaps_rollup").unlink()
    made = {family.metric for family in self_families(FULL, proc=proc)}
    assert {catalog.MEMORY_USAGE} == set(ENTRIES) - made


def test_the_real_process_file_system_is_understood():
    families = {family.metric: family.points for family in self_families(LEAST)}
    assert 0 < sum(point.value for point in families[catalog.CPU_TIME])
    real = Path("/proc/self/smaps_rollup").exists()
    assert real == (catalog.MEMORY_USAGE in families)
