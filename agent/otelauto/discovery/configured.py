"""From the configuration to the compiled selectors.

Only this translation lives here: what each option means is said where it is declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from otelauto.config.selection import EntryRoutes
from otelauto.discovery.selection import Selection
from otelauto.discovery.selectors import Selector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelauto.config.schema import Config
    from otelauto.config.selection import Selector as Entry
    from otelauto.model import Exports

__all__ = ["configured_selection"]

_SIGNALS: tuple[Literal["metrics", "traces"], ...] = ("metrics", "traces")


def configured_selection(config: Config) -> Selection:
    """Compiles all options that select processes.

    The quick selectors of `ebpf` come first, so that the entries of discovery.instrument override
    what they set; Match.routes is the EntryRoutes of an entry that has any, Match.sampler its
    EntrySampler.

    Raises:
        ConfigError: a glob or regular expression does not compile.
    """
    found = config.discovery
    return Selection(
        (*_quick(config), *_entries("discovery.instrument", found.instrument)),
        tuple(_entries("discovery.exclude_instrument", found.exclude_instrument)),
        default_exclude=tuple(
            _entries("discovery.default_exclude_instrument", found.default_exclude_instrument)
        ),
        namespace=config.service_namespace,
    )


def _quick(config: Config) -> Iterator[Selector]:
    ebpf = config.ebpf
    if config.has_quick_selector:
        yield Selector(
            open_ports=ebpf.open_port.ranges,
            exe_path=ebpf.exe_path,
            exe_regexp=ebpf.executable_regexp,
            executable_name=ebpf.executable_name,
            name=config.service_name,
            label="ebpf",
        )
    if ebpf.system_wide:
        yield Selector(every_process=True, label="ebpf.system_wide")


def _entries(key: str, entries: tuple[Entry, ...]) -> Iterator[Selector]:
    for index, entry in enumerate(entries):
        yield Selector(
            open_ports=entry.open_ports.ranges,
            exe_path=entry.exe_path,
            exe_regexp=entry.exe_path_regexp,
            cmd_args=entry.cmd_args,
            systemd_unit=entry.systemd_unit,
            pids=frozenset(entry.pids),
            name=entry.name,
            namespace=entry.namespace,
            exports=_exports(entry.exports),
            routes=entry.routes if entry.routes != EntryRoutes() else None,
            sampler=entry.sampler if entry.sampler.name else None,
            label=f"{key}[{index}]",
        )


def _exports(signals: tuple[str, ...] | None) -> Exports | None:
    if signals is None:
        return None
    return frozenset(each for each in _SIGNALS if each in signals)
