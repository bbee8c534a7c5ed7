"""The kinds of configuration values: how each is read, checked, shown and described.

Only ``Kind`` values and functions that make them live here. A kind knows neither its option nor
where a value came from; the loader adds both to the message of a BadValueError.
"""

from __future__ import annotations

import itertools
import re
import warnings
from typing import TYPE_CHECKING, TypeVar

from otelauto.config._grammar import (
    check_glob,
    duration_text,
    finite_number,
    parse_duration,
    parse_ports,
    quoted,
)
from otelauto.config._raw import SCALAR_SCHEMA, STRING, printable_text, scalar
from otelauto.errors import ConfigError
from otelauto.options import BadValueError, Kind, Plain, Raw
from otelauto.routes.pattern import parse_pattern
from otelauto.routes.rules import RouteRules

if TYPE_CHECKING:
    from otelauto.config.values import Ports

__all__ = [
    "BOOLEAN",
    "GLOBS",
    "PATH",
    "PLACEHOLDER",
    "PORTS",
    "RATIO",
    "REGEXP",
    "ROUTE",
    "SIGNALS",
    "STANDARD_BOOLEAN",
    "TEXT",
    "bounds",
    "choice",
    "duration",
    "integer",
    "milliseconds",
    "sequence",
]

T = TypeVar("T")

_TRUE = frozenset({"true", "yes", "on", "1", "t"})
_FALSE = frozenset({"false", "no", "off", "0", "f"})
_LONGEST_REGEXP = 1000
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def _boolean(raw: Raw) -> bool:
    text = scalar(raw).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadValueError(f"{quoted(text)} is neither true nor false")


def _standard_boolean(raw: Raw) -> bool:
    text = scalar(raw).strip().lower()
    if text not in {"true", "false"}:
        raise BadValueError(f"{quoted(text)} is neither true nor false")
    return text == "true"


def _ratio(raw: Raw) -> float:
    number = finite_number(scalar(raw).strip())
    if not 0 <= number <= 1:
        raise BadValueError(f"{quoted(scalar(raw))} is outside 0 to 1")
    return number


def _globs(raw: Raw) -> tuple[str, ...]:
    # Not split at commas, which command lines hold and {one,two} needs.
    if isinstance(raw, dict):
        raise BadValueError("a glob or a list of globs is expected here, not a mapping")
    items = (raw,) if isinstance(raw, str) else raw
    return tuple(check_glob(printable_text(item)) for item in items if item != "")


def _placeholder(raw: Raw) -> str:
    text = printable_text(raw)
    try:
        RouteRules(placeholder=text)
    except ConfigError as error:
        raise BadValueError(str(error)) from None
    return text


def _route(raw: Raw) -> str:
    text = printable_text(raw)
    try:
        parse_pattern(text)
    except ConfigError as error:
        raise BadValueError(str(error)) from None
    return text


def _regexp(raw: Raw) -> str:
    text = printable_text(raw)
    if len(text) > _LONGEST_REGEXP:
        raise BadValueError(f"the regular expression is longer than {_LONGEST_REGEXP} characters")
    try:
        with warnings.catch_warnings():
            # Python warns of forms whose meaning may change one day, on the standard error.
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadValueError(f"{quoted(text)} is not a regular expression: {error}") from None
    return text


def _path(raw: Raw) -> str:
    text = printable_text(raw)
    if text and not text.startswith("/"):
        raise BadValueError(f"{quoted(text)} is not an absolute path")
    return text


def _ports(raw: Raw) -> Ports:
    if isinstance(raw, dict):
        raise BadValueError("ports are a number, a range or a list, not a mapping")
    texts = (raw,) if isinstance(raw, str) else tuple(scalar(item) for item in raw)
    return parse_ports(texts)


def _plain_ports(ports: Ports) -> Plain:
    if len(ports.ranges) == 1 and ports.ranges[0][0] == ports.ranges[0][1]:
        return ports.ranges[0][0]
    return str(ports)


def integer(low: int, high: int) -> Kind[int]:
    """Whole numbers from ``low`` to ``high``, both included."""

    def parse(raw: Raw) -> int:
        text = scalar(raw).strip()
        if not _INTEGER.fullmatch(text):
            raise BadValueError(f"{quoted(text)} is not a whole number")
        if not low <= int(text) <= high:
            raise BadValueError(f"{int(text)} is outside {low} to {high}")
        return int(text)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Kind(f"integer, {low} to {high}", parse, lambda value: value, schema)


def duration(low: float = 0.0, high: float = 86400.0) -> Kind[float]:
    """Durations in Go's form, as seconds from ``low`` to ``high``."""

    def parse(raw: Raw) -> float:
        seconds = parse_duration(scalar(raw))
        if not low <= seconds <= high:
            raise BadValueError(
                f"{quoted(scalar(raw))} is outside {duration_text(low)} to {duration_text(high)}"
            )
        return seconds

    schema = {
        "type": "string",
        "pattern": r"^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$",
    }
    name = f"duration, {duration_text(low)} to {duration_text(high)}"
    return Kind(name, parse, duration_text, schema)


def milliseconds(low: float, high: float) -> Kind[float]:
    """Whole milliseconds, as seconds from ``low`` to ``high``: the form of OTEL_* variables."""

    def parse(raw: Raw) -> float:
        text = scalar(raw).strip()
        if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
            raise BadValueError(f"{quoted(text)} is not a number of milliseconds")
        if not low <= int(text) / 1000 <= high:
            bounds = f"{round(low * 1000)} to {round(high * 1000)}"
            raise BadValueError(f"{text} milliseconds are outside {bounds}")
        return int(text) / 1000

    return Kind("milliseconds", parse, lambda s: round(s * 1000), {"type": "integer"})


def choice(*allowed: str, also: dict[str, str] | None = None) -> Kind[str]:
    """One of some words, whatever their case; ``also`` maps further spellings to them."""
    spellings = {word.lower(): word for word in allowed}
    spellings |= {other.lower(): word for other, word in (also or {}).items()}

    def parse(raw: Raw) -> str:
        text = scalar(raw).strip()
        if text.lower() not in spellings:
            raise BadValueError(f"{quoted(text)} is none of {', '.join(w for w in allowed if w)}")
        return spellings[text.lower()]

    words: list[object] = [*allowed, *(also or {})]
    return Kind("one of " + ", ".join(f"`{w}`" for w in allowed if w), parse, str, {"enum": words})


def sequence(item: Kind[T], *, most: int = 1000) -> Kind[tuple[T, ...]]:
    """A list; as one text its items are separated by commas."""

    def parse(raw: Raw) -> tuple[T, ...]:
        if isinstance(raw, dict):
            raise BadValueError("a list is expected here, not a mapping")
        parts: tuple[Raw, ...]
        if isinstance(raw, str):
            parts = tuple(part.strip() for part in raw.split(",") if part.strip())
        else:
            parts = raw
        if len(parts) > most:
            raise BadValueError(f"the list has {len(parts)} items; at most {most} are allowed")
        values, problems = [], list[tuple[int | str, str]]()
        for position, part in enumerate(parts):
            try:
                values.append(item.parse(part))
            except BadValueError as error:  # noqa: PERF203 - each bad item is told
                problems.append((position, error.message))
        if problems:
            raise BadValueError("; ".join(p for _, p in problems), items=tuple(problems))
        return tuple(values)

    schema = {"anyOf": [{"type": "array", "items": dict(item.schema)}, {"type": "string"}]}
    return Kind(
        f"list of: {item.name}", parse, lambda values: [item.plain(v) for v in values], schema
    )


def bounds(most: int) -> Kind[tuple[float, ...]]:
    """Ascending upper bounds of a histogram's buckets, at most ``most``."""
    numbers = sequence(Kind("number", lambda raw: finite_number(scalar(raw)), float, {
        "type": "number", "minimum": 0,
    }), most=most)  # fmt: skip

    def parse(raw: Raw) -> tuple[float, ...]:
        values = numbers.parse(raw)
        if not values:
            raise BadValueError("at least one bound is needed")
        if values[0] < 0 or any(a >= b for a, b in itertools.pairwise(values)):
            raise BadValueError("the bounds must be zero or more, and each above the one before")
        return values

    return Kind(f"list of at most {most} ascending numbers", parse, _plain_numbers, numbers.schema)


def _plain_numbers(values: tuple[float, ...]) -> Plain:
    return [int(value) if float(value).is_integer() else value for value in values]


_PORTS_PATTERN = r"^\s*[0-9]+(\s*-\s*[0-9]+)?(\s*,\s*[0-9]+(\s*-\s*[0-9]+)?)*\s*$"
_PORT_ITEM: dict[str, object] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 65535},
        {"type": "string", "pattern": _PORTS_PATTERN},
    ]
}

TEXT: Kind[str] = Kind("text", printable_text, str, SCALAR_SCHEMA)
BOOLEAN: Kind[bool] = Kind("`true` or `false`", _boolean, bool, {"type": "boolean"})
#: Boolean variables of the OpenTelemetry specification know these two words only.
STANDARD_BOOLEAN: Kind[bool] = Kind(BOOLEAN.name, _standard_boolean, bool, {"type": "boolean"})
PATH: Kind[str] = Kind("absolute path", _path, str, {"type": "string", "pattern": "^(/.*)?$"})
GLOBS: Kind[tuple[str, ...]] = Kind(
    "glob, or list of globs",
    _globs,
    lambda globs: globs[0] if len(globs) == 1 else list(globs),
    {"anyOf": [SCALAR_SCHEMA, {"type": "array", "items": SCALAR_SCHEMA}]},
)
PLACEHOLDER: Kind[str] = Kind("path segment", _placeholder, str, STRING)
ROUTE: Kind[str] = Kind("route pattern", _route, str, STRING)
REGEXP: Kind[str] = Kind("regular expression", _regexp, str, STRING)
RATIO: Kind[float] = Kind(
    "number, 0 to 1", _ratio, float, {"type": "number", "minimum": 0, "maximum": 1}
)
PORTS: Kind[Ports] = Kind(
    "ports: a number, a range, or a list of them",
    _ports,
    _plain_ports,
    {"anyOf": [*_PORT_ITEM["anyOf"], {"type": "array", "items": _PORT_ITEM}]},  # type: ignore[misc]
)
_SIGNALS = sequence(choice("metrics", "traces"))
SIGNALS: Kind[tuple[str, ...] | None] = Kind(
    _SIGNALS.name,
    _SIGNALS.parse,
    lambda signals: None if signals is None else list(signals),
    _SIGNALS.schema,
)
