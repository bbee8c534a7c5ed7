r"""Glob patterns over hostile text, in linear time.

Only the matcher lives here. A command line is whatever its process wants it to be, so a pattern
must not be turned into a regular expression that backtracks: `*a*b*c` against 100 kB of "a" would
stop the agent.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from otelauto.errors import ConfigError

__all__ = ["Glob"]

_MAX_ALTERNATIVES = 256


class Glob:
    r"""A compiled pattern that matches the whole text.

    `*` is any text ("/" too, as in the shell's `case`), `?` one character, `[a-z]` and `[!a-z]`
    one of a set, `{one,two}` one of several patterns, and `\` takes the next character as it is.

    Args:
        pattern: the pattern.

    Raises:
        ConfigError: a bracket or brace is not closed, a range runs backwards, a backslash ends
            the pattern, or the braces multiply to more than 256 patterns.
    """

    __slots__ = ("_alternatives", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._alternatives = tuple(_pieces(text) for text in _expand(pattern, pattern))

    def __repr__(self) -> str:
        return f"Glob({self.pattern!r})"

    def matches(self, text: str) -> bool:
        """Whether the whole text matches; the cost is at most pattern times text."""
        return any(_match(pieces, text) for pieces in self._alternatives)


def _expand(text: str, pattern: str) -> list[str]:
    """Replaces the first brace group by its choices, then the rest."""
    start, end, commas = _first_group(text, pattern)
    if start < 0:
        return [text]
    edges = [start, *commas, end]
    choices = [text[a + 1 : b] for a, b in pairwise(edges)]
    expanded: list[str] = []
    for choice in choices:
        expanded += _expand(text[:start] + choice + text[end + 1 :], pattern)
        if len(expanded) > _MAX_ALTERNATIVES:
            raise ConfigError(
                f"glob {pattern!r} stands for more than {_MAX_ALTERNATIVES} patterns",
                hint="use fewer {a,b} groups",
            )
    return expanded


def _first_group(text: str, pattern: str) -> tuple[int, int, list[int]]:
    depth, start, commas, index = 0, -1, list[int](), 0
    while index < len(text):
        char = text[index]
        if char == "\\":
            index += 1
        elif char == "[":
            index = _set_end(text, index, pattern)
        elif char == "{":
            start = index if depth == 0 else start
            depth += 1
        elif char == "," and depth == 1:
            commas.append(index)
        elif char == "}" and depth:
            depth -= 1
            if depth == 0:
                return start, index, commas
        index += 1
    if depth:
        raise ConfigError(f"glob {pattern!r}: {{ is not closed", hint="write \\{ for a brace")
    return -1, -1, []


def _set_end(text: str, start: int, pattern: str) -> int:
    index = start + 1
    if text[index : index + 1] == "!":
        index += 1
    # A closing bracket that comes first is a member of the set (POSIX 2.13.1).
    end = text.find("]", index + 1)
    if end < 0:
        raise ConfigError(f"glob {pattern!r}: [ is not closed", hint="write \\[ for a bracket")
    return end


class _Piece(NamedTuple):
    """What stands between two stars; it matches texts of one length only."""

    pattern: re.Pattern[str]
    length: int


def _pieces(text: str) -> tuple[_Piece, ...]:
    pieces: list[list[str]] = [[]]
    index = 0
    while index < len(text):
        char = text[index]
        if char == "*":
            pieces.append([])
        elif char == "?":
            pieces[-1].append(".")
        elif char == "[":
            end = _set_end(text, index, text)
            pieces[-1].append(_set(text[index + 1 : end], text))
            index = end
        elif char == "\\":
            index += 1
            if index == len(text):
                raise ConfigError(f"glob {text!r} ends with a backslash", hint="write \\\\")
            pieces[-1].append(re.escape(text[index]))
        else:
            pieces[-1].append(re.escape(char))
        index += 1
    return tuple(_Piece(re.compile("".join(each), re.DOTALL), len(each)) for each in pieces)


def _set(body: str, pattern: str) -> str:
    negated = body[:1] == "!"
    members = body[1:] if negated else body
    parts, index = [], 0
    while index < len(members):
        if members[index + 1 : index + 2] == "-" and index + 2 < len(members):
            low, high = members[index], members[index + 2]
            if low > high:
                raise ConfigError(f"glob {pattern!r}: range {low}-{high} runs backwards")
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
            index += 3
        else:
            parts.append(re.escape(members[index]))
            index += 1
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _match(pieces: tuple[_Piece, ...], text: str) -> bool:
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return first.pattern.fullmatch(text) is not None
    if first.pattern.match(text) is None:
        return False
    # The leftmost place is the best one for each piece, since a star takes any text.
    position = first.length
    for piece in pieces[1:-1]:
        found = piece.pattern.search(text, position)
        if found is None:
            return False
        position = found.end()
    start = len(text) - last.length
    return start >= position and last.pattern.fullmatch(text, start) is not None
