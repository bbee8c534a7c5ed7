"""The service manager's end of sd_notify(3): everything that one process said, in its order."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["Notify"]


class Notify:
    """A context manager: reads all datagrams from `with` to its end.

    Attributes:
        address: for NOTIFY_SOCKET.
    """

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._messages: list[dict[str, str]] = []
        self._changed = threading.Condition(threading.RLock())
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        path.chmod(0o777)  # the agent need not be root
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def messages(self) -> list[dict[str, str]]:
        """Each datagram as its variables."""
        with self._changed:
            return list(self._messages)

    def said(self, variable: str) -> list[str]:
        """All values of a variable."""
        return [message[variable] for message in self.messages if variable in message]

    def wait(self, condition: Callable[[Notify], bool], timeout_seconds: float = 10) -> bool:
        """Whether the condition holds in time."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout_seconds)

    def _read(self) -> None:
        while data := self._socket.recv(65536):
            lines = (line.partition("=") for line in data.decode().split("\n"))
            with self._changed:
                self._messages.append({name: value for name, _, value in lines})
                self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)
        self._thread.join(5)
        self._socket.close()
