"""How the kernel side is brought up: the ways of hooking in order, each proved by the self-test.

Only the order and the fall-back live here.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from otelauto.app.selftest import run_self_test
from otelauto.errors import CannotInstrumentError, LoadError, OtelautoError, SelfTestError
from otelauto.kernel import features, preflight
from otelauto.kernel.driver import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otelauto.config.schema import Config
    from otelauto.kernel.features import Features
    from otelauto.kernel.preflight import Finding
    from otelauto.kernel.programs import KernelSettings, Way

__all__ = ["bring_up", "ways"]

#: The ways of hooking, best first, and the features of the kernel that each needs.
_NEEDS: Final[Mapping[Way, tuple[str, ...]]] = {
    "sock": ("sock_length", "task_registers"),
    "syscall": ("sys_exit",),
}
#: Checks of what no hook uses yet: their remedy would be a right too many.
_UNUSED: Final = frozenset({"uprobes"})


def ways(setting: str, found: Features) -> tuple[Way, ...]:
    """The ways of hooking to try, best first.

    Args:
        setting: ebpf.hook.
        found: what the kernel has.

    Raises:
        CannotInstrumentError: the kernel lacks what the setting needs.
    """
    asked: dict[Way, tuple[str, ...]] = {
        way: needs for way, needs in _NEEDS.items() if setting in {"auto", way}
    }
    possible = tuple(
        way for way, needs in asked.items() if all(getattr(found, name) for name in needs)
    )
    if not possible:
        lacking = ", ".join(
            _refusal(name, found.error_number(name))
            for needs in asked.values()
            for name in needs
            if not getattr(found, name)
        )
        raise CannotInstrumentError(
            f"this kernel has no way of hooking for ebpf.hook: {setting}; it lacks {lacking}",
            hint="set ebpf.hook to auto"
            if setting != "auto"
            else "Linux 5.10 or newer with tracepoints is needed",
        )
    return possible


def _refusal(feature: str, number: int) -> str:
    return f"{feature} ({errno.errorcode.get(number, number)})" if number else feature


def bring_up(config: Config, settings: KernelSettings, log: Any) -> tuple[Kernel, dict[str, bool]]:
    """Check the host, then load, attach and test until one way of hooking passes.

    Returns:
        The kernel side, and the result of the self-test by way of hooking.

    Raises:
        CannotInstrumentError: nothing works here; says why and what to do.
    """
    preflight.raise_memlock()
    if not preflight.mount_tracefs():
        log.debug("tracefs is not mounted and cannot be mounted")
    findings = preflight.check(mode=settings.headers, bcc=None)
    _must(findings)
    _tell(findings, log)
    results: dict[str, bool] = {}
    failure: OtelautoError | None = None
    for way in ways(config.ebpf.hook, features.probe()):
        try:
            return _try(settings, way, results), results
        except (LoadError, SelfTestError) as error:  # noqa: PERF203 - two turns
            log.warning("this way of hooking does not work", hook=way, reason=str(error))
            failure = failure or error
    raise failure or CannotInstrumentError("no way of hooking works")


def _try(settings: KernelSettings, way: Way, results: dict[str, bool]) -> Kernel:
    kernel = Kernel(settings, way)
    try:
        run_self_test(kernel)
    except BaseException:
        results[way] = False
        kernel.close()
        raise
    results[way] = True
    return kernel


def _must(findings: Iterable[Finding]) -> None:
    for finding in findings:
        if finding.required and not finding.ok:
            raise CannotInstrumentError(f"{finding.name}: {finding.why}", hint=finding.remedy)


def _tell(findings: Iterable[Finding], log: Any) -> None:
    """Say what the agent works without, with the loss."""
    for finding in findings:
        if not finding.ok and finding.name not in _UNUSED:
            log.warning("limited", check=finding.name, why=finding.why, remedy=finding.remedy)
