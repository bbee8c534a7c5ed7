"""The one event loop: descriptors, signals, and at most one timer.

Nothing polls: without events the process sleeps. Only the waiting lives here.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Loop"]


class Loop:
    """Calls back from the thread that runs it; made and closed by the main thread.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        # From now on, not from run() on: a signal between on_signal() and run() must not be lost.
        self._earlier_wake = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._signals: dict[int, Callable[[], None]] = {}
        self._earlier: dict[int, Any] = {}
        self._tick: Callable[[], None] | None = None
        self._tick_seconds = 0.0
        self._stopped = False

    def on_readable(self, fd: int, call: Callable[[], None]) -> None:
        """Call whenever the descriptor is readable."""
        self._selector.register(fd, selectors.EVENT_READ, call)

    def on_signal(self, number: int, call: Callable[[], None]) -> None:
        """Call after a signal, also one that came before run(); another call replaces the first.

        The handler itself does nothing but wake the loop.
        """
        self._signals[number] = call
        earlier = signal.signal(number, lambda *_: None)
        self._earlier.setdefault(number, earlier)

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Call at each interval."""
        self._tick, self._tick_seconds = call, seconds

    def stop(self) -> None:
        """End run() after the callback under way."""
        self._stopped = True

    def run(self) -> None:
        """Until stop()."""
        due = self._clock() + self._tick_seconds
        while not self._stopped:
            due = self._turn(due)

    def _turn(self, due: float) -> float:
        timeout = max(0.0, due - self._clock()) if self._tick else None
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                self._deliver()
            else:
                key.data()
            if self._stopped:
                return due
        if self._tick and self._clock() >= due:
            self._tick()
            return self._clock() + self._tick_seconds
        return due

    def _deliver(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in dict.fromkeys(os.read(self._wake_read, 4096)):
                call = self._signals.get(number)
                if call is not None:
                    call()

    def close(self) -> None:
        """Give back the signals and the descriptors."""
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._earlier_wake)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
