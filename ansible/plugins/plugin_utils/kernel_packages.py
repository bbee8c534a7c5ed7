# SPDX-License-Identifier: Apache-2.0
"""Which packages give BCC, and the headers of the running kernel, on each distribution.

One function from facts to names. The headers' package is always that of the *running* kernel: the
newest one compiles against structures that are not in memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KernelPackagesError", "kernel_packages"]

_MODES = ("auto", "always", "never")
#: Version, ABI and what else stands before the flavour in Debian's and Ubuntu's releases.
_DEBIAN = re.compile(
    r"[0-9]+(?:\.[0-9]+)+(?:[+~][0-9a-z.]+)?(?:-[0-9][0-9a-z.]*)?-(?P<flavor>.+)\Z"
)
_REDHAT = re.compile(r"(?P<release>.+?)(?:\+(?P<variant>[a-z0-9-]+))?\Z")
#: The kernels that Ubuntu's releases came with; any other generic one is of the HWE stack.
_UBUNTU_FIRST = {"20.04": "5.4.", "22.04": "5.15.", "24.04": "6.8."}
_REDHAT_LIKE = frozenset(
    {"RedHat", "CentOS", "Rocky", "AlmaLinux", "OracleLinux", "Fedora", "CentOS Stream"}
)


class KernelPackagesError(ValueError):
    """The distribution, its release or its kernel is not one that is known."""


def kernel_packages(
    facts: dict[str, Any], headers: str = "auto", *, btf: bool = False
) -> dict[str, Any]:
    """What to install on a host.

    Args:
        facts: ``distribution``, ``distribution_major_version``, ``distribution_version``,
            ``os_family``, ``kernel`` (the release, as of ``uname -r``).
        headers: ``auto`` (only without BTF), ``always`` or ``never``.
        btf: whether the running kernel describes its own types (``/sys/kernel/btf/vmlinux``).

    Returns:
        ``bcc`` and ``tools``, lists of packages; ``headers``, the package of the running kernel's
        headers, and ``tracking``, that of later kernels', both empty if they are not wanted;
        ``remedies``, what to do when the first cannot be had.

    Raises:
        KernelPackagesError: nothing is known about this host.
    """
    if headers not in _MODES:
        raise KernelPackagesError(f"bcc_kernel_headers is auto, always or never, not {headers!r}")
    bcc, tools, names = _family(facts)
    wanted = headers == "always" or (headers == "auto" and not btf)
    exact, tracking = names(facts) if wanted else ("", "")
    return {
        "bcc": bcc,
        "tools": tools,
        "headers": exact,
        "tracking": tracking,
        "remedies": _remedies(str(facts["kernel"]), exact, tracking, btf=btf) if wanted else "",
    }


def _family(facts: dict[str, Any]) -> tuple[list[str], list[str], Callable[..., tuple[str, str]]]:
    distribution = str(facts.get("distribution", ""))
    family = str(facts.get("os_family", ""))
    if distribution in ("Debian", "Ubuntu") or family == "Debian":
        names = _ubuntu if distribution == "Ubuntu" else _debian
        return ["python3-bpfcc"], ["bpfcc-tools"], names
    if distribution == "Amazon":
        return ["python3-bcc"], ["bcc-tools"], _amazon
    if distribution in _REDHAT_LIKE or family == "RedHat":
        return ["python3-bcc"], ["bcc-tools"], _redhat
    if family == "Suse":
        return ["python3-bcc"], ["bcc-tools"], _suse
    raise KernelPackagesError(
        f"no packages of BCC are known for {distribution or 'this distribution'} "
        f"{facts.get('distribution_version', '')}: install BCC and its Python binding by hand, "
        "and leave the role bcc out"
    )


def _debian(facts: dict[str, Any]) -> tuple[str, str]:
    kernel = str(facts["kernel"])
    match = _DEBIAN.match(kernel)
    return f"linux-headers-{kernel}", f"linux-headers-{match['flavor']}" if match else ""


def _ubuntu(facts: dict[str, Any]) -> tuple[str, str]:
    kernel, release = str(facts["kernel"]), str(facts.get("distribution_version", ""))
    exact, tracking = _debian(facts)
    generic = tracking in ("linux-headers-generic", "linux-headers-lowlatency")
    if generic and not kernel.startswith(_UBUNTU_FIRST.get(release, kernel)):
        tracking += f"-hwe-{release}"
    return exact, tracking


def _redhat(facts: dict[str, Any]) -> tuple[str, str]:
    match = _REDHAT.match(str(facts["kernel"]))
    release, variant = (match["release"], match["variant"]) if match else ("", None)
    if not release:
        raise KernelPackagesError(f"the kernel release {facts['kernel']!r} is not understood")
    flavor = f"{variant}-" if variant else ""
    if re.search(r"\.el[0-9_]+uek\.", release):
        flavor = "uek-"
    return f"kernel-{flavor}devel-{release}", f"kernel-{flavor}devel"


def _amazon(facts: dict[str, Any]) -> tuple[str, str]:
    kernel = str(facts["kernel"])
    series = re.match(r"([0-9]+\.[0-9]+)\.", kernel)
    # The first kernel of Amazon Linux 2023 has the plain name.
    name = "kernel" if series is None or series[1] in ("6.1", "5.10") else f"kernel{series[1]}"
    return f"{name}-devel-{kernel}", f"{name}-devel"


def _suse(facts: dict[str, Any]) -> tuple[str, str]:
    version, flavor = str(facts["kernel"]).rpartition("-")[::2]
    if not version:
        raise KernelPackagesError(f"the kernel release {facts['kernel']!r} is not understood")
    return f"kernel-{flavor}-devel={version}", f"kernel-{flavor}-devel"


def _remedies(kernel: str, exact: str, tracking: str, *, btf: bool) -> str:
    choices = [
        f"boot the mirror's newest kernel and run this again ({kernel} is older than that)",
        f"add a mirror or an archive that still has {exact}",
    ]
    if btf:
        choices.append("set bcc_kernel_headers to auto: this kernel has BTF and needs no headers")
    else:
        choices.append(
            "set bcc_kernel_headers to never, if the kernel's own headers are in "
            "/sys/kernel/kheaders.tar.xz (module kheaders)"
        )
    kept = f" ({tracking} keeps later kernels provided)" if tracking else ""
    numbered = "; ".join(f"{number}) {choice}" for number, choice in enumerate(choices, 1))
    return f"{exact} cannot be installed{kept}. Choose: {numbered}."
