"""The parts of a run are made of one configuration and fit together; what fails undoes all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.app.doubles import FakeKernel, Log

from otelauto.app import compose
from otelauto.app.compose import build
from otelauto.app.services import Signals
from otelauto.config.load import loads
from otelauto.errors import ConfigError, ExportError, LoadError
from otelauto.metrics import catalog
from otelauto.model import Service

WHOLE = """
ebpf: {open_port: 80, max_connections: 500, max_series: 600, headers: bundled}
buckets:
  duration_histogram: [0, 0.1, 1]
  request_size_histogram: [0, 10]
  response_size_histogram: [0, 1000]
attributes: {instance_id: {override_hostname: web-9}, host_id: {override: id-9}}
"""


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def brought_up(monkeypatch, tmp_path):
    """The arguments with which the kernel side was brought up, and the kernel that was given."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    found = []

    def bring_up(config, settings, log):
        found.extend((config, settings, FakeKernel(settings.route_seed)))
        return found[2], {"sock": True}

    monkeypatch.setattr(compose, "bring_up", bring_up)
    return found


def load(more="print_traces: true\n"):
    return loads(WHOLE + more, file="o.yml", environ={})


def test_the_kernel_is_built_with_what_the_configuration_says(brought_up, log, tmp_path):
    parts = build(load(), log)
    config, settings, kernel = brought_up
    assert load().config == config
    assert parts.kernel is kernel
    assert ("bundled", 500, 600) == (
        settings.headers,
        settings.max_connections,
        settings.max_series,
    )
    assert ((0.0, 0.1, 1.0), (0, 10), (0, 1000)) == (
        settings.duration_bounds_seconds,
        settings.request_bounds_bytes,
        settings.response_bounds_bytes,
    )
    assert tmp_path / "state" == settings.state_dir


def test_the_bounds_of_histograms_are_the_same_on_both_sides(brought_up, log):
    aggregate = build(load(), log).session._aggregate
    settings = brought_up[1]
    assert aggregate._bounds == (
        settings.duration_bounds_seconds,
        settings.request_bounds_bytes,
        settings.response_bounds_bytes,
    )


def test_paths_are_hashed_alike_on_both_sides(brought_up, log):
    parts = build(load("print_traces: true\nroutes: {patterns: [/a]}\n"), log)
    kernel, session = brought_up[2], parts.session
    service = Service("shop")
    number = session._services.add(service, None, Signals(frozenset()))
    assert session._paths.open(parts.session._config, number, service, None)
    assert "/a" == session._paths.name(number, kernel.walk(number, b"/a"))


def test_each_start_hashes_paths_in_its_own_way(brought_up, log):
    """Whoever sends paths cannot make two of them collide."""
    build(load(), log)
    build(load(), log)
    assert brought_up[1].route_seed != brought_up[4].route_seed


def test_the_host_is_named_as_configured(brought_up, log):
    (own,) = build(load(), log).report.collect().resources
    found = dict(own.resource)
    assert ("web-9", "id-9") == (found["host.name"], found["host.id"])


def test_the_watch_knows_which_process_is_the_agent_itself(brought_up, log):
    assert os.getpid() == build(load(), log).session._watch._own_pid


def test_the_report_knows_the_exporters_and_the_self_test(brought_up, log):
    parts = build(load("prometheus_export: {port: 9400}\n"), log)
    (own,) = parts.report.collect().resources
    metrics = {family.metric: family.points for family in own.families}
    assert 1 == metrics[catalog.SELF_TEST_PASSED][0].value
    assert parts.report._exporters is parts.exporters


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("print_traces: true\n", True),
        ("trace_printer: json\n", True),
        ("prometheus_export: {port: 9400}\n", False),
    ],
)
def test_fine_buckets_are_only_kept_for_what_prints_quantiles(brought_up, log, more, expected):
    assert expected == build(load(more), log).session._aggregate._fine


def test_learned_routes_are_kept_where_the_configuration_says(brought_up, log, tmp_path):
    none = build(load("print_traces: true\nroutes: {state_directory: ''}\n"), log)
    kept = build(
        load(f"print_traces: true\nroutes: {{state_directory: {tmp_path}/routes}}\n"), log
    )
    stores = [parts.session._routes._store for parts in (none, kept)]
    assert [True, False] == [store is None for store in stores]


def test_a_part_that_cannot_be_made_closes_the_kernel(brought_up, log, monkeypatch):
    def fails(*_, **__):
        raise ExportError("the certificate cannot be read")

    monkeypatch.setattr(compose, "Exporters", fails)
    with pytest.raises(ExportError, match="certificate"):
        build(load(), log)
    assert brought_up[2].closed


def test_selectors_that_do_not_compile_are_found_before_the_kernel_is_touched(
    brought_up, log, monkeypatch
):
    def fails(_):
        raise ConfigError("the glob does not compile")

    monkeypatch.setattr(compose, "configured_selection", fails)
    with pytest.raises(ConfigError, match="glob"):
        build(load(), log)
    assert [] == brought_up


def test_a_kernel_that_refuses_is_told_as_it_is(log, monkeypatch, tmp_path):
    def fails(*_):
        raise LoadError("refused")

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(compose, "bring_up", fails)
    with pytest.raises(LoadError, match="refused"):
        build(load(), log)


def test_nobody_else_can_read_a_state_directory_that_the_agent_made(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/a/b:{tmp_path}/second")
    path = compose._state_dir()
    assert tmp_path / "a/b" == path
    assert 0 == path.stat().st_mode & 0o007


def test_without_a_place_for_logs_none_are_kept(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file" / "state"))
    assert compose._state_dir() is None


def test_without_systemd_the_usual_directory_is_used(monkeypatch):
    made = []
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(Path, "mkdir", lambda path, **_: made.append(path))
    compose._state_dir()
    assert [Path("/var/lib/otelauto")] == made
