"""From the kernel's events to changes of targets.

Only the state of the watch lives here: which processes are targets now. It reads all of /proc once
at the start (and on request), afterwards only the processes that events name.

The rules of inheritance: a child has its parent's service from fork on. When it runs execve, the
selectors decide about it anew; if they do not select it, it keeps the service only while it runs
its parent's executable (workers of prefork servers, reloads). A target stays one until it exits
or runs another program that is not selected; closing the port does not end it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from otelauto.discovery.decision import Decider
from otelauto.discovery.events import (
    ExecEvent,
    ExitEvent,
    ForkEvent,
    TargetAdded,
    TargetChanged,
    TargetRemoved,
)
from otelauto.discovery.explain import explain_process
from otelauto.discovery.proc import list_pids, open_process, read_stat
from otelauto.discovery.services import ServiceTable
from otelauto.discovery.sockets import SocketTables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otelauto.discovery.events import Change, Event, EventKind
    from otelauto.discovery.explain import Explanation
    from otelauto.discovery.identity import Host
    from otelauto.discovery.naming import Named
    from otelauto.discovery.proc import ProcessView
    from otelauto.discovery.selection import Selection
    from otelauto.discovery.selectors import Match
    from otelauto.model import Exports, Service, Target

__all__ = ["Log", "Watch"]

_NOTHING_HEARD: frozenset[int] = frozenset()
_NO_PARENTS: Mapping[int, int] = {}
#: Services whose notice has been given; beyond that many the memory starts anew.
_MAX_NOTICES = 1024


class Log(Protocol):
    """What the watch says; structlog's loggers are such."""

    def debug(self, event: str, **fields: Any) -> Any:
        """Says what only a developer wants to know."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Says what an operator should change."""


class _Silence:
    def debug(self, event: str, **fields: Any) -> None:
        pass

    def warning(self, event: str, **fields: Any) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Record:
    target: Target
    match: Match


class Watch:
    """Keeps the set of targets.

    It is not safe to use from several threads, but `targets` may be called from any.

    Args:
        selection: the compiled selectors.
        proc: the mount point of the process file system.
        host: the identity of the host.
        own_pid: the agent's process id.
        log: where notices go.
    """

    def __init__(
        self,
        selection: Selection,
        proc: Path,
        *,
        host: Host,
        own_pid: int,
        log: Log | None = None,
    ) -> None:
        self._proc = proc
        self._host = host
        self._own_pid = own_pid
        self._log: Log = log or _Silence()
        self._decider = Decider(selection, proc=proc, host=host, own_pid=own_pid)
        self._tables = SocketTables()
        self._records: dict[int, _Record] = {}
        self._services = ServiceTable()
        self._noticed: set[str] = set()

    def wanted_events(self) -> frozenset[EventKind]:
        """Which of the optional events the kernel has to send for these selectors."""
        return self._decider.selection.wanted_events()

    def targets(self) -> tuple[Target, ...]:
        """All targets, in the order in which they were found."""
        return tuple(record.target for record in list(self._records.values()))

    def initial_scan(self) -> list[Change]:
        """Looks at every process once; the probes must send events already.

        What happens during the scan comes as an event afterwards and is told only once.
        """
        return self._rescan(keep_orphans=True)

    def rescan(self) -> list[Change]:
        """Looks at every process again, after events have been lost."""
        return self._rescan(keep_orphans=True)

    def reselect(self, selection: Selection) -> list[Change]:
        """Applies other selectors; targets of which nothing changes are not mentioned.

        A child that inherited its service and whose ancestors are gone stays only if it is
        selected by itself.
        """
        self._decider = Decider(selection, proc=self._proc, host=self._host, own_pid=self._own_pid)
        return self._rescan(keep_orphans=False)

    def explain(self, pid: int) -> Explanation:
        """Why a process is instrumented, or why it is not; see `Explanation`."""
        explanation = explain_process(pid, self._decider, proc=self._proc)
        record = self._records.get(pid)
        if record is None or explanation.target is None:
            return explanation
        if explanation.target.process.start_ticks != record.target.process.start_ticks:
            return explanation
        reason = explanation.reason
        if not explanation.selected:
            reason = "it has been a target since its port was open"
            if record.target.selector < 0:
                reason = "it inherited the service of its parent"
        return replace(explanation, selected=True, reason=reason, target=record.target)

    def handle(self, event: Event) -> list[Change]:
        """Takes one event of the kernel; double, late and stale ones do no harm."""
        if isinstance(event, ExecEvent):
            return self._decide(event.pid, reason="exec")
        if isinstance(event, ForkEvent):
            return self._forked(event)
        if isinstance(event, ExitEvent):
            return self._exited(event.pid)
        if self._decider.selection.port_matters(event.port):
            # From now on there is a listening socket which no table knows, and one that decides.
            self._tables.invalidate()
        elif event.pid not in self._records:
            return []
        return self._decide(event.pid, reason="listen", heard=frozenset({event.port}))

    def _decide(
        self, pid: int, *, reason: str, heard: frozenset[int] = _NOTHING_HEARD
    ) -> list[Change]:
        view = open_process(self._proc, pid, tables=self._tables)
        if view is None:
            self._log.debug("process is gone before its event was handled", pid=pid, kind=reason)
            return self._remove(pid)
        with view:
            changes: list[Change] = []
            old = self._records.get(pid)
            if old and old.target.process.start_ticks != view.stat.start_ticks:
                changes += self._remove(pid)
                old = None
            if old and reason == "listen":
                # Ports are forgotten only by execve: a target outlives the closing of its port.
                heard |= old.target.process.listen_ports
                view.know_ports(heard)
                view.recall(old.target.process)
            new = self._judge(view, old, heard)
            if new is None and old and self._stays(view, old, reason=reason, heard=heard):
                new = self._continued(view, old, heard)
        return changes + self._settle(pid, old, new)

    def _judge(
        self,
        view: ProcessView,
        old: _Record | None,
        heard: frozenset[int],
        *,
        parents: Mapping[int, int] = _NO_PARENTS,
    ) -> _Record | None:
        """The record of a process that is selected by itself."""
        match = self._decider.match(view, heard, parents=parents)
        built = self._decider.target(view, match, heard) if match else None
        if match is None or built is None:
            return None
        target, named = built
        self._notice(target, named)
        own = old.target.service if old else None
        service = self._services.canonical(target.service, own)
        return _Record(replace(target, service=service), match)

    def _stays(
        self, view: ProcessView, old: _Record, *, reason: str, heard: frozenset[int]
    ) -> bool:
        if reason == "listen":
            return not self._decider.selection.excluded(view, heard)
        return self._decider.may_inherit(view, old.target.process.exe, heard)

    def _continued(
        self, view: ProcessView, source: _Record, heard: frozenset[int] = _NOTHING_HEARD
    ) -> _Record | None:
        """The record of a process that goes on as its parent, or as itself before execve."""
        target = self._decider.heir(view, source.target, source.match, heard=heard)
        if target is None:
            return None
        own = self._records.get(view.pid)
        service = self._services.canonical(target.service, own.target.service if own else None)
        return _Record(replace(target, service=service), source.match)

    def _forked(self, event: ForkEvent) -> list[Change]:
        stat = read_stat(self._proc, event.pid)
        if stat is None or stat.exiting:
            self._log.debug("process is gone before its event was handled", pid=event.pid)
            return self._remove(event.pid)
        changes: list[Change] = []
        known = self._records.get(event.pid)
        if known and known.target.process.start_ticks == stat.start_ticks:
            return []
        if known:
            changes += self._remove(event.pid)
        parent = self._records.get(event.parent)
        if parent is None:
            found = self._decide(event.pid, reason="fork")
            if not found and event.service:
                # The kernel handed on a service that its parent does not have any more.
                found = [TargetRemoved(event.pid)]
            return changes + found
        process = replace(
            parent.target.process,
            pid=event.pid,
            parent=event.parent,
            start_ticks=stat.start_ticks,
        )
        target = replace(parent.target, process=process, selector=-1)
        return changes + self._settle(event.pid, None, _Record(target, parent.match))

    def _exited(self, pid: int) -> list[Change]:
        record = self._records.get(pid)
        if record is None:
            return []
        stat = read_stat(self._proc, pid)
        if stat and not stat.exiting and stat.start_ticks == record.target.process.start_ticks:
            self._log.debug("exit of an earlier process with the same id", pid=pid)
            return []
        return self._remove(pid)

    def _settle(self, pid: int, old: _Record | None, new: _Record | None) -> list[Change]:
        """Replaces one record by another and tells what that means."""
        if new is None:
            return self._remove(pid) if old else []
        self._services.hold(new.target.service)
        self._records[pid] = new
        if old is None:
            return [TargetAdded(new.target, new.match)]
        self._services.release(old.target.service)
        if _told(old) == _told(new):
            return []
        return [TargetChanged(old.target, new.target, new.match)]

    def _remove(self, pid: int) -> list[Change]:
        record = self._records.pop(pid, None)
        if record is None:
            return []
        self._services.release(record.target.service)
        return [TargetRemoved(pid, record.target)]

    def _rescan(self, *, keep_orphans: bool) -> list[Change]:
        self._tables.invalidate()
        changes: list[Change] = []
        parents: dict[int, int] = {}
        unselected: dict[int, list[int]] = {}
        for pid in list_pids(self._proc):
            view = open_process(self._proc, pid, tables=self._tables)
            if view is None:
                continue
            with view:
                if view.stat.exiting:
                    continue
                parents[pid] = view.stat.parent
                changes += self._look(view, parents, unselected)
        for pid in [pid for pid in self._records if pid not in parents]:
            changes += self._remove(pid)
        return changes + self._follow(unselected, keep_orphans=keep_orphans)

    def _look(
        self, view: ProcessView, parents: dict[int, int], unselected: dict[int, list[int]]
    ) -> list[Change]:
        """Decides about one process of a scan, but for what it inherits."""
        changes: list[Change] = []
        old = self._records.get(view.pid)
        if old and old.target.process.start_ticks != view.stat.start_ticks:
            changes += self._remove(view.pid)
            old = None
        heard = _NOTHING_HEARD
        if old:
            heard = old.target.process.listen_ports
            view.recall(old.target.process)
        new = self._judge(view, old, heard, parents=parents)
        if new is None:
            unselected.setdefault(view.stat.parent, []).append(view.pid)
            return changes
        return changes + self._settle(view.pid, old, new)

    def _follow(self, unselected: dict[int, list[int]], *, keep_orphans: bool) -> list[Change]:
        """Gives the services of a scan's targets to their children, and drops what is left."""
        changes: list[Change] = []
        left = {pid for children in unselected.values() for pid in children}
        lost = left & self._records.keys()
        queue = [pid for pid in self._records if pid not in lost]
        while queue:
            parent = queue.pop()
            for pid in unselected.get(parent, ()):
                if (
                    pid in left
                    and (gained := self._inherit(pid, self._records[parent])) is not None
                ):
                    left.discard(pid)
                    queue.append(pid)
                    changes += gained
        for pid in sorted(left & self._records.keys()):
            kept = self._inherit(pid, self._records[pid]) if keep_orphans else None
            changes += self._remove(pid) if kept is None else kept
        return changes

    def _inherit(self, pid: int, source: _Record) -> list[Change] | None:
        """Lets a process go on as the service of a record; None if it runs another program."""
        view = open_process(self._proc, pid, tables=self._tables)
        if view is None:
            return None
        with view:
            if not self._decider.may_inherit(view, source.target.process.exe, _NOTHING_HEARD):
                return None
            old = self._records.get(pid)
            if old:
                view.recall(old.target.process)
            new = self._continued(view, source)
        return None if new is None else self._settle(pid, old, new)

    def _notice(self, target: Target, named: Named) -> None:
        name = target.service.name
        if not named.skipped or name in self._noticed:
            return
        if len(self._noticed) >= _MAX_NOTICES:
            self._noticed.clear()
        self._noticed.add(name)
        self._log.warning(
            "OTEL_RESOURCE_ATTRIBUTES of a process has entries that are not key=value; "
            "percent-encode commas and percent signs in values",
            pid=target.process.pid,
            service=name,
            entries_skipped=named.skipped,
        )


def _told(record: _Record) -> tuple[Service, Exports, Any, str]:
    """What a change has to be told for."""
    target = record.target
    return target.service, target.exports, record.match.routes, target.process.exe
