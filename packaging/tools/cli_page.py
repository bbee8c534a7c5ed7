"""The page of the command line, from the parsers; the same in every version of Python."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from otelauto.cli import parsers

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["page"]

HEAD = """\
<!-- Generated from agent/otelauto/cli.py; do not edit. -->
# Command line

Exit codes and signals are in [exit-codes.md](exit-codes.md).
"""


def _spelled(action: argparse.Action) -> str:
    shown = action.metavar if isinstance(action.metavar, str) else action.dest
    if not action.option_strings:
        return "{" + ",".join(action.choices) + "}" if action.choices else f"[{shown}]"
    return ", ".join(action.option_strings) + (f" {shown}" if action.nargs != 0 else "")


def _lines() -> Iterator[str]:
    yield HEAD
    for name, parser in parsers().items():
        yield f"\n## `otelauto{' ' + name if name else ''}`\n\n{parser.description}\n\n"
        for action in parser._actions:  # noqa: SLF001 - argparse has no public list
            if action.help != argparse.SUPPRESS:
                yield f"- `{_spelled(action)}`: {action.help}\n"
    yield "\n## `otelauto version`\n\nPrint the version.\n"


def page() -> bytes:
    """The whole page."""
    return "".join(_lines()).encode()
