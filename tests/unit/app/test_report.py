"""A snapshot holds the services' series and, if they are wanted, the agent's own metrics."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from tests.unit.app.conftest import HOST, START

from otelauto.abi import _layout as abi
from otelauto.app.report import Report
from otelauto.config.changes import fingerprint
from otelauto.kernel.attach import AttachResult
from otelauto.metrics import catalog
from otelauto.metrics.selfstats import ExporterFacts


class Wired:
    """A report on a session's rig."""

    def __init__(self, rig, config):
        self.rig = rig
        self.report = Report(
            config,
            rig.session,
            rig.kernel,
            self_tests={"sock": True},
            start_unix_nano=START,
            host=HOST,
        )

    def own(self):
        """Values of the agent's own metrics by metric and attributes."""
        (own,) = [one for one in self.report.collect().resources if one.internal]
        return {
            (family.metric, point.attributes): point.value
            for family in own.families
            for point in family.points
        }


@pytest.fixture
def wired(rig, config):
    return Wired(rig, config())


def outcome(name):
    return (("otelauto.outcome", name),)


def test_services_come_first_and_the_agent_last(wired):
    wired.rig.run(7)
    wired.rig.kernel.exchange(7, b"/a", count=3)
    before = time.time_ns()
    snapshot = wired.report.collect()
    assert before <= snapshot.time_unix_nano <= time.time_ns()
    assert [False, True] == [resource.internal for resource in snapshot.resources]
    names = [dict(resource.resource)["service.name"] for resource in snapshot.resources]
    assert ["shop", "otelauto"] == names


def test_the_agents_numbers_are_those_of_the_series_beside_them(wired):
    wired.rig.run(7)
    for number in range(1, 4):
        wired.rig.kernel.exchange(7, b"/a", count=number)
        services, own = wired.report.collect().resources
        (aggregated,) = [
            point.value
            for family in own.families
            if family.metric is catalog.EXCHANGES
            for point in family.points
            if point.attributes == outcome("aggregated")
        ]
        assert aggregated == services.families[0].points[0].count


def test_a_collection_never_begins_before_the_last_one_has_ended(wired, monkeypatch):
    """Else the counts of one thread's snapshot would hold what another thread's read added."""
    inside, most = [], []

    def collect():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return ()

    monkeypatch.setattr(wired.rig.session, "collect", collect)
    threads = [threading.Thread(target=wired.report.collect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [1, 1, 1, 1] == most


def test_the_kernels_facts_are_told(wired):
    wired.rig.kernel.counters[abi.Count.PARSE_ERROR] = 4
    wired.rig.kernel.degraded = (AttachResult("raw_tracepoint:x", ok=False),)
    runs = SimpleNamespace(run_time_ns=1_500_000_000, run_count=3)
    never = SimpleNamespace(run_time_ns=0, run_count=0)
    wired.rig.kernel.program_infos = lambda: {"sys_exit": runs, "route": never}
    found = wired.own()
    assert 4 == found[catalog.LOSSES, (("otelauto.cause", "parse_error"),)]
    assert 1 == found[catalog.DEGRADED, (("otelauto.feature", "raw_tracepoint:x"),)]
    assert 1 == found[catalog.HOOK_INFO, (("otelauto.hook", "sock"),)]
    assert 1 == found[catalog.SELF_TEST_PASSED, (("otelauto.hook", "sock"),)]
    program = (("otelauto.bpf.program", "sys_exit"),)
    assert (1.5, 3) == (
        found[catalog.BPF_PROGRAM_TIME, program],
        found[catalog.BPF_PROGRAM_RUNS, program],
    )
    assert 1 == len([metric for metric, _ in found if metric is catalog.BPF_PROGRAM_RUNS])


def test_the_sessions_facts_are_told(wired):
    wired.rig.run(7)
    wired.rig.kernel.exchange(7, b"/a", count=3)
    wired.rig.session.instrumentation_errors["map_full"] = 2
    found = wired.own()
    assert 3 == found[catalog.EXCHANGES, outcome("aggregated")]
    assert 1 == found[catalog.SERIES, ()]
    assert 1 == found[catalog.ROUTES_LEARNED, ()]
    assert 2 == found[catalog.INSTRUMENTATION_ERRORS, (("error.type", "map_full"),)]


def test_the_exporters_facts_are_told_once_they_are_known(wired):
    assert not [metric for metric, _ in wired.own() if metric is catalog.SCRAPES]
    facts = (ExporterFacts("otlp_metrics", successes=3),)
    wired.report.watch_exporters(SimpleNamespace(facts=facts, scrapes={200: 5}))
    found = wired.own()
    assert 5 == found[catalog.SCRAPES, (("http.response.status_code", 200),)]
    assert 3 == found[catalog.EXPORT_SUCCESSES, (("otelauto.exporter", "otlp_metrics"),)]


def test_reloads_are_counted_and_the_configuration_in_force_is_named(wired, config):
    def hash_of(found):
        ((name, value),) = next(key for metric, key in found if metric is catalog.CONFIG_INFO)
        assert "otelauto.config.hash" == name
        return value

    first = wired.own()
    assert fingerprint(config()) == hash_of(first)
    assert 1 == first[catalog.CONFIG_LAST_RELOAD_SUCCESSFUL, ()]
    wired.report.reloaded(None)
    refused = wired.own()
    assert hash_of(first) == hash_of(refused)
    assert (0, 1) == (
        refused[catalog.CONFIG_LAST_RELOAD_SUCCESSFUL, ()],
        refused[catalog.CONFIG_RELOADS, outcome("refused")],
    )
    assert first[catalog.CONFIG_LAST_SUCCESS, ()] == refused[catalog.CONFIG_LAST_SUCCESS, ()]
    other = config("routes: {unmatched: path}\n")
    wired.report.reloaded(other)
    applied = wired.own()
    assert fingerprint(other) == hash_of(applied) != hash_of(first)
    assert (1, 1) == (
        applied[catalog.CONFIG_LAST_RELOAD_SUCCESSFUL, ()],
        applied[catalog.CONFIG_RELOADS, outcome("applied")],
    )
    assert first[catalog.CONFIG_LAST_SUCCESS, ()] < applied[catalog.CONFIG_LAST_SUCCESS, ()]


def test_the_agents_own_metrics_can_be_off_also_by_a_reload(wired, config):
    disabled = config("internal_metrics: {exporter: disabled}\n")
    wired.report.reloaded(disabled)
    assert () == wired.report.collect().resources


def test_the_agents_resource_has_the_configured_attributes(rig, config):
    wired = Wired(rig, config("resource_attributes: {zone: b}\n"))
    (own,) = wired.report.collect().resources
    assert "b" == dict(own.resource)["zone"]
