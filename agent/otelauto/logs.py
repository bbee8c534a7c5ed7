"""The agent's log: text for people, JSON for machines.

Only the set-up of structlog lives here. Everything goes to the standard error, so that what is
printed on the standard output stays clean.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

__all__ = ["set_up"]

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
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries: only what goes wrong in them, in their own words.
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.captureWarnings(capture=True)
    return structlog.get_logger("otelauto")


def _traceback(stream: Any, info: Any) -> None:
    # Without the values of variables: they may hold credentials.
    import traceback  # noqa: PLC0415 - only for faults of the agent itself

    stream.write("\n" + "".join(traceback.format_exception(*info)))
