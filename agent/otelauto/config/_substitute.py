"""Environment variables inside the values of the file.

One pure function. Keys and comments are never touched, since only values are passed to it, and
what a variable holds is never read as YAML or substituted again.

=====================  ==========================================================
written                becomes
=====================  ==========================================================
``${NAME}``            the variable; an error if it is not set
``${NAME:-text}``      the variable, or ``text`` if it is not set or empty
``${env:NAME}``        as ``${NAME}``
``$$``                 ``$``
any other ``$``        itself
=====================  ==========================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otelauto.config._grammar import quoted
from otelauto.options import BadValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["substitute"]

_TOKEN = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """The text with its variables replaced.

    Raises:
        BadValueError: a variable is not set and has no default, or is not a variable's name.
    """
    problems: list[str] = []

    def replace(token: re.Match[str]) -> str:
        if token[0] == "$$":
            return "$"
        name = _NAME.fullmatch(token[1])
        if not token[2] or name is None:
            problems.append(
                f"{quoted(token[0])} names no variable; write ${{NAME}}, or $${{ for the text"
            )
        elif name[2] is not None:
            return environ.get(name[1], "") or name[2]
        elif name[1] not in environ:
            problems.append(
                f"variable {name[1]} is not set; set it, or write ${{{name[1]}:-default}}"
            )
        else:
            return environ[name[1]]
        return ""

    result = _TOKEN.sub(replace, text)
    if problems:
        raise BadValueError("; ".join(problems))
    return result
