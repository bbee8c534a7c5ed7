"""A plug-in for pytest: what waits in the live tests waits longer, for emulation is slow.

No expectation changes: only how long it may take until it is met.
"""

from __future__ import annotations

import functools

from tests.servers import agent, process

_FACTOR = 15


def _patient(function):
    """The function with its timeout multiplied."""
    usual = (function.__kwdefaults__ or {})["timeout_seconds"]

    @functools.wraps(function)
    def waits(*arguments, **named):
        named["timeout_seconds"] = _FACTOR * named.get("timeout_seconds", usual)
        return function(*arguments, **named)

    return waits


# Before any module of tests has taken them over by name.
agent.until = _patient(agent.until)
agent.start_agent = _patient(agent.start_agent)
process.Supervisor.start = _patient(process.Supervisor.start)
