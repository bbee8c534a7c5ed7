"""The small languages of the configuration: durations, port lists, globs, pairs.

Pure functions from text to values and back; each raises BadValueError with a remedy and nothing
else. No option and no file is known here.
"""

from __future__ import annotations

import math
import re
from urllib.parse import unquote

from otelauto.config.values import Ports
from otelauto.options import BadValueError

__all__ = [
    "check_glob",
    "duration_text",
    "parse_duration",
    "parse_pairs",
    "parse_ports",
    "quoted",
]

_UNIT_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_PORT = re.compile(r"[0-9]{1,9}", re.ASCII)
_PORT_RANGE = re.compile(r"([0-9]{1,9})\s*-\s*([0-9]{1,9})", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SHOWN_CHARACTERS = 80
_MAX_PORT = 65535
_LONGEST_DURATION_SECONDS = 366 * 24 * 3600.0


def quoted(text: str) -> str:
    """The text in double quotes, bounded, without control characters, for a message."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return '"' + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in cut) + '"'


def parse_duration(text: str) -> float:
    """Seconds of a Go duration such as ``5s``, ``1m30s`` or ``250ms`` (package time of Go).

    A bare number is refused: Beyla takes it for nanoseconds, which nobody means.

    Raises:
        BadValueError: it is no duration, negative, or longer than a year.
    """
    body = text.strip()
    if body in {"0", "+0", "-0"}:
        return 0.0
    if _NUMBER.fullmatch(body):
        raise BadValueError(f"{quoted(body)} has no unit; write {body}s, {body}ms or {body}m")
    if body.startswith("-"):
        raise BadValueError(f"{quoted(body)} is negative")
    body = body.removeprefix("+")
    seconds, position = 0.0, 0
    while part := _DURATION_PART.match(body, position):
        seconds += float(part[1]) * _UNIT_SECONDS[part[2]]
        position = part.end()
    if not body or position != len(body):
        raise BadValueError(f"{quoted(text)} is not a duration; write it as 5s, 250ms or 1m30s")
    if seconds > _LONGEST_DURATION_SECONDS:
        raise BadValueError(f"{quoted(text)} is longer than a year")
    return seconds


def duration_text(seconds: float) -> str:
    """The shortest Go duration for so many seconds, exact to the nanosecond."""
    nanoseconds = round(seconds * 1e9)
    if nanoseconds == 0:
        return "0s"
    if nanoseconds % 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("us", 1_000)):
            if nanoseconds % size == 0:
                return f"{nanoseconds // size}{unit}"
        return f"{nanoseconds}ns"
    whole = nanoseconds // 1_000_000_000
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (second, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= _MAX_PORT:
        raise BadValueError(f"port {port} is outside 1 to {_MAX_PORT}")
    return port


def _port_range(text: str) -> tuple[int, int]:
    if _PORT.fullmatch(text):
        return _port(text), _port(text)
    span = _PORT_RANGE.fullmatch(text)
    if span is None:
        raise BadValueError(
            f"{quoted(text)} is not a port; write 443, 8000-8999 or a list such as 80,443"
        )
    first, last = _port(span[1]), _port(span[2])
    if first > last:
        raise BadValueError(f"range {first}-{last} runs backwards; write {last}-{first}")
    return first, last


def parse_ports(texts: tuple[str, ...]) -> Ports:
    """Ports of items such as ``443``, ``8000-8999`` or ``80,443,8000-8999``.

    Raises:
        BadValueError: an item is no port or range within 1 to 65535; it names each bad item.
    """
    ranges: list[tuple[int, int]] = []
    problems: list[tuple[int | str, str]] = []
    for position, text in enumerate(texts):
        for piece in text.split(","):
            try:
                ranges.append(_port_range(piece.strip()))
            except BadValueError as error:  # noqa: PERF203 - each bad item is told
                problems.append((position, error.message))
    if problems:
        message = "; ".join(problem for _, problem in problems)
        raise BadValueError(message, items=tuple(problems))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return Ports(tuple(merged))


def check_glob(text: str) -> str:
    r"""The glob if it is well formed.

    Globs know ``*``, ``?``, ``[a-z]``, ``[!a-z]``, ``{one,two}`` and ``\`` before a character that
    stands for itself.

    Raises:
        BadValueError: a bracket or brace is not closed, a range runs backwards, or it ends with a
            backslash.
    """
    depth = position = 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
            if position == len(text):
                raise BadValueError(f"glob {quoted(text)} ends with a backslash; write two")
        elif char == "[":
            position = _set_end(text, position)
        elif char == "{":
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        position += 1
    if depth:
        raise BadValueError(f'glob {quoted(text)} has an unclosed "{{"; close it, or write \\{{')
    return text


def _set_end(text: str, start: int) -> int:
    """Position of the bracket that closes the one at ``start``."""
    inner = start + 2 if text[start + 1 : start + 2] == "!" else start + 1
    end = text.find("]", inner + 1)
    if end < 0:
        raise BadValueError(f'glob {quoted(text)} has an unclosed "["; close it, or write \\[')
    for span in re.finditer(r"(.)-(.)", text[inner:end], re.DOTALL):
        if span[1] > span[2]:
            raise BadValueError(f"glob {quoted(text)}: range {span[0]} runs backwards")
    return end


def parse_pairs(text: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Pairs of ``k1=v1,k2=v2`` with percent-encoded values, as in W3C Baggage.

    Values may contain ``=``. This is the form of OTEL_RESOURCE_ATTRIBUTES and
    OTEL_EXPORTER_OTLP_HEADERS.

    Returns:
        The good pairs, later ones winning, and for each bad entry what is wrong with it (its
        position, never its text, since it may be a secret).
    """
    pairs: dict[str, str] = {}
    problems = []
    for position, entry in enumerate(text.split(","), start=1):
        if not entry.strip():
            continue
        raw_key, equals, raw_value = entry.partition("=")
        key = unquote(raw_key.strip())
        if not equals or not key:
            problems.append(f"entry {position} is not KEY=VALUE")
        elif _BAD_ESCAPE.search(raw_value):
            problems.append(f"entry {position} holds a bare %; write %25 for it")
        else:
            try:
                pairs[key] = unquote(raw_value.strip(), errors="strict")
            except UnicodeDecodeError:
                problems.append(f"entry {position} does not decode to UTF-8")
    return tuple(pairs.items()), tuple(problems)


def finite_number(text: str) -> float:
    """A finite decimal number.

    Raises:
        BadValueError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadValueError(f"{quoted(text)} is not a number")
    return number
