"""Which processes are instrumented: selectors, compiled, and matched against one process.

Only the decision lives here; it reads as little of the process as the criteria need.

The rules: all criteria of an entry must hold; a process is selected if one entry of
discovery.instrument holds and none of the excluding ones; of several entries that hold, each later
one overrides what it sets (name, namespace, exports, routes) of the earlier ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import basename
from typing import TYPE_CHECKING

from otelauto.discovery.globs import Glob
from otelauto.discovery.selectors import Check, Match
from otelauto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otelauto.discovery.events import EventKind
    from otelauto.discovery.proc import ProcessView
    from otelauto.discovery.selectors import Selector
    from otelauto.model import Exports

__all__ = ["Selection"]

#: Programs that hold the listening sockets of others, for socket activation: a port never selects
#: them, but the service that inherits the socket.
_SERVICE_MANAGERS = frozenset({"init", "systemd", "openrc-init", "runit", "s6-svscan"})


@dataclass(frozen=True, slots=True)
class _Criterion:
    key: str
    wanted: str
    holds: Callable[[ProcessView, frozenset[int]], bool]
    found: Callable[[ProcessView, frozenset[int]], str]


class Selection:
    """All selectors, compiled.

    Args:
        instrument: the entries of discovery.instrument.
        exclude: the entries of discovery.exclude_instrument.
        default_exclude: the entries of discovery.default_exclude_instrument.
        exports: the signals to export where no entry says which.
        namespace: service.namespace where neither an entry nor the process says which.

    Raises:
        ConfigError: a glob is not valid, or an entry has no criterion.
    """

    def __init__(
        self,
        instrument: Sequence[Selector],
        exclude: Sequence[Selector] = (),
        *,
        default_exclude: Sequence[Selector],
        exports: Exports = frozenset({"metrics", "traces"}),
        namespace: str = "",
    ) -> None:
        self.namespace = namespace
        self._selectors = tuple(instrument)
        self._exports = exports
        self._instrument = _compile("discovery.instrument", instrument)
        self._exclude = (
            *_compile("discovery.exclude_instrument", exclude),
            *_compile("discovery.default_exclude_instrument", default_exclude),
        )
        everything = (*instrument, *exclude, *default_exclude)
        self._ports = tuple(ports for each in everything for ports in each.open_ports)

    def __bool__(self) -> bool:
        return bool(self._selectors)

    def wanted_events(self) -> frozenset[EventKind]:
        """Which of the optional events can change a decision.

        Execs always can: they make processes, and end what a child inherited. Listen events matter
        if a port does.
        """
        if not self._selectors:
            return frozenset()
        return frozenset({"exec", "listen"}) if self._ports else frozenset({"exec"})

    def port_matters(self, port: int) -> bool:
        """Whether any entry, excluding ones too, asks for this port."""
        return any(low <= port <= high for low, high in self._ports)

    def match(self, view: ProcessView, heard: frozenset[int] = frozenset()) -> Match | None:
        """Decides about one process; None: not selected.

        Args:
            view: the process.
            heard: ports on which listen events say that it listens.
        """
        entries = tuple(
            index
            for index, (_, criteria) in enumerate(self._instrument)
            if _all_hold(criteria, view, heard)
        )
        # The order is that of the costs, for the many execs that concern nobody.
        if not entries or view.stat.kernel_thread or self.excluded(view, heard):
            return None
        return self._merge(entries)

    def names(self, match: Match) -> str:
        """The entries of a match as they are called in the configuration."""
        return ", ".join(self._instrument[index][0] for index in match.entries)

    def default_match(self) -> Match:
        """The settings of a process that no entry selects."""
        return Match((-1,), "", "", self._exports)

    def excluded(self, view: ProcessView, heard: frozenset[int] = frozenset()) -> str:
        """The first excluding entry that holds, such as "discovery.exclude_instrument[0]"."""
        for name, criteria in self._exclude:
            if _all_hold(criteria, view, heard):
                return name
        return "otelauto itself" if _is_agent(view) else ""

    def checks(self, view: ProcessView, heard: frozenset[int] = frozenset()) -> list[Check]:
        """Each criterion of each entry of discovery.instrument, with what the process has."""
        return list(self._checks(view, heard))

    def _checks(self, view: ProcessView, heard: frozenset[int]) -> Iterator[Check]:
        for name, criteria in self._instrument:
            for each in criteria:
                yield Check(
                    entry=name,
                    criterion=each.key,
                    wanted=each.wanted,
                    found=each.found(view, heard),
                    holds=not view.stat.kernel_thread and each.holds(view, heard),
                )

    def _merge(self, entries: tuple[int, ...]) -> Match:
        name, namespace, exports = "", "", self._exports
        routes = sampler = None
        for index in entries:
            each = self._selectors[index]
            name = each.name or name
            namespace = each.namespace or namespace
            exports = exports if each.exports is None else each.exports
            routes = routes if each.routes is None else each.routes
            sampler = sampler if each.sampler is None else each.sampler
        return Match(entries, name, namespace, exports, routes, sampler)


def _all_hold(criteria: tuple[_Criterion, ...], view: ProcessView, heard: frozenset[int]) -> bool:
    return all(each.holds(view, heard) for each in criteria)


def _compile(
    key: str, selectors: Sequence[Selector]
) -> tuple[tuple[str, tuple[_Criterion, ...]], ...]:
    compiled = []
    for index, selector in enumerate(selectors):
        criteria = tuple(_criteria(selector))
        if not criteria:
            raise ConfigError(
                f"{key}[{index}] selects nothing",
                hint="give it open_ports, exe_path, cmd_args, systemd_unit or pids",
            )
        compiled.append((selector.label or f"{key}[{index}]", criteria))
    return tuple(compiled)


def _criteria(selector: Selector) -> Iterator[_Criterion]:
    """The criteria of one entry, the cheapest to read first."""
    if selector.every_process:
        yield _Criterion("system_wide", "every process", lambda *_: True, lambda *_: "a process")
    if selector.pids:
        yield _Criterion(
            "pids",
            ", ".join(str(pid) for pid in sorted(selector.pids)),
            lambda view, _: view.pid in selector.pids,
            lambda view, _: str(view.pid),
        )
    if selector.executable_name:
        yield _Criterion(
            "executable_name",
            selector.executable_name,
            lambda view, _: view.exe.endswith(selector.executable_name),
            lambda view, _: _shown(view, "exe", view.exe),
        )
    if selector.exe_path:
        yield _text("exe_path", selector.exe_path, _exe_texts)
    if selector.exe_regexp:
        yield _regexp(selector.exe_regexp)
    if selector.systemd_unit:
        yield _text("systemd_unit", selector.systemd_unit, _unit_texts)
    if selector.cmd_args:
        yield _text("cmd_args", selector.cmd_args, _cmd_texts)
    if selector.open_ports:
        yield _ports(selector.open_ports)


def _text(
    key: str, patterns: tuple[str, ...], texts: Callable[[ProcessView], tuple[str, ...]]
) -> _Criterion:
    globs = [Glob(pattern) for pattern in patterns]

    def holds(view: ProcessView, _heard: frozenset[int]) -> bool:
        return any(
            glob.matches(text)
            for glob in globs
            # A path's last part is meant only by a pattern without any "/".
            for text in texts(view)[: 1 if key == "exe_path" and "/" in glob.pattern else None]
        )

    entry = {"exe_path": "exe", "systemd_unit": "cgroup", "cmd_args": "cmdline"}[key]
    return _Criterion(
        key,
        " or ".join(patterns),
        holds,
        lambda view, _: _shown(view, entry, texts(view)[0]),
    )


def _regexp(text: str) -> _Criterion:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(
            f"regular expression {text!r}: {error}", hint="exe_path takes globs"
        ) from None
    return _Criterion(
        "exe_path_regexp",
        text,
        lambda view, _: pattern.search(view.exe) is not None,
        lambda view, _: _shown(view, "exe", view.exe),
    )


def _ports(ranges: tuple[tuple[int, int], ...]) -> _Criterion:
    def inside(ports: frozenset[int]) -> bool:
        return any(low <= port <= high for low, high in ranges for port in ports)

    def holds(view: ProcessView, heard: frozenset[int]) -> bool:
        if not inside(heard) and not view.may_listen(ranges):
            return False
        return not _manages_services(view) and (inside(heard) or inside(view.listen_ports))

    def found(view: ProcessView, heard: frozenset[int]) -> str:
        ports = ", ".join(str(port) for port in sorted(heard | view.listen_ports))
        shown = _shown(view, "fd", f"listens on {ports}" if ports else "listens on no port")
        return f"{shown} for the services it starts" if _manages_services(view) else shown

    wanted = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
    return _Criterion("open_ports", wanted, holds, found)


def _manages_services(view: ProcessView) -> bool:
    name = basename(view.exe) or view.stat.comm
    return name in _SERVICE_MANAGERS or (view.pid == 1 and not view.exe)


def _is_agent(view: ProcessView) -> bool:
    # The agent runs as a script of some Python, so that its executable does not tell.
    words = view.cmdline[:3]
    return words[1:] == ("-m", "otelauto") or any(
        basename(word) == "otelauto" for word in words[:2]
    )


def _exe_texts(view: ProcessView) -> tuple[str, ...]:
    return view.exe, basename(view.exe)


def _unit_texts(view: ProcessView) -> tuple[str, ...]:
    unit = view.place.unit
    return unit, unit.removesuffix(".service")


def _cmd_texts(view: ProcessView) -> tuple[str, ...]:
    return " ".join(view.cmdline), " ".join(view.cmdline[1:])


def _shown(view: ProcessView, entry: str, text: str) -> str:
    """What the process has, or why that is not known."""
    if entry in view.unreadable:
        return f"/proc/{view.pid}/{entry} may not be read"
    return text or "none"
