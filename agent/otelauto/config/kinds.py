"""The kinds of configuration values: how each is read, checked, shown and described.

Only ``Kind`` values and functions that make them live here. A kind knows neither its option nor
where a value came from; the loader adds both to the message of a BadValueError.
"""

from __future__ import annotations

import itertools
import re
import warnings
from typing import TypeVar

from otelauto.config._grammar import (
    check_glob,
    duration_text,
    finite_number,
    parse_duration,
    parse_pairs,
    parse_ports,
    quoted,
)
from otelauto.config.values import Ports, Secret, Url
from otelauto.errors import ConfigError
from otelauto.options import BadValueError, Kind, Plain, Raw
from otelauto.routes.pattern import parse_pattern

__all__ = [
    "BOOLEAN",
    "GLOBS",
    "HEADERS",
    "MILLISECONDS",
    "PAIRS",
    "PATH",
    "PORTS",
    "RATIO",
    "REGEXP",
    "ROUTE",
    "SECRET",
    "SIGNALS",
    "TEXT",
    "URL",
    "URL_PATH",
    "bounds",
    "choice",
    "duration",
    "integer",
    "sequence",
]

T = TypeVar("T")

_TRUE = frozenset({"true", "yes", "on", "1", "t"})
_FALSE = frozenset({"false", "no", "off", "0", "f"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token, RFC 9110 section 5.6.2
_LONGEST_REGEXP = 1000
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def _scalar(raw: Raw) -> str:
    if isinstance(raw, str):
        return raw
    raise BadValueError(f"one value is expected here, not a {_shape(raw)}")


def _shape(raw: Raw) -> str:
    return "list" if isinstance(raw, tuple) else "mapping"


def _text(raw: Raw) -> str:
    text = _scalar(raw)
    if any(not c.isprintable() for c in text):
        raise BadValueError(f"{quoted(text)} holds a control character")
    return text


def _secret(raw: Raw) -> Secret:
    text = _scalar(raw)
    if any(c in text for c in "\r\n\0"):
        raise BadValueError("the value holds a line break")
    return Secret(text)


def _boolean(raw: Raw) -> bool:
    text = _scalar(raw).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadValueError(f"{quoted(text)} is neither true nor false")


def _milliseconds(raw: Raw) -> float:
    text = _scalar(raw).strip()
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        raise BadValueError(f"{quoted(text)} is not a number of milliseconds")
    return int(text) / 1000


def _ratio(raw: Raw) -> float:
    number = finite_number(_scalar(raw).strip())
    if not 0 <= number <= 1:
        raise BadValueError(f"{quoted(_scalar(raw))} is outside 0 to 1")
    return number


def _globs(raw: Raw) -> tuple[str, ...]:
    # Not split at commas, which command lines hold and {one,two} needs.
    if isinstance(raw, dict):
        raise BadValueError("a glob or a list of globs is expected here, not a mapping")
    items = (raw,) if isinstance(raw, str) else raw
    return tuple(check_glob(_text(item)) for item in items if item != "")


def _route(raw: Raw) -> str:
    text = _text(raw)
    try:
        parse_pattern(text)
    except ConfigError as error:
        raise BadValueError(str(error)) from None
    return text


def _regexp(raw: Raw) -> str:
    text = _text(raw)
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
    text = _text(raw)
    if text and not text.startswith("/"):
        raise BadValueError(f"{quoted(text)} is not an absolute path")
    return text


def _url_path(raw: Raw) -> str:
    text = _text(raw)
    if not text.startswith("/") or re.search(r"[\s?#]", text):
        raise BadValueError(f"{quoted(text)} is not a URL path such as /metrics")
    return text


def _url(raw: Raw) -> Url | None:
    text = _scalar(raw).strip()
    if not text:
        return None
    if any(c.isspace() or not c.isprintable() for c in text):
        raise BadValueError("the URL holds a space or a control character")
    url = Url(text)
    try:
        parts = url.parts
        port, host, shown = parts.port, parts.hostname, str(url)
    except ValueError:
        raise BadValueError("the URL is not valid; write http://HOST:PORT") from None
    if parts.scheme not in {"http", "https"} or "://" not in text:
        # A text without a scheme may still hold a password, so that it is not shown when it has @.
        what = "the URL" if "@" in text else quoted(shown)
        if parts.scheme and "://" in text:
            raise BadValueError(f"{what} must begin with http:// or https://")
        raise BadValueError(f"{what} has no scheme; write http:// or https:// before the host")
    if not host:
        raise BadValueError(f"{quoted(shown)} has no host")
    if port == 0:
        raise BadValueError(f"{quoted(shown)} has port 0")
    return url


def _header_pairs(raw: Raw) -> tuple[tuple[str, Secret], ...]:
    if isinstance(raw, tuple):
        raise BadValueError("headers are a mapping of names to values, not a list")
    items: tuple[tuple[str, Raw], ...]
    problems: list[tuple[int | str, str]] = []
    if isinstance(raw, str):
        pairs, bad = parse_pairs(raw)
        if bad:
            raise BadValueError("; ".join(bad))
        items = pairs
    else:
        items = tuple(raw.items())
    headers: dict[str, Secret] = {}
    for name, value in items:
        if not isinstance(value, str):
            problems.append((name, f"header {quoted(name)} needs one value"))
        elif not _HEADER_NAME.fullmatch(name):
            problems.append((name, f"{quoted(name)} is not a header name"))
        elif any(not c.isprintable() or ord(c) > 0xFF for c in value):
            problems.append((name, f"header {quoted(name)} has a character no header may hold"))
        else:
            headers[name.lower()] = Secret(value)
    if problems:
        raise BadValueError("; ".join(p for _, p in problems), items=tuple(problems))
    return tuple(headers.items())


def _pairs(raw: Raw) -> tuple[tuple[str, str], ...]:
    if isinstance(raw, tuple):
        raise BadValueError("attributes are a mapping of names to values, not a list")
    if isinstance(raw, str):
        pairs, bad = parse_pairs(raw)
        if bad:
            raise BadValueError("; ".join(bad))
        return tuple((name, _text(value)) for name, value in pairs)
    problems: list[tuple[int | str, str]] = [
        (name, f"attribute {quoted(name)} needs one value")
        for name, value in raw.items()
        if not isinstance(value, str)
    ]
    if problems:
        raise BadValueError("; ".join(p for _, p in problems), items=tuple(problems))
    return tuple((name, _text(value)) for name, value in raw.items())


def _ports(raw: Raw) -> Ports:
    if isinstance(raw, dict):
        raise BadValueError("ports are a number, a range or a list, not a mapping")
    texts = (raw,) if isinstance(raw, str) else tuple(_scalar(item) for item in raw)
    return parse_ports(texts)


def _plain_ports(ports: Ports) -> Plain:
    if len(ports.ranges) == 1 and ports.ranges[0][0] == ports.ranges[0][1]:
        return ports.ranges[0][0]
    return str(ports)


def integer(low: int, high: int) -> Kind[int]:
    """Whole numbers from ``low`` to ``high``, both included."""

    def parse(raw: Raw) -> int:
        text = _scalar(raw).strip()
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
        seconds = parse_duration(_scalar(raw))
        if not low <= seconds <= high:
            raise BadValueError(
                f"{quoted(_scalar(raw))} is outside {duration_text(low)} to {duration_text(high)}"
            )
        return seconds

    schema = {
        "type": "string",
        "pattern": r"^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$",
    }
    name = f"duration, {duration_text(low)} to {duration_text(high)}"
    return Kind(name, parse, duration_text, schema)


def choice(*allowed: str, also: dict[str, str] | None = None) -> Kind[str]:
    """One of some words, whatever their case; ``also`` maps further spellings to them."""
    spellings = {word.lower(): word for word in allowed}
    spellings |= {other.lower(): word for other, word in (also or {}).items()}

    def parse(raw: Raw) -> str:
        text = _scalar(raw).strip()
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
    numbers = sequence(Kind("number", lambda raw: finite_number(_scalar(raw)), float, {
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


_STRING: dict[str, object] = {"type": "string"}
_SCALAR_SCHEMA: dict[str, object] = {"type": ["string", "number", "boolean"]}
_MAP_SCHEMA: dict[str, object] = {
    "anyOf": [{"type": "object", "additionalProperties": _SCALAR_SCHEMA}, _STRING]
}
_PORTS_PATTERN = r"^\s*[0-9]+(\s*-\s*[0-9]+)?(\s*,\s*[0-9]+(\s*-\s*[0-9]+)?)*\s*$"
_PORT_ITEM: dict[str, object] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 65535},
        {"type": "string", "pattern": _PORTS_PATTERN},
    ]
}

TEXT: Kind[str] = Kind("text", _text, str, _SCALAR_SCHEMA)
BOOLEAN: Kind[bool] = Kind("`true` or `false`", _boolean, bool, {"type": "boolean"})
PATH: Kind[str] = Kind("absolute path", _path, str, {"type": "string", "pattern": "^(/.*)?$"})
URL_PATH: Kind[str] = Kind("URL path", _url_path, str, {"type": "string", "pattern": "^/"})
GLOBS: Kind[tuple[str, ...]] = Kind(
    "glob, or list of globs",
    _globs,
    lambda globs: globs[0] if len(globs) == 1 else list(globs),
    {"anyOf": [_SCALAR_SCHEMA, {"type": "array", "items": _SCALAR_SCHEMA}]},
)
ROUTE: Kind[str] = Kind("route pattern", _route, str, _STRING)
REGEXP: Kind[str] = Kind("regular expression", _regexp, str, _STRING)
RATIO: Kind[float] = Kind(
    "number, 0 to 1", _ratio, float, {"type": "number", "minimum": 0, "maximum": 1}
)
MILLISECONDS: Kind[float] = Kind(
    "milliseconds", _milliseconds, lambda seconds: round(seconds * 1000), {"type": "integer"}
)
SECRET: Kind[Secret] = Kind("text, secret", _secret, str, _STRING)
URL: Kind[Url | None] = Kind("URL", _url, lambda url: None if url is None else str(url), _STRING)
HEADERS: Kind[tuple[tuple[str, Secret], ...]] = Kind(
    "mapping of header names to values",
    _header_pairs,
    lambda pairs: {name: str(value) for name, value in pairs},
    _MAP_SCHEMA,
)
PAIRS: Kind[tuple[tuple[str, str], ...]] = Kind(
    "mapping of names to values", _pairs, dict, _MAP_SCHEMA
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
