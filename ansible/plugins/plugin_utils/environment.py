# SPDX-License-Identifier: Apache-2.0
"""Environment files that systemd and a POSIX shell read alike.

The packages of both collectors source theirs as root in maintainer scripts, so a value must never
be more than a value in either grammar.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["EnvironmentFileError", "environment_text"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ESCAPED = re.compile(r'([\\"$`])')


class EnvironmentFileError(ValueError):
    """A variable that cannot be written; the message names it and never shows its value."""


def environment_text(variables: dict[str, Any], note: str = "") -> str:
    """The lines ``NAME="value"``, in the order given, after a note as comment.

    Raises:
        EnvironmentFileError: a bad name, or a value with a line break or the like.
    """
    lines = [f"# {line}" for line in note.splitlines()]
    for name, value in variables.items():
        lines.append(f'{_checked_name(name)}="{_ESCAPED.sub(_escape, _checked(name, value))}"')
    return "\n".join(lines) + "\n" if lines else ""


def _escape(match: re.Match[str]) -> str:
    return "\\" + match.group()


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.match(name):
        raise EnvironmentFileError(
            f"{name!r} is not a name of an environment variable: letters, digits and underscores "
            "are, and no digit at its begin"
        )
    return name


def _checked(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise EnvironmentFileError(
            f"the variable {name} is a list or mapping; give text or a number"
        )
    text = str(value)
    for character in text:
        code = ord(character)
        if (code < 0x20 and character != "\t") or code == 0x7F or 0xD800 <= code <= 0xDFFF:
            raise EnvironmentFileError(
                f"the variable {name} holds a line break or another control character (U+"
                f"{code:04X}), which an environment file cannot carry; encode it, for example as "
                "base64"
            )
    return text
