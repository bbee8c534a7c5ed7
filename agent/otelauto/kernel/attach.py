"""Attach programs to hooks, by a table.

A table of Hook values says what is attached where, which of them the agent can do without, and
what is lost then; this module only carries it out. An attachment is a descriptor: closing it
detaches, and so does the end of the process, however it ends.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from otelauto.errors import LoadError
from otelauto.kernel.bpf import attach_raw_tracepoint, attach_tracepoint, attach_uprobe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["AttachResult", "Attachments", "Hook", "HookKind", "attach"]


class HookKind(Enum):
    """How a program is hooked."""

    RAW_TRACEPOINT = "raw_tracepoint"
    TRACEPOINT = "tracepoint"
    UPROBE = "uprobe"
    URETPROBE = "uretprobe"


@dataclass(frozen=True, slots=True)
class Hook:
    """One row of the table.

    Attributes:
        program: key of the programs given to attach().
        kind: how.
        target: raw tracepoint "sched_process_exec"; tracepoint "syscalls:sys_exit_read"; the file
            of a uprobe.
        offset: of the instruction in the file, for uprobes.
        optional: whether the agent works without it.
        consequence: what is missing without it, for the user.
    """

    program: str
    kind: HookKind
    target: str
    offset: int = 0
    optional: bool = False
    consequence: str = ""

    @property
    def name(self) -> str:
        """Kind and place, such as "raw_tracepoint:sys_exit"."""
        place = f"{self.target}+{self.offset:#x}" if self.offset else self.target
        return f"{self.kind.value}:{place}"


@dataclass(frozen=True, slots=True)
class AttachResult:
    """What became of a hook.

    Attributes:
        name: the hook's name.
        ok: attached.
        error_number: errno, 0 if ok.
        consequence: what is missing if it is not ok.
        reason: the kernel's reason in words, empty if ok.
    """

    name: str
    ok: bool
    error_number: int = 0
    consequence: str = ""
    reason: str = ""


class Attachments:
    """Open attachments; closing detaches them all."""

    def __init__(self) -> None:
        self.results: list[AttachResult] = []
        self._descriptors: dict[str, int] = {}

    @property
    def degraded(self) -> tuple[AttachResult, ...]:
        """The optional hooks that are not attached."""
        return tuple(result for result in self.results if not result.ok)

    def add(
        self,
        hook: Hook,
        program_fd: int,
        *,
        tracefs: Path = Path("/sys/kernel/tracing"),
        devices: Path = Path("/sys/bus/event_source/devices"),
    ) -> AttachResult:
        """Attach one hook and remember it; a failure is a result, not an error."""
        if hook.name in self._descriptors:
            return AttachResult(hook.name, ok=True)
        try:
            self._descriptors[hook.name] = _attach(hook, program_fd, tracefs, devices)
            result = AttachResult(hook.name, ok=True)
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None) or errno.EINVAL
            reason = getattr(error, "strerror", None) or str(error)
            result = AttachResult(
                hook.name,
                ok=False,
                error_number=number,
                consequence=hook.consequence,
                reason=reason,
            )
        self.results.append(result)
        return result

    def remove(self, hook: Hook) -> bool:
        """Detach one hook; False if it was not attached.

        For uprobes the kernel waits for CPUs to leave the probe: milliseconds, not microseconds.
        """
        fd = self._descriptors.pop(hook.name, None)
        if fd is None:
            return False
        os.close(fd)
        self.results = [result for result in self.results if result.name != hook.name]
        return True

    def close(self) -> None:
        """Detach everything; may be called again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __len__(self) -> int:
        return len(self._descriptors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def attach(
    hooks: Iterable[Hook],
    programs: Mapping[str, int],
    *,
    tracefs: Path = Path("/sys/kernel/tracing"),
    devices: Path = Path("/sys/bus/event_source/devices"),
) -> Attachments:
    """Attach every hook of the table, in its order.

    Args:
        hooks: the table.
        programs: descriptor by name; one that is missing counts as refused (ENOENT).
        tracefs: where the kernel's tracepoints are listed.
        devices: where the kernel's event sources are listed.

    Raises:
        LoadError: if a hook that is not optional cannot be attached; nothing stays attached.
    """
    attachments = Attachments()
    try:
        for hook in hooks:
            fd = programs.get(hook.program, -1)
            result = attachments.add(hook, fd, tracefs=tracefs, devices=devices)
            if not result.ok and not hook.optional:
                raise _failure(hook, result)  # noqa: TRY301
    except BaseException:
        attachments.close()
        raise
    return attachments


def _attach(hook: Hook, program_fd: int, tracefs: Path, devices: Path) -> int:
    if program_fd < 0:
        raise OSError(errno.ENOENT, f"program {hook.program} is not loaded")
    if hook.kind is HookKind.RAW_TRACEPOINT:
        return attach_raw_tracepoint(program_fd, hook.target)
    if hook.kind is HookKind.TRACEPOINT:
        category, _, name = hook.target.partition(":")
        return attach_tracepoint(program_fd, category, name, tracefs=tracefs)
    return attach_uprobe(
        program_fd,
        hook.target,
        hook.offset,
        on_return=hook.kind is HookKind.URETPROBE,
        devices=devices,
    )


def _failure(hook: Hook, result: AttachResult) -> LoadError:
    return LoadError(
        f"cannot attach {hook.program} to {hook.name}: {result.reason}",
        hint=_hint(hook, result.error_number),
    )


def _hint(hook: Hook, number: int) -> str:
    if number in {errno.EPERM, errno.EACCES}:
        return "CAP_BPF and CAP_PERFMON are needed; `otelauto check` says which are missing"
    if number == errno.ENOENT and hook.kind is HookKind.TRACEPOINT:
        return "is tracefs mounted? mount -t tracefs none /sys/kernel/tracing"
    if number == errno.ENOENT:
        return "this kernel does not have it"
    return ""
