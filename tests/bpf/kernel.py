"""A typed driver of all kernel programs on the host (host_kernel.c): calls in, series out."""

from __future__ import annotations

import ctypes
import socket
from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING

from otelauto.abi import _layout as abi

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PID", "REQUEST", "RESPONSE", "SERVICE", "Kernel", "Nr", "State", "exchange", "only"]

PID = 100
SERVICE = 7
REQUEST = b"POST /a/b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
RESPONSE = b"HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\nanswer"
PAIR = ctypes.c_uint64 * 2


class Nr(IntEnum):
    """System calls of x86-64."""

    READ = 0
    WRITE = 1
    READV = 19
    WRITEV = 20
    SENDFILE = 40
    SENDTO = 44
    RECVFROM = 45
    SENDMSG = 46
    RECVMSG = 47
    SPLICE = 275
    RECVMMSG = 299
    SENDMMSG = 307
    PREADV2 = 327
    PWRITEV2 = 328
    CLOSE = 3
    READ_32 = 3
    WRITE_32 = 4
    SOCKETCALL_32 = 102


class State(IntEnum):
    """States of a TCP socket (include/net/tcp_states.h)."""

    ESTABLISHED = 1
    FIN_WAIT1 = 4
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10


class Kernel:
    """The programs and their maps; process 100 is a target of service 7."""

    def __init__(self, library: Path) -> None:
        """Load the library; reset() begins."""
        code = ctypes.CDLL(str(library))
        code.host_socket.restype = ctypes.c_uint64
        code.host_syscall.argtypes = (
            ctypes.c_uint64,
            ctypes.c_uint64,
            ctypes.c_void_p,
            ctypes.c_uint64,
            ctypes.c_uint32,
        )
        code.host_state.argtypes = (*[ctypes.c_uint64] * 2, *[ctypes.c_uint32] * 2)
        code.host_destroy.argtypes = (ctypes.c_uint64,)
        code.host_count.restype = ctypes.c_uint64
        code.host_map_at.restype = ctypes.c_void_p
        code.host_event.restype = ctypes.POINTER(ctypes.c_char * 64)
        self._code = code
        self._now_ns = 0

    def reset(self, *, unmatched: abi.Unmatched = abi.Unmatched.LEARN) -> None:
        """Empty every map but for what the agent writes before hooks are attached."""
        self._code.host_reset()
        self._code.host_target(PID, SERVICE)
        self.set(
            "services",
            abi.U32.pack(SERVICE),
            abi.SERVICE.pack(*abi.Service(0, 0, 0, 1, unmatched, 0, 0)),
        )
        for number, name in enumerate(abi.METHODS[1:], start=1):
            self.set("methods", abi.METHOD_TEXT.pack(name.encode()), abi.U32.pack(number))

    def set(self, name: str, key: bytes, value: bytes) -> None:
        """Write an entry of a map, as the agent does."""
        self._code.host_map_set(name.encode(), key, value)

    def socket(
        self,
        fd: int,
        *,
        family: int = socket.AF_INET,
        kind: int = socket.SOCK_STREAM,
        port: int = 80,
        peer_port: int = 40_000,
        address: bytes = bytes(16),
        inode: int = 1,
    ) -> int:
        """A new socket of the process at this descriptor; the kernel's address of it."""
        return self._code.host_socket(fd, family, kind, port, peer_port, address, inode)

    def file(self, fd: int) -> None:
        """A regular file at this descriptor."""
        self._code.host_file(fd)

    def fail(self, fd: int, error: int) -> None:
        """The socket has this error pending."""
        self._code.host_error_of(fd, error)

    def process(self, pid: int) -> None:
        """The process that makes the calls from now on."""
        self._code.host_process(pid)

    def call(
        self, nr: Nr, args: tuple[int, ...], result: int, *, now_ns: int, compat: bool = False
    ) -> None:
        """The exit of a system call with this result, or minus an errno."""
        four = (ctypes.c_uint64 * 4)(*args)
        self._code.host_syscall(now_ns, nr, four, result & (1 << 64) - 1, compat)

    def move(
        self, nr: Nr, fd: int, data: bytes, *, now_ns: int, flags: int = 0, compat: bool = False
    ) -> None:
        """A system call that moves these bytes; vectored ones do it in pieces of nine bytes."""
        pieces = [data[at : at + 9] for at in range(0, len(data), 9)]
        owned = [ctypes.c_char_p(piece) for piece in pieces]
        vectors = (PAIR * max(len(pieces), 1))(
            *[
                PAIR(ctypes.cast(text, ctypes.c_void_p).value, len(piece))
                for text, piece in zip(owned, pieces, strict=True)
            ]
        )
        whole = ctypes.c_char_p(data)
        at = ctypes.cast(whole, ctypes.c_void_p).value
        header = (ctypes.c_uint64 * 7)(0, 0, ctypes.addressof(vectors), len(pieces), 0, 0, 0)
        if nr in {Nr.SENDMSG, Nr.RECVMSG}:
            args = (fd, ctypes.addressof(header), flags, 0)
        elif nr in {Nr.READV, Nr.WRITEV, Nr.PREADV2, Nr.PWRITEV2}:
            args = (fd, ctypes.addressof(vectors), len(pieces), 0)
        elif nr == Nr.SPLICE:
            args = (fd + 1, 0, fd, 0)
        else:
            args = (fd, at, max(len(data), 1), flags)
        self.call(nr, args, len(data), now_ns=now_ns, compat=compat)

    def state(self, sk: int, before: State, after: State, *, now_ns: int) -> None:
        """The socket changes its state."""
        self._code.host_state(now_ns, sk, before, after)

    def destroy(self, sk: int) -> None:
        """The socket is gone."""
        self._code.host_destroy(sk)

    def size(self, name: str) -> int:
        """Entries of a map."""
        return self._code.host_map_len(name.encode())

    def entry(self, name: str, index: int) -> bytes:
        """Key and value of an entry."""
        size = self._code.host_map_entry_bytes(name.encode())
        return ctypes.string_at(self._code.host_map_at(name.encode(), index), size)

    def series(self) -> dict[abi.RedKey, tuple[int, int, int, int]]:
        """Key without shard -> exchanges, sum of durations, of request and of response bytes."""
        found: dict[abi.RedKey, tuple[int, int, int, int]] = {}
        for index in range(self.size("red")):
            raw = self.entry("red", index)
            key = abi.RedKey(*abi.RED_KEY.unpack_from(raw))._replace(shard=0)
            value = abi.RED_VALUE.unpack_from(raw, abi.RED_KEY.size)
            number = sum(value[abi.RED_VALUE_SLICES["duration"]])
            more = (number, *value[:3])
            known = found.get(key, (0, 0, 0, 0))
            found[key] = tuple(a + b for a, b in zip(known, more, strict=True))
        return found

    def exchanges(self) -> Counter[tuple[str, int, str]]:
        """(method, status, fault) -> how many."""
        counter: Counter[tuple[str, int, str]] = Counter()
        for key, (number, *_) in self.series().items():
            counter[abi.METHODS[key.method], key.status, abi.Fault(key.fault).name] += number
        return counter

    def events(self) -> list[abi.EventKind]:
        """The kinds of the events that were sent."""
        return [
            abi.EventKind(
                abi.EVENT_HEADER.unpack_from(self._code.host_event(index).contents.raw)[0]
            )
            for index in range(self._code.host_events())
        ]

    def refuse_events(self) -> None:
        """The ring is full from now on."""
        self._code.host_refuse_events()

    @property
    def deepest(self) -> int:
        """The most tail calls that one hook has made."""
        return self._code.host_deepest()

    def counts(self) -> dict[abi.Count, int]:
        """The counters that are not zero."""
        every = {one: self._code.host_count(one) for one in abi.Count if one != abi.Count.MAX}
        return {one: number for one, number in every.items() if number}


def exchange(
    kernel: Kernel,
    fd: int = 3,
    *,
    receive: Nr = Nr.READ,
    send: Nr = Nr.WRITE,
    request: bytes = REQUEST,
    response: bytes = RESPONSE,
) -> None:
    """A request is read at 1,000 ns and answered at 6,000."""
    kernel.move(receive, fd, request, now_ns=1_000)
    kernel.move(send, fd, response, now_ns=6_000)


def only(kernel: Kernel) -> tuple[abi.RedKey, tuple[int, int, int, int]]:
    """The one series that there is."""
    ((key, values),) = kernel.series().items()
    return key, values
