"""The bars of the design, and the table that holds results against them: pure, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BARS", "Bar", "Result", "all_reached", "table"]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a measurement must reach.

    Attributes:
        name: key of the result.
        text: what is measured, for people.
        unit: of the result; empty for ratios.
        sense: whether the result must be at most, at least or exactly the limit.
    """

    name: str
    text: str
    unit: str
    sense: Literal["<=", ">=", "=="]
    limit: float
    digits: int = 3


BARS = (
    Bar("nginx_ratio", "throughput of nginx, saturated, with / without", "", ">=", 0.90),
    Bar("nginx_added_us", "CPU added per request at nginx", "us", "<=", 0.8, 2),
    Bar("app_ratio", "throughput of a 1 ms application, with / without", "", ">=", 0.995, 4),
    Bar("read_ratio", "time of another process's read(2), with / without", "", "<=", 1.02),
    Bar("agent_cpu_full", "agent's CPU at full rate", "% of a core", "<=", 0.3, 2),
    Bar("agent_cpu_100", "agent's CPU at 100 req/s", "% of a core", "<=", 0.3, 2),
    Bar("pss_prometheus", "agent's PSS, Prometheus only, after start", "MB", "<=", 40, 1),
    Bar("pss_full", "agent's PSS, Prometheus only, after full rate", "MB", "<=", 40, 1),
    Bar("pss_otlp", "agent's PSS, OTLP over HTTP", "MB", "<=", 45, 1),
    Bar("ready_seconds", "start until the probes are attached", "s", "<=", 2, 2),
    Bar("newcomer_seconds", "a new server listens until it is instrumented", "s", "<=", 0.2, 3),
    Bar("span_us", "CPU per span, from the ring's record to the wire", "us", "<=", 100, 1),
    Bar("counted_ratio", "requests counted / sent, all runs", "", "==", 1, 6),
)


@dataclass(frozen=True, slots=True)
class Result:
    """A value against its bar. None: not measured in this run."""

    bar: Bar
    value: float | None

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        if self.bar.sense == "==":
            return self.value == self.bar.limit
        below = self.value <= self.bar.limit
        return below if self.bar.sense == "<=" else self.value >= self.bar.limit


def results(values: dict[str, float]) -> list[Result]:
    """Each bar with its value, in the order of BARS."""
    unknown = set(values) - {bar.name for bar in BARS}
    if unknown:
        raise KeyError(f"no bar for {', '.join(sorted(unknown))}")
    return [Result(bar, values.get(bar.name)) for bar in BARS]


def all_reached(values: dict[str, float]) -> bool:
    """Whether no measured value misses its bar."""
    return all(result.reached is not False for result in results(values))


def table(values: dict[str, float]) -> str:
    """The results as text, a line each."""
    verdict = {True: "reached", False: "MISSED", None: "not measured"}
    lines = [("what", "measured", "bar", "unit", "")]
    for result in results(values):
        bar = result.bar
        shown = "-" if result.value is None else f"{result.value:.{bar.digits}f}"
        bound = f"{bar.sense} {bar.limit:g}"
        lines.append((bar.text, shown, bound, bar.unit, verdict[result.reached]))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "\n".join(
        f"{what:<{widths[0]}}  {value:>{widths[1]}}  {bound:<{widths[2]}}  "
        f"{unit:<{widths[3]}}  {word}".rstrip()
        for what, value, bound, unit, word in lines
    )
