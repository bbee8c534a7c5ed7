# ruff: noqa: RUF009 - opt() and section() make the dataclass fields themselves
"""Options that say which processes are instrumented, how they are named and what their routes are.

Only declarations live here (see ``options``). Nothing is selected here; ``discovery`` does that.
"""

from __future__ import annotations

from dataclasses import dataclass

from otelauto.config.kinds import (
    BOOLEAN,
    GLOBS,
    PATH,
    PLACEHOLDER,
    PORTS,
    RATIO,
    REGEXP,
    ROUTE,
    SIGNALS,
    TEXT,
    choice,
    duration,
    integer,
    sequence,
)
from otelauto.config.values import Ports
from otelauto.options import Variable, entries, opt, section

__all__ = [
    "DEFAULT_EXCLUDES",
    "SAMPLERS",
    "Discovery",
    "EntryRoutes",
    "Routes",
    "Sampler",
    "Selector",
]

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_UNMATCHED = ("unset", "path", "wildcard", "heuristic")
_LATER_UNMATCHED = {"low-cardinality": "heuristic"}


@dataclass(frozen=True, slots=True)
class Sampler:
    """Which traces are kept (OpenTelemetry, SDK environment variables, general configuration)."""

    name: str = opt(
        "parentbased_always_on",
        kind=choice(*SAMPLERS),
        help="The sampler.",
        env=(Variable("OTEL_TRACES_SAMPLER", lenient=True),),
        lenient=True,
    )
    arg: float = opt(
        1.0,
        kind=RATIO,
        help="The share of traces that the ratio samplers keep.",
        env=(Variable("OTEL_TRACES_SAMPLER_ARG", lenient=True),),
        lenient=True,
    )


@dataclass(frozen=True, slots=True)
class EntrySampler:
    """The sampler of one entry of discovery.instrument."""

    name: str = opt(
        "",
        kind=choice("", *SAMPLERS),
        help="The sampler for these processes; empty means that of `otel_traces_export.sampler`.",
        lenient=True,
    )
    arg: float = opt(
        1.0, kind=RATIO, help="The share of traces that the ratio samplers keep.", lenient=True
    )


@dataclass(frozen=True, slots=True)
class EntryRoutes:
    """Routes of one entry of discovery.instrument; they are tried before the global ones."""

    patterns: tuple[str, ...] = opt(
        (),
        kind=sequence(ROUTE),
        help="Route patterns of these processes, in the form of `routes.patterns`.",
        example='["/cart/{id}"]',
    )
    ignored_patterns: tuple[str, ...] = opt(
        (),
        kind=sequence(ROUTE),
        help="Requests of these processes with such a path are not reported.",
        example='["/health"]',
    )
    unmatched: str = opt(
        "",
        kind=choice("", *_UNMATCHED, also=_LATER_UNMATCHED),
        help="As `routes.unmatched`, for these processes; empty means the global setting.",
        aliases=("unmatch",),
    )


@dataclass(frozen=True, slots=True)
class Selector:
    """One entry: a process is meant if every criterion that is given holds."""

    name: str = opt(
        "",
        kind=TEXT,
        help="Service name of the selected processes; empty means that the name is derived"
        " from each process.",
    )
    namespace: str = opt("", kind=TEXT, help="Service namespace of the selected processes.")
    open_ports: Ports = opt(
        Ports(),
        kind=PORTS,
        help="Ports of which the process listens on at least one, as a number, a range or a"
        " list; only listening sockets count.",
        aliases=("open_port",),
    )
    exe_path: tuple[str, ...] = opt(
        (),
        kind=GLOBS,
        help="Globs of which one matches the whole path of the executable, or its last part if"
        " the glob has no `/`; `*` also matches `/`.",
    )
    exe_path_regexp: str = opt(
        "",
        kind=REGEXP,
        help="Regular expression that is found anywhere in the path of the executable.",
    )
    cmd_args: tuple[str, ...] = opt(
        (),
        kind=GLOBS,
        help="Globs of which one matches the command line, its arguments joined by one space.",
    )
    systemd_unit: tuple[str, ...] = opt(
        (),
        kind=GLOBS,
        help="Globs of which one matches the name of the process's systemd unit, such as"
        " `nginx` or `app@*.service`.",
    )
    pids: tuple[int, ...] = opt(
        (),
        kind=sequence(integer(1, 2**22)),
        help="Process ids, in the agent's own pid namespace.",
        aliases=("target_pids",),
    )
    routes: EntryRoutes = section(EntryRoutes, help="Routes of these processes.")
    exports: tuple[str, ...] | None = opt(
        None,
        kind=SIGNALS,
        help="Signals that are exported for these processes, `metrics` and `traces`; an empty"
        " list means none.",
    )
    sampler: EntrySampler = section(EntrySampler, help="Which of their traces are kept.")

    @property
    def has_criterion(self) -> bool:
        """Whether anything limits the entry to some processes."""
        criteria = (
            self.open_ports,
            self.exe_path,
            self.exe_path_regexp,
            self.cmd_args,
            self.systemd_unit,
            self.pids,
        )
        return any(criteria)


#: Telemetry agents, which would report their own exports for ever.
DEFAULT_EXCLUDES = (
    Selector(
        exe_path=(
            "*/{otelauto,alloy,beyla,obi,ebpf-instrument}",
            "*/{grafana-agent,grafana-agent-flow,agent-linux-*,alloy-linux-*}",
            "*/otelcol*",
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Discovery:
    """Which processes are instrumented."""

    instrument: tuple[Selector, ...] = entries(
        Selector,
        help="Processes to instrument; a process is taken if it matches at least one entry, and"
        " later entries override the name, routes, exports and sampler of earlier ones.",
        aliases=("services",),
        example=(
            {"open_ports": "80,443,8000-8999"},
            {"systemd_unit": "shop-*.service", "namespace": "shop"},
        ),
    )
    exclude_instrument: tuple[Selector, ...] = entries(
        Selector,
        help="Processes that are never instrumented, whatever else selects them.",
        aliases=("exclude_services",),
        example=({"exe_path": "*/sshd"},),
    )
    default_exclude_instrument: tuple[Selector, ...] = entries(
        Selector,
        help="As `exclude_instrument`; by default the telemetry agents and collectors. The agent"
        " never instruments itself.",
        default=DEFAULT_EXCLUDES,
        aliases=("default_exclude_services",),
    )
    poll_interval_seconds: float = opt(
        5.0,
        kind=duration(),
        key="poll_interval",
        help="Time between two scans for processes in Beyla.",
        env=("BEYLA_DISCOVERY_POLL_INTERVAL",),
        inert="new processes and listeners are seen through kernel events, nothing is polled",
    )
    min_process_age_seconds: float = opt(
        0.0,
        kind=duration(),
        key="min_process_age",
        help="Age below which Beyla leaves a process alone.",
        env=("BEYLA_DISCOVERY_MIN_PROCESS_AGE",),
        inert="a process is instrumented as soon as it matches",
    )
    skip_go_specific_tracers: bool = opt(
        False,
        kind=BOOLEAN,
        help="Whether Beyla leaves out its probes for Go programs.",
        env=("BEYLA_SKIP_GO_SPECIFIC_TRACERS", "SKIP_GO_SPECIFIC_TRACERS"),
        elsewhere=("skip_go_specific_tracers",),
        inert="plain HTTP is read at the socket whatever the program is written in",
    )
    bpf_pid_filter_off: bool = opt(
        False,
        kind=BOOLEAN,
        help="Whether Beyla reports processes that were not selected.",
        env=("BEYLA_BPF_PID_FILTER_OFF",),
        inert="only selected processes are ever read; use `ebpf.system_wide` for all of them",
    )


@dataclass(frozen=True, slots=True)
class Routes:
    """How paths become values of http.route."""

    patterns: tuple[str, ...] = opt(
        (),
        kind=sequence(ROUTE, most=4000),
        help="Route patterns: `/users/:id` or `/users/{id}` matches exactly one segment in that"
        " place, a trailing `*` any rest.",
        example='["/users/{id}", "/static/*"]',
    )
    unmatched: str = opt(
        "heuristic",
        kind=choice(*_UNMATCHED, also=_LATER_UNMATCHED),
        help="Route of a path that no pattern matches: `unset` gives none, `path` the path"
        " itself, `wildcard` gives `/**`, `heuristic` keeps words and folds identifiers."
        " All are bounded by `routes.max_per_service`.",
        aliases=("unmatch",),
        env=("BEYLA_ROUTES_UNMATCHED",),
    )
    ignored_patterns: tuple[str, ...] = opt(
        (),
        kind=sequence(ROUTE, most=4000),
        help="Requests whose path matches one of these patterns are not reported.",
        example='["/health"]',
    )
    ignore_mode: str = opt(
        "all",
        kind=choice("all", "metrics", "traces"),
        help="For which signals `routes.ignored_patterns` holds.",
        env=("BEYLA_ROUTES_IGNORE_MODE",),
    )
    max_per_service: int = opt(
        200,
        kind=integer(1, 10_000),
        help="How many different routes a service may have; a path beyond them has the route"
        " `other`.",
    )
    placeholder: str = opt(
        "{id}",
        kind=PLACEHOLDER,
        help="What stands for an identifier in a learned route.",
        reload="restart",
    )
    state_directory: str = opt(
        "/var/lib/otelauto/routes",
        kind=PATH,
        help="Directory that keeps what was learned over restarts; empty means that nothing is"
        " kept.",
        reload="restart",
    )
    wildcard_char: str = opt(
        "*",
        kind=TEXT,
        help="What stands for an identifier in the routes of Beyla.",
        inert="set `routes.placeholder`",
    )
    max_path_segment_cardinality: int = opt(
        10,
        kind=integer(0, 2**31),
        help="Number of values after which Beyla folds a path segment.",
        inert="a service's routes are bounded by `routes.max_per_service`",
    )
