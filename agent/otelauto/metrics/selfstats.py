"""The agent's own metrics: from what it knows of itself to points.

Only this translation lives here; the caller collects the facts.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otelauto import __version__
from otelauto.abi import _layout as abi
from otelauto.metrics import catalog
from otelauto.metrics.resource import architecture
from otelauto.model import MetricFamily, NumberPoint, sorted_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otelauto.model import AttributeValue, Metric

__all__ = ["ExporterFacts", "Facts", "self_families"]

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ExporterFacts:
    """What one exporter has done so far; see the catalogue."""

    name: str
    successes: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    dropped_points: Mapping[str, int] = field(default_factory=dict)
    last_success_unix_nano: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the agent knows of itself at one moment.

    Attributes:
        counts: the kernel's counters.
        exchanges: counted with their attributes.
        series: entries of the kernel's aggregate.
        targets: processes by the rule that named them.
        routes_overflow: services that learn no more routes.
        programs: run seconds and runs by kernel program, where the kernel measures them.
        spans: what became of the spans that the kernel sent, by outcome.
        scrapes: answered requests by status code.
        reloads: by outcome.
    """

    start_unix_nano: int
    hook: str
    counts: Mapping[abi.Count, int]
    exchanges: int
    series: int
    targets: Mapping[str, int] = field(default_factory=dict)
    instrumentation_errors: Mapping[str, int] = field(default_factory=dict)
    routes_learned: int = 0
    routes_overflow: int = 0
    degraded: tuple[str, ...] = ()
    self_tests: Mapping[str, bool] = field(default_factory=dict)
    programs: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    exporters: tuple[ExporterFacts, ...] = ()
    spans: Mapping[str, int] = field(default_factory=dict)
    scrapes: Mapping[int, int] = field(default_factory=dict)
    config_hash: str = ""
    config_unix_nano: int = 0
    reloads: Mapping[str, int] = field(default_factory=dict)
    last_reload_successful: bool = True


def self_families(facts: Facts, *, proc: Path = Path("/proc")) -> tuple[MetricFamily, ...]:
    """Every metric of catalog.AGENT_METRICS that has a value.

    Args:
        facts: see Facts.
        proc: where the agent's own CPU time and memory are read.
    """
    made = _Points(facts.start_unix_nano)
    _about(facts, made)
    _watching(facts, made)
    _exporting(facts, made)
    user, system = _cpu_seconds(proc)
    made.add(catalog.CPU_TIME, user, ("cpu.mode", "user"))
    made.add(catalog.CPU_TIME, system, ("cpu.mode", "system"))
    for kind, size in _memory_bytes(proc).items():
        made.add(catalog.MEMORY_USAGE, size, ("otelauto.memory.kind", kind))
    return made.families()


class _Points:
    """Collects points by metric."""

    def __init__(self, start_unix_nano: int) -> None:
        self._start = start_unix_nano
        self._found: dict[Metric, list[NumberPoint]] = {}

    def add(self, metric: Metric, value: float, *attributes: tuple[str, AttributeValue]) -> None:
        point = NumberPoint(sorted_attributes(attributes), self._start, value)
        self._found.setdefault(metric, []).append(point)

    def each(self, metric: Metric, values: Mapping[str, int], attribute: str) -> None:
        for name, value in values.items():
            self.add(metric, value, (attribute, name))

    def families(self) -> tuple[MetricFamily, ...]:
        return tuple(MetricFamily(metric, tuple(points)) for metric, points in self._found.items())


def _about(facts: Facts, made: _Points) -> None:
    made.add(
        catalog.BUILD_INFO,
        1,
        ("host.arch", architecture()),
        ("os.kernel", platform.release()),
        ("otelauto.version", __version__),
        ("process.runtime.version", platform.python_version()),
    )
    made.add(catalog.START_TIME, facts.start_unix_nano / 1e9)
    made.add(catalog.HOOK_INFO, 1, ("otelauto.hook", facts.hook))
    for feature in facts.degraded:
        made.add(catalog.DEGRADED, 1, ("otelauto.feature", feature))
    for hook, passed in facts.self_tests.items():
        made.add(catalog.SELF_TEST_PASSED, int(passed), ("otelauto.hook", hook))
    made.add(catalog.CONFIG_INFO, 1, ("otelauto.config.hash", facts.config_hash))
    made.add(catalog.CONFIG_LAST_SUCCESS, facts.config_unix_nano / 1e9)
    made.add(catalog.CONFIG_LAST_RELOAD_SUCCESSFUL, int(facts.last_reload_successful))
    made.each(catalog.CONFIG_RELOADS, facts.reloads, "otelauto.outcome")


def _watching(facts: Facts, made: _Points) -> None:
    made.each(catalog.TARGETS, facts.targets or {"none": 0}, "otelauto.name_rule")
    made.each(catalog.INSTRUMENTATION_ERRORS, facts.instrumentation_errors, "error.type")
    made.add(catalog.SERIES, facts.series)
    made.add(catalog.ROUTES_LEARNED, facts.routes_learned)
    made.add(catalog.ROUTES_OVERFLOW, facts.routes_overflow)
    made.add(catalog.EXCHANGES, facts.exchanges, ("otelauto.outcome", "aggregated"))
    for count in catalog.KERNEL_COUNTS:
        value = facts.counts.get(abi.Count[count.name.removeprefix("COUNT_")], 0)
        made.add(count.metric, value, *count.attributes)
    for program, (seconds, runs) in facts.programs.items():
        made.add(catalog.BPF_PROGRAM_TIME, seconds, ("otelauto.bpf.program", program))
        made.add(catalog.BPF_PROGRAM_RUNS, runs, ("otelauto.bpf.program", program))


def _exporting(facts: Facts, made: _Points) -> None:
    for status, number in facts.scrapes.items():
        made.add(catalog.SCRAPES, number, ("http.response.status_code", status))
    made.each(catalog.SPANS_EXPORTED, facts.spans, "otelauto.outcome")
    for exporter in facts.exporters:
        name = ("otelauto.exporter", exporter.name)
        made.add(catalog.EXPORT_SUCCESSES, exporter.successes, name)
        made.add(catalog.EXPORT_RETRIES, exporter.retries, name)
        _reasons(made, catalog.EXPORT_ERRORS, exporter.errors.items(), name)
        _reasons(made, catalog.EXPORT_POINTS_DROPPED, exporter.dropped_points.items(), name)
        if exporter.last_success_unix_nano:
            made.add(catalog.EXPORT_LAST_SUCCESS, exporter.last_success_unix_nano / 1e9, name)


def _reasons(
    made: _Points, metric: Metric, values: Iterable[tuple[str, int]], name: tuple[str, str]
) -> None:
    for reason, value in values:
        made.add(metric, value, ("error.type", reason), name)


def _cpu_seconds(proc: Path) -> tuple[float, float]:
    """User and system time, fields 14 and 15 of proc_pid_stat(5)."""
    fields = (proc / "self/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICKS_PER_SECOND, int(fields[12]) / _TICKS_PER_SECOND


def _memory_bytes(proc: Path) -> dict[str, int]:
    found = {}
    try:
        lines = (proc / "self/smaps_rollup").read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        name, _, rest = line.partition(":")
        if name in {"Rss", "Pss"}:
            found[name.lower()] = int(rest.split()[0]) * 1024
    return found
