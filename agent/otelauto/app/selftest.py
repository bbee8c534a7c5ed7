"""The test that the agent makes with itself before it reports anything.

One HTTP exchange over loopback, of which everything is known, must come out of the kernel's maps
with the right method, status, sizes and duration, from both of its ends. If it does not, this way
of hooking would report rubbish.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otelauto.abi import _layout as abi
from otelauto.errors import SelfTestError

if TYPE_CHECKING:
    from otelauto.kernel.driver import Kernel

__all__ = ["run_self_test"]

#: A service id that is never given to a service.
SERVICE: Final = abi.MAX_SERVICES - 1
_ANSWER_AFTER_SECONDS: Final = 0.005
_TIMEOUT_SECONDS: Final = 5.0
_REQUEST: Final = (
    b"POST /self-test?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
)
_RESPONSE: Final = b"HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\nwelcome"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one end of the exchange was seen as."""

    method: str
    status: int
    count: int
    request_bytes: int
    response_bytes: int
    duration_seconds: float


def run_self_test(kernel: Kernel) -> None:
    """Make the exchange and look at what the kernel says of it.

    Raises:
        SelfTestError: it was not seen, or seen wrongly; says what was expected and found.
    """
    pid = os.getpid()
    kernel.open_service(SERVICE, abi.Service(0, 0, 0, 1, abi.Unmatched.UNSET, 0, 0))
    kernel.set_target(pid, SERVICE)
    try:
        took_seconds = _exchange()
    except OSError as error:
        raise SelfTestError(
            f"the self-test found no working loopback network: {error.strerror or error}",
            hint="bring the interface lo up in the agent's network namespace",
        ) from error
    finally:
        kernel.drop_target(pid)
    seen = _seen(kernel)
    for role in (abi.Role.SERVER, abi.Role.CLIENT):
        _judge(kernel, role, seen.get(role), took_seconds)


def _exchange() -> float:
    """Returns the seconds that it took, from before the first byte until both ends were done.

    The server may be held up on its way out of its last call, when the client has long been
    answered: that is part of the duration which the server's end has.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_TIMEOUT_SECONDS)
        answering = threading.Thread(target=_answer, args=(listener,), daemon=True)
        answering.start()
        with socket.create_connection(
            listener.getsockname(), timeout=_TIMEOUT_SECONDS
        ) as connection:
            start = time.perf_counter()
            connection.sendall(_REQUEST)
            _receive(connection, len(_RESPONSE))
        answering.join(_TIMEOUT_SECONDS)
        return time.perf_counter() - start


def _answer(listener: socket.socket) -> None:
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            _receive(connection, len(_REQUEST))
            time.sleep(_ANSWER_AFTER_SECONDS)
            connection.sendall(_RESPONSE)
    except OSError:
        return  # the other end reports it


def _receive(connection: socket.socket, length: int) -> None:
    left = length
    while left:
        chunk = connection.recv(left)
        if not chunk:
            raise ConnectionError(f"{left} of {length} bytes were missing")
        left -= len(chunk)


def _seen(kernel: Kernel) -> dict[int, _Seen]:
    found: dict[int, _Seen] = {}
    keys = []
    for raw_key, raw_value in kernel.red():
        key = abi.RedKey(*abi.RED_KEY.unpack(raw_key))
        if key.service != SERVICE:
            continue
        keys.append(raw_key)
        values = abi.RED_VALUE.unpack(raw_value)
        count = sum(values[abi.RED_VALUE_SLICES["duration"]])
        if count:
            # What was seen as two exchanges was seen wrongly, whatever the last one looks like.
            earlier = found[key.role].count if key.role in found else 0
            found[key.role] = _Seen(
                method=abi.METHODS[key.method],
                status=key.status,
                count=earlier + count,
                request_bytes=values[abi.RED_VALUE_SLICES["request_bytes"].start],
                response_bytes=values[abi.RED_VALUE_SLICES["response_bytes"].start],
                duration_seconds=values[abi.RED_VALUE_SLICES["duration_sum_ns"].start] / 1e9,
            )
    kernel.delete_red(keys)
    return found


def _judge(kernel: Kernel, role: abi.Role, seen: _Seen | None, took_seconds: float) -> None:
    end = role.name.lower()
    if seen is None:
        counted = {count.name.lower(): n for count, n in kernel.counts().items() if n}
        raise SelfTestError(
            f"self-test of the way of hooking {kernel.way!r}: the {end}'s end of a known exchange"
            f" was not seen (counters: {counted or 'all zero'})"
        )
    expected = ("POST", 201, 1, 5, 7)
    found = (seen.method, seen.status, seen.count, seen.request_bytes, seen.response_bytes)
    if found != expected or not (_ANSWER_AFTER_SECONDS <= seen.duration_seconds <= took_seconds):
        raise SelfTestError(
            f"self-test of the way of hooking {kernel.way!r}: the {end}'s end of a known exchange"
            f" was seen as {seen}, not as {expected} of {_ANSWER_AFTER_SECONDS} to"
            f" {took_seconds:.4f} s"
        )
