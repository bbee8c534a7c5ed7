# SPDX-License-Identifier: Apache-2.0
"""Command-line flags from data, for a variable that systemd splits at white space."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["FlagError", "listen_address", "render_flags"]

_NAME = re.compile(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*\Z")
_VALUE = re.compile(r"[^\s\"'\\$`%\x00-\x1f\x7f]*\Z")


class FlagError(ValueError):
    """A flag that cannot be passed; the message names it."""


def render_flags(flags: dict[str, Any]) -> list[str]:
    """``--name=value`` for each flag: booleans in full, lists once for each item, ``null`` never.

    Raises:
        FlagError: a bad name, or a value with white space, quotes, ``$`` or ``%``.
    """
    found: list[str] = []
    for name, value in flags.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise FlagError(f"{name!r} is not a flag's name; write it without dashes before it")
        if value is None:
            continue
        items = value if isinstance(value, list) else [value]
        found += [f"--{name}={_text(name, item)}" for item in items]
    return found


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise FlagError(f"the flag {name} is neither text, a number nor a boolean")
    if not _VALUE.match(str(value)):
        raise FlagError(f"the flag {name} holds white space, a quote, '\\', '$', '`' or '%'")
    return str(value)


def listen_address(text: str) -> dict[str, Any]:
    """Host and port of ``host:port``, ``[::1]:port`` or ``:port``; and the host to dial.

    Raises:
        FlagError: there is no port, or it is none.
    """
    match = re.match(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^:\[\]\s]*)):([0-9]{1,5})\Z", text)
    if match is None or not 0 < int(match.group(3)) < 65536:
        raise FlagError(f"{text!r} is not an address: host:port, or [IPv6]:port")
    host = match.group(1) or match.group(2) or ""
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    dial = everywhere.get(host, host)
    return {
        "host": host,
        "port": int(match.group(3)),
        "dial": f"[{dial}]:{match.group(3)}" if ":" in dial else f"{dial}:{match.group(3)}",
    }
