from __future__ import annotations

import pytest

from otelauto.config.selection import DEFAULT_EXCLUDES, Selector
from otelauto.config.values import Ports
from otelauto.discovery.globs import Glob


def test_entries_read_all_their_keys(read):
    text = """\
discovery:
  instrument:
    - name: shop
      namespace: store
      open_ports: [80, 8000-8999]
      exe_path: "*/node"
      cmd_args: ["*server.js*", "*app.js*"]
      systemd_unit: shop@*.service
      pids: [1, 2]
      routes: {patterns: ["/cart/{id}"], ignored_patterns: [/health], unmatched: wildcard}
      exports: [metrics]
      sampler: {name: traceidratio, arg: 0.5}
"""
    (entry,) = read(text).config.discovery.instrument
    assert (entry.name, entry.namespace) == ("shop", "store")
    assert Ports(((80, 80), (8000, 8999))) == entry.open_ports
    assert (
        entry.exe_path,
        entry.cmd_args,
        entry.systemd_unit,
    ) == (("*/node",), ("*server.js*", "*app.js*"), ("shop@*.service",))
    assert (entry.pids, entry.exports) == ((1, 2), ("metrics",))
    assert entry.routes.patterns == ("/cart/{id}",)
    assert (entry.routes.unmatched, entry.routes.ignored_patterns) == ("wildcard", ("/health",))
    assert (entry.sampler.name, entry.sampler.arg) == ("traceidratio", 0.5)


@pytest.mark.parametrize(
    "ports", ["80,443,8000-8999", "[80, 443, 8000-8999]", "'80, 443'\n      pids: []"]
)
def test_ports_are_a_number_a_range_or_a_list(read, ports):
    text = f"discovery:\n  instrument:\n    - open_ports: {ports}\n"
    (entry,) = read(text).config.discovery.instrument
    assert [port in entry.open_ports for port in (80, 443, 81)] == [True, True, False]


def test_an_entry_without_any_criterion_is_known_as_such():
    assert not Selector(name="x").has_criterion
    assert Selector(open_ports=Ports(((1, 1),))).has_criterion


@pytest.mark.parametrize(
    "path",
    [
        "/usr/bin/otelauto",
        "/usr/bin/grafana-agent",
        "/usr/bin/grafana-agent-flow",
        "/usr/bin/alloy",
        "/usr/bin/otelcol-contrib",
        "/usr/bin/otelcol",
        "/opt/beyla",
        "/opt/obi",
    ],
)
def test_telemetry_agents_are_excluded_by_default(path):
    globs = [Glob(glob) for entry in DEFAULT_EXCLUDES for glob in entry.exe_path]
    assert any(glob.matches(path) for glob in globs)


def test_the_default_excludes_can_be_replaced(read):
    config = read("discovery: {default_exclude_instrument: []}").config
    assert config.discovery.default_exclude_instrument == ()
    assert read().config.discovery.default_exclude_instrument == DEFAULT_EXCLUDES


def test_later_words_of_unmatched_mean_the_heuristic(read):
    assert read().config.routes.unmatched == "heuristic"
    assert read("routes: {unmatched: low-cardinality}").config.routes.unmatched == "heuristic"
    assert read("routes: {unmatch: wildcard}").config.routes.unmatched == "wildcard"
