"""Messages and descriptors over a socket pair, with a deadline, from a peer that is not trusted.

Only framing lives here: four bytes of length and that many bytes; then descriptors by SCM_RIGHTS.
Every descriptor that arrives is either returned or closed, whatever the peer sends and wherever it
stops (unix(7): descriptors ride on the first byte of the message they were sent with).
"""

from __future__ import annotations

import array
import os
import socket
import struct
import time
from typing import Final

__all__ = ["ChannelError", "close_all", "pair", "receive_descriptors", "receive_message",
           "send_message"]  # fmt: skip

#: Far above any real answer; a peer that announces more is broken.
MOST_BYTES: Final = 16 << 20
_MOST_DESCRIPTORS: Final = 253  # SCM_MAX_FD


class ChannelError(Exception):
    """The peer did not keep to the protocol.

    Attributes:
        kind: "died" (it closed its end), "timeout" or "garbage".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends; both are closed on exec unless passed on."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def close_all(descriptors: list[int]) -> None:
    """Close each and empty the list, so that nothing is closed twice."""
    while descriptors:
        os.close(descriptors.pop())


def send_message(channel: socket.socket, content: bytes, *, deadline: float) -> None:
    """Send one message.

    Args:
        channel: our end.
        content: the message.
        deadline: on time.monotonic()'s clock.

    Raises:
        ChannelError: "died" or "timeout".
    """
    _limit(channel, deadline)
    try:
        channel.sendall(struct.pack("!I", len(content)) + content)
    except TimeoutError:
        raise ChannelError("timeout", "it did not read its request in time") from None
    except OSError:
        raise ChannelError("died", "it went away before it read its request") from None


def receive_message(channel: socket.socket, *, deadline: float) -> bytes:
    """Receive one message; descriptors that come with it are not part of it and are closed.

    Raises:
        ChannelError: of any kind.
    """
    (length,) = struct.unpack("!I", _receive(channel, 4, deadline))
    if length > MOST_BYTES:
        raise ChannelError("garbage", f"an answer of {length} bytes is no answer")
    return _receive(channel, length, deadline)


def receive_descriptors(channel: socket.socket, count: int, *, deadline: float) -> list[int]:
    """Receive exactly so many descriptors, closed on exec.

    Raises:
        ChannelError: of any kind; all that had arrived are closed.
    """
    found: list[int] = []
    try:
        while len(found) < count:
            if not _receive_part(channel, 1, found, deadline=deadline):
                break
        _require(found, count)
    except BaseException:
        close_all(found)
        raise
    return found


def _require(found: list[int], count: int) -> None:
    if len(found) < count:
        raise ChannelError("died", f"it went away after {len(found)} of {count} descriptors")
    if len(found) > count:
        raise ChannelError("garbage", f"{len(found)} descriptors instead of {count}")


def _receive(channel: socket.socket, count: int, deadline: float) -> bytes:
    content = bytearray()
    while len(content) < count:
        stray: list[int] = []
        try:
            part = _receive_part(channel, count - len(content), stray, deadline=deadline)
        finally:
            close_all(stray)
        if not part:
            raise ChannelError("died", "it went away before it answered")
        content += part
    return bytes(content)


def _receive_part(
    channel: socket.socket, count: int, descriptors: list[int], *, deadline: float
) -> bytes:
    _limit(channel, deadline)
    space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
    try:
        content, ancillary, _, _ = channel.recvmsg(
            min(count, 1 << 16), space, socket.MSG_CMSG_CLOEXEC
        )
    except TimeoutError:
        raise ChannelError("timeout", "it did not answer in time") from None
    except OSError:
        raise ChannelError("died", "it went away before it answered") from None
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            some = array.array("i")
            some.frombytes(raw[: len(raw) - len(raw) % some.itemsize])
            descriptors.extend(some)
    return content


def _limit(channel: socket.socket, deadline: float) -> None:
    # A timeout of 0 would mean non-blocking.
    channel.settimeout(max(deadline - time.monotonic(), 0.001))
