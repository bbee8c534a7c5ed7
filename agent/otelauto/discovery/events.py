"""What happens on the host, and what discovery makes of it.

Only frozen values live here: the kernel's life-cycle events, which the reader of the kernel's
event ring builds, and the changes of targets, which the composition root carries out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from otelauto.discovery.selectors import Match
    from otelauto.model import Target

__all__ = [
    "Change",
    "Event",
    "EventKind",
    "ExecEvent",
    "ExitEvent",
    "ForkEvent",
    "ListenEvent",
    "TargetAdded",
    "TargetChanged",
    "TargetRemoved",
]

#: The kinds of events that the kernel sends only if it is asked to.
EventKind: TypeAlias = Literal["exec", "listen"]


@dataclass(frozen=True, slots=True)
class ExecEvent:
    """A process runs another program.

    Attributes:
        pid: process id in the agent's pid namespace.
    """

    pid: int


@dataclass(frozen=True, slots=True)
class ExitEvent:
    """The last thread of a target is gone."""

    pid: int


@dataclass(frozen=True, slots=True)
class ForkEvent:
    """A target has a child, to which the kernel has already given the parent's service.

    Attributes:
        pid: the child.
        parent: the target.
        service: the id of the service that the kernel gave to the child; 0: none.
    """

    pid: int
    parent: int
    service: int = 0


@dataclass(frozen=True, slots=True)
class ListenEvent:
    """A process called listen() on a TCP socket.

    Attributes:
        port: the local port, in host order.
    """

    pid: int
    port: int


Event: TypeAlias = "ExecEvent | ExitEvent | ForkEvent | ListenEvent"


@dataclass(frozen=True, slots=True)
class TargetAdded:
    """A process is to be instrumented.

    Attributes:
        target: the process and its identity. With target.selector == -1 the kernel has given it
            the service already, if it was forked while the probes were attached.
        match: the merged settings of the entries that selected it (or its ancestor).
    """

    target: Target
    match: Match


@dataclass(frozen=True, slots=True)
class TargetChanged:
    """A target stays instrumented, but runs another program, or has another identity or settings.

    Attributes:
        before: what was reported for this process last.
        target: what holds from now on; the process id is the same.
        match: the merged settings of the entries that select it now.
    """

    before: Target
    target: Target
    match: Match


@dataclass(frozen=True, slots=True)
class TargetRemoved:
    """A process is no longer to be instrumented.

    Attributes:
        pid: its process id, which may belong to another process by now.
        target: what was reported for it last; None for a child that inherited a service in the
            kernel, but was never a target here.
    """

    pid: int
    target: Target | None = None


Change: TypeAlias = "TargetAdded | TargetChanged | TargetRemoved"
