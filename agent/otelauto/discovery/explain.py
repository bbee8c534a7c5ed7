"""Why a process is instrumented, or why it is not.

Only the explanation lives here; it reads the process anew, so that it needs no running watch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otelauto.discovery.proc import open_process
from otelauto.discovery.sockets import SocketTables

if TYPE_CHECKING:
    from pathlib import Path

    from otelauto.discovery.decision import Decider
    from otelauto.discovery.proc import ProcessView
    from otelauto.discovery.selectors import Check
    from otelauto.model import Target

__all__ = ["Explanation", "explain_process"]

_MAX_ANCESTORS = 64


@dataclass(frozen=True, slots=True)
class Explanation:
    """All there is to say about one process.

    Attributes:
        pid: the process asked about.
        selected: whether it is (or would be) instrumented.
        reason: one clause that says why or why not.
        target: process, service and name rule; for a process that is not selected, what it would
            be called; None if there is no such process.
        checks: each criterion of each entry of discovery.instrument.
        routes: Match.routes of what selected it.
        unreadable: entries of /proc/PID that the agent may not read, which may be the reason.
    """

    pid: int
    selected: bool
    reason: str
    target: Target | None = None
    checks: tuple[Check, ...] = ()
    unreadable: tuple[str, ...] = ()
    routes: Any = None


def explain_process(pid: int, decider: Decider, *, proc: Path) -> Explanation:
    """Explains the decision about one process.

    Args:
        pid: process id in the agent's pid namespace.
        decider: the rules.
        proc: the mount point of the process file system.
    """
    tables = SocketTables()
    view = open_process(proc, pid, tables=tables)
    if view is None:
        return Explanation(pid, selected=False, reason="there is no such process")
    with view:
        if view.stat.exiting:
            return Explanation(pid, selected=False, reason="it has ended (a zombie)")
        verdict = decider.verdict(view)
        reason = verdict.reason
        selected = verdict.match is not None
        routes = verdict.match.routes if verdict.match else None
        inherited = None if selected else _inherited(view, decider, proc=proc, tables=tables)
        if inherited is not None:
            heir, reason, routes = inherited
            selected = True
        else:
            built = decider.target(view, verdict.match or decider.selection.default_match())
            heir = built[0] if built is not None else None
        return Explanation(
            pid,
            selected=selected and heir is not None,
            reason=reason if heir is not None else "it ended while it was read",
            target=heir,
            checks=tuple(decider.selection.checks(view)),
            unreadable=tuple(sorted(view.unreadable)),
            routes=routes,
        )


def _inherited(
    view: ProcessView, decider: Decider, *, proc: Path, tables: SocketTables
) -> tuple[Target | None, str, Any] | None:
    """What it has from an ancestor, and why: all in between run the same executable."""
    if view.stat.kernel_thread:
        return None
    parent = view.stat.parent
    for _ in range(_MAX_ANCESTORS):
        above = open_process(proc, parent, tables=tables) if parent > 1 else None
        if above is None:
            return None
        with above:
            if above.stat.exiting or not decider.may_inherit(view, above.exe, frozenset()):
                return None
            verdict = decider.verdict(above)
            built = decider.target(above, verdict.match) if verdict.match else None
            if verdict.match and built:
                reason = f"runs the same executable as its ancestor {parent}, {verdict.reason}"
                heir = decider.heir(view, built[0], verdict.match)
                return heir, reason, verdict.match.routes
            parent = above.stat.parent
    return None
