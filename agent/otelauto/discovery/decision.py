"""From one open process to a decision and, if it is selected, to a target.

No state of the watch lives here: the same process and selection give the same decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from otelauto.discovery.commands import script_name
from otelauto.discovery.identity import make_service
from otelauto.discovery.naming import name_process
from otelauto.discovery.proc import read_stat
from otelauto.model import Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otelauto.discovery.identity import Host
    from otelauto.discovery.naming import Named
    from otelauto.discovery.proc import ProcessView
    from otelauto.discovery.selection import Selection
    from otelauto.discovery.selectors import Match
    from otelauto.model import Service

__all__ = ["Decider", "Verdict"]

_NOTHING_HEARD: frozenset[int] = frozenset()
_NO_PARENTS: Mapping[int, int] = {}
#: Generations that are followed to find out whether the agent started a process.
_MAX_ANCESTORS = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a process is selected, and why.

    Attributes:
        match: the merged settings; None: not selected.
        reason: one clause for `otelauto explain`.
    """

    match: Match | None
    reason: str


class Decider:
    """Decides about processes and builds targets.

    Args:
        selection: the compiled selectors.
        proc: the mount point of the process file system.
        host: the identity of the host.
        own_pid: the agent's process id; neither it nor what it starts is ever selected.
    """

    def __init__(self, selection: Selection, *, proc: Path, host: Host, own_pid: int) -> None:
        self.selection = selection
        self._proc = proc
        self._host = host
        self._own_pid = own_pid

    def match(
        self,
        view: ProcessView,
        heard: frozenset[int] = _NOTHING_HEARD,
        *,
        parents: Mapping[int, int] = _NO_PARENTS,
    ) -> Match | None:
        """Decides by the process itself, without its parent; None: not selected.

        Args:
            view: the process.
            heard: ports on which listen events say that it listens.
            parents: process id to parent, as far as it is known already.
        """
        match = self.selection.match(view, heard)
        return None if match is None or self._is_own(view, parents) else match

    def verdict(self, view: ProcessView) -> Verdict:
        """Decides as `match` does, and says why."""
        match = self.match(view)
        if match is not None:
            return Verdict(match, f"selected by {self.selection.names(match)}")
        return Verdict(None, self._reason_against(view))

    def may_inherit(self, view: ProcessView, exe: str, heard: frozenset[int]) -> bool:
        """Whether a target's child, or a target that ran execve, goes on as the same service.

        It does if it runs the very same executable (a worker of a prefork server, a reload) and
        nothing excludes it. A child that runs another program is another service.

        Args:
            view: the process as it is now.
            exe: the executable of the target.
            heard: ports on which it is known to listen.
        """
        return bool(exe) and view.exe == exe and not self.selection.excluded(view, heard)

    def target(
        self, view: ProcessView, match: Match, heard: frozenset[int] = _NOTHING_HEARD
    ) -> tuple[Target, Named] | None:
        """Builds the target of a selected process; None if it ended meanwhile."""
        process = view.freeze(heard)
        if process is None:
            return None
        named = name_process(process, configured=match.name, comm=view.stat.comm)
        service = self._service(named, match, machine=view.place.machine)
        selector = match.entries[-1]
        return Target(process, service, selector, named.rule, match.exports), named

    def heir(
        self,
        view: ProcessView,
        source: Target,
        match: Match,
        *,
        heard: frozenset[int] = _NOTHING_HEARD,
    ) -> Target | None:
        """Builds the target of a process that goes on as another's; None if it ended meanwhile.

        What it inherits is being selected. Its name it inherits only if its command line tells
        of no script (a pool's worker): the children of a process manager that runs on the same
        interpreter are services of their own.

        Args:
            view: the process; `may_inherit` holds for it.
            source: the target that it inherits from: its parent, or itself before execve.
            match: the settings of the source.
            heard: ports on which it is known to listen.
        """
        built = self.target(view, match, heard)
        if built is None:
            return None
        target = replace(
            built[0], selector=source.selector if view.pid == source.process.pid else -1
        )
        if script_name(target.process):
            return target
        return replace(target, service=source.service, name_rule=source.name_rule)

    def _service(self, named: Named, match: Match, *, machine: str) -> Service:
        # A name from elsewhere merges the replicas of a template unit; machines are never merged.
        part = named.part if named.rule == "systemd unit" else ""
        return make_service(
            self._host,
            name=named.name,
            namespace=match.namespace,
            default_namespace=self.selection.namespace,
            part="/".join(each for each in (machine, part) if each),
            attributes=named.attributes,
        )

    def _reason_against(self, view: ProcessView) -> str:
        if view.stat.kernel_thread:
            return "it is a kernel thread"
        if not self.selection:
            return "the configuration has no selector"
        excluded = self.selection.excluded(view)
        if excluded:
            return f"excluded by {excluded}"
        if self._is_own(view, _NO_PARENTS):
            return "it is the agent itself or was started by it"
        return "no entry of discovery.instrument holds"

    def _is_own(self, view: ProcessView, parents: Mapping[int, int]) -> bool:
        pid, parent = view.pid, view.stat.parent
        for _ in range(_MAX_ANCESTORS):
            if pid == self._own_pid:
                return True
            if parent <= 1:
                break
            pid = parent
            known = parents.get(pid)
            if known is None:
                stat = read_stat(self._proc, pid)
                known = stat.parent if stat else 0
            parent = known
        return pid == self._own_pid
