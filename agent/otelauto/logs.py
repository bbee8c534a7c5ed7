"""The agent's log: text for people, JSON for machines; and how often one thing is said.

Only the set-up of structlog and the throttle live here. Everything goes to the standard error, so
that what is printed on the standard output stays clean.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Throttle", "set_up"]

#: Causes that are remembered before those are forgotten that would be admitted anyway.
_CAUSES_MAX = 1000

_LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40}


def set_up(level: str, form: str) -> Any:
    """Configure structlog and give the agent's logger.

    Args:
        level: DEBUG, INFO, WARN or ERROR.
        form: "text", "json", or "auto": text on a terminal, JSON elsewhere.
    """
    import structlog  # noqa: PLC0415 - not needed by `otelauto check`

    terminal = sys.stderr.isatty()
    json = form == "json" or (form == "auto" and not terminal)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer()
            if json
            else structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _Lasting(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    # Libraries: only what goes wrong in them, in their own words.
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.captureWarnings(capture=True)
    return structlog.get_logger("otelauto")


class _Lasting:
    """A stream whose reader may go, or whose disk may be full, without a fault to whoever logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _traceback(stream: Any, info: Any) -> None:
    # Without the values of variables: they may hold credentials.
    import traceback  # noqa: PLC0415 - only for faults of the agent itself

    stream.write("\n" + "".join(traceback.format_exception(*info)))


class Throttle:
    """Lets one message per cause through in a while, and remembers how many it held back.

    Args:
        clock: monotonic seconds.
        seconds: the while.
    """

    def __init__(self, clock: Callable[[], float], *, seconds: float = 10.0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def admit(self, cause: str) -> Mapping[str, int] | None:
        """None: say nothing. Else the fields to add to the message: how many were held back."""
        now = self._clock()
        last = self._last.get(cause)
        if last is not None and now - last < self._seconds:
            self._held[cause] = self._held.get(cause, 0) + 1
            return None
        if len(self._last) >= _CAUSES_MAX:
            self._forget(now - self._seconds)
        self._last[cause] = now
        held = self._held.pop(cause, 0)
        return {"held_back": held} if held else {}

    def _forget(self, before: float) -> None:
        self._last = {cause: last for cause, last in self._last.items() if last > before}
        self._held = {cause: held for cause, held in self._held.items() if cause in self._last}
