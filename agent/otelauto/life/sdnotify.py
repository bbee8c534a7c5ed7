"""What systemd is told (sd_notify(3)); nothing where there is no systemd.

Only the datagrams live here, not when they are sent.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Notifier"]

_PATIENCE_SECONDS = 1.0


class Notifier:
    """Sends states to the service manager.

    Args:
        environ: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read from it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_seconds = _watchdog(environ) if address else 0.0

    def ready(self, status: str = "") -> None:
        """The agent is up, or a reload is over."""
        self._send("READY=1", *([f"STATUS={status}"] if status else []))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """A reload begins; ready() ends it (systemd 253 and Type=notify-reload want the time)."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The agent ends."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The main loop turns."""
        self._send("WATCHDOG=1")

    def extend_start(self, seconds: float) -> None:
        """Starting takes longer; TimeoutStartSec counts anew."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # A service manager that does not read must not hold the work up.
                sender.settimeout(_PATIENCE_SECONDS)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            # A service manager that is gone does not matter to the work.
            return


def _watchdog(environ: Mapping[str, str]) -> float:
    """Half of the time after which systemd gives the agent up; 0: it does not watch."""
    try:
        pid = int(environ.get("WATCHDOG_PID", "0"))
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return 0.0
    if microseconds <= 0 or pid not in {0, os.getpid()}:
        return 0.0
    return microseconds / 2e6
