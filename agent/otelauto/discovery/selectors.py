"""What the configuration asks for, and what a process gets: selectors and matches.

Only frozen values live here; selection decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otelauto.model import Exports

__all__ = ["Check", "Match", "Selector"]


@dataclass(frozen=True, slots=True)
class Selector:
    """One entry of discovery.instrument or discovery.exclude_instrument.

    Attributes:
        open_ports: inclusive ranges; the process listens on a TCP port in one of them.
        exe_path: globs; one matches the path of the executable (or, if the glob has no "/", the
            path's last part).
        exe_regexp: a regular expression that is found anywhere in the path of the executable.
        cmd_args: globs; one matches the command line joined with spaces, with or without its
            first word.
        systemd_unit: globs; one matches the unit, with or without ".service".
        pids: process ids in the agent's pid namespace.
        executable_name: the path of the executable ends with it.
        every_process: every process but kernel threads (system_wide).
        name: service.name; empty: the process decides.
        namespace: service.namespace; empty: the process decides.
        exports: the signals to export; None: the earlier entry or the default decides.
        routes: settings of routes that only the composition root understands; None: none.
        sampler: settings of sampling that only the composition root understands; None: none.
        label: where it stands in the configuration; empty: in its list, at its position.
    """

    open_ports: tuple[tuple[int, int], ...] = ()
    exe_path: tuple[str, ...] = ()
    exe_regexp: str = ""
    cmd_args: tuple[str, ...] = ()
    systemd_unit: tuple[str, ...] = ()
    pids: frozenset[int] = frozenset()
    executable_name: str = ""
    every_process: bool = False
    name: str = ""
    namespace: str = ""
    exports: Exports | None = None
    routes: Any = None
    sampler: Any = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """What the entries that hold for a process say together.

    Attributes:
        entries: indices of the entries that hold, ascending; the last one has the last word.
        name: service.name; empty: the process decides.
        namespace: service.namespace; empty: the process decides.
        exports: the signals to export.
        routes: the last one's that sets it; None: none does.
        sampler: likewise.
    """

    entries: tuple[int, ...]
    name: str
    namespace: str
    exports: Exports
    routes: Any = None
    sampler: Any = None


@dataclass(frozen=True, slots=True)
class Check:
    """One criterion of one entry, for `otelauto explain`.

    Attributes:
        entry: such as "discovery.instrument[0]".
        criterion: the key.
        wanted: what the entry asks for.
        found: what the process has.
        holds: whether it is what the entry asks for.
    """

    entry: str
    criterion: str
    wanted: str
    found: str
    holds: bool
