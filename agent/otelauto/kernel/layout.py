"""Which offsets and sizes of the kernel's structures the programs need, and how they get them.

The one table of them, and its translation into definitions for the compiler: OFF_struct_member and
SIZEOF_struct. The values are the running kernel's: from its type information, or, where it has
none, from clang with the headers that match it exactly. Programs never name a member themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otelauto.errors import LoadError
from otelauto.kernel.btf import VMLINUX, offsets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MEMBERS", "Constants", "from_btf", "from_headers"]

#: (structure, member): the definition is OFF_structure_member.
_OFFSETS: Final = (
    ("task_struct", "files"),
    ("task_struct", "tgid"),
    ("task_struct", "pid"),
    ("task_struct", "group_leader"),
    ("task_struct", "thread_pid"),
    ("task_struct", "flags"),
    ("task_struct", "real_parent"),
    ("task_struct", "signal"),
    ("signal_struct", "live"),
    ("files_struct", "fdt"),
    ("fdtable", "max_fds"),
    ("fdtable", "fd"),
    ("file", "private_data"),
    ("file", "f_inode"),
    ("file", "f_flags"),
    ("inode", "i_mode"),
    ("inode", "i_ino"),
    ("socket", "file"),
    ("socket", "sk"),
    ("socket", "type"),
    ("socket", "ops"),
    ("sock", "sk_socket"),
    ("sock", "sk_type"),
    ("sock", "sk_protocol"),
    ("sock", "sk_err"),
    ("unix_sock", "peer"),
    ("tcp_sock", "write_seq"),
    ("sock_common", "skc_family"),
    ("sock_common", "skc_num"),
    ("sock_common", "skc_dport"),
    ("sock_common", "skc_daddr"),
    ("sock_common", "skc_rcv_saddr"),
    ("sock_common", "skc_v6_daddr"),
    ("sock_common", "skc_v6_rcv_saddr"),
    ("sock_common", "skc_state"),
    ("sock_common", "skc_net"),
    ("net", "ns"),
    ("ns_common", "inum"),
    ("pid", "level"),
    ("pid", "numbers"),
    ("upid", "nr"),
    ("upid", "ns"),
    ("pid_namespace", "ns"),
)
_SIZES: Final = ("socket", "upid")

#: Definition -> (structure, path); an empty path means the structure's size.
MEMBERS: Final[Mapping[str, tuple[str, str]]] = {
    **{f"OFF_{name}_{member}": (name, member) for name, member in _OFFSETS},
    **{f"SIZEOF_{name}": (name, "") for name in _SIZES},
}

#: Headers that define the structures above.
_HEADERS: Final = (
    "linux/sched.h",
    "linux/sched/signal.h",
    "linux/fdtable.h",
    "linux/fs.h",
    "linux/net.h",
    "linux/pid.h",
    "linux/pid_namespace.h",
    "linux/proc_ns.h",
    "net/net_namespace.h",
    "net/sock.h",
    "net/af_unix.h",
    "linux/tcp.h",
)
#: Members that a kernel may lack; the programs do without them then, by #ifdef.
_OPTIONAL: Final = frozenset(
    {
        "OFF_sock_common_skc_v6_daddr",
        "OFF_sock_common_skc_v6_rcv_saddr",
        "OFF_task_struct_thread_pid",
        "OFF_unix_sock_peer",
        "OFF_tcp_sock_write_seq",
    }
)


@dataclass(frozen=True, slots=True)
class Constants:
    """What the compiler is told about the kernel's structures.

    Attributes:
        cflags: -DNAME=VALUE.
        prelude: text to put before the programs.
        missing: definitions that this kernel has no value for.
    """

    cflags: tuple[str, ...]
    prelude: str = ""
    missing: tuple[str, ...] = ()


def from_btf(path: Path = VMLINUX) -> Constants:
    """The running kernel's values, from its own type information; 0.1 s.

    Raises:
        LoadError: no type information, or not one of the members that nothing works without.
    """
    found = offsets(MEMBERS, path=path)
    missing = tuple(name for name in MEMBERS if name not in found)
    needed = [name for name in missing if name not in _OPTIONAL]
    if needed:
        members = ", ".join(".".join(filter(None, MEMBERS[name])) for name in needed)
        raise LoadError(
            f"{path} does not tell where these are: {members}",
            hint="this kernel is not supported yet; please report the output of uname -r",
        )
    return Constants(
        cflags=tuple(f"-D{name}={value}" for name, value in found.items()), missing=missing
    )


def from_headers() -> Constants:
    """Expressions that clang evaluates from kernel headers.

    For kernels without type information, with headers that headers.py has found to be exactly
    those of the running kernel: with others the offsets would be wrong without a word.
    """
    prelude = "".join(f"#include <{header}>\n" for header in _HEADERS)
    return Constants(
        cflags=tuple(
            f"-D{name}=__builtin_offsetof(struct {struct},{path})"
            if path
            else f"-D{name}=sizeof(struct {struct})"
            for name, (struct, path) in MEMBERS.items()
        ),
        prelude=prelude,
    )
