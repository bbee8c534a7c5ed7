"""The kinds of values that travel over the network: URLs, headers, attributes, secrets.

As in ``kinds``; besides, no message here ever repeats what may be a secret.
"""

from __future__ import annotations

import re

from otelauto.config._grammar import parse_pairs, quoted
from otelauto.config._raw import SCALAR_SCHEMA, STRING, printable_text, scalar
from otelauto.config.values import Secret, Url
from otelauto.options import BadValueError, Kind, Raw

__all__ = ["HEADERS", "PAIRS", "SECRET", "URL", "URL_PATH"]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token, RFC 9110 section 5.6.2


def _secret(raw: Raw) -> Secret:
    text = scalar(raw)
    if any(c in text for c in "\r\n\0"):
        raise BadValueError("the value holds a line break")
    return Secret(text)


def _url_path(raw: Raw) -> str:
    text = printable_text(raw)
    if not text.startswith("/") or re.search(r"[\s?#]", text):
        raise BadValueError(f"{quoted(text)} is not a URL path such as /metrics")
    return text


def _url(raw: Raw) -> Url | None:
    text = scalar(raw).strip()
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
    for position, (name, value) in enumerate(items, start=1):
        # The name is not shown: a token that is pasted without its name would be taken for one.
        if not _HEADER_NAME.fullmatch(name):
            problems.append((name, f"header {position} has a name that no header may have"))
        elif not isinstance(value, str):
            problems.append((name, f"header {position} needs one value"))
        elif not value.strip():
            problems.append((name, f"header {position} has no value"))
        elif any(not c.isprintable() or ord(c) > 0xFF for c in value):
            problems.append((name, f"header {position} has a character no header may hold"))
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
        return tuple((printable_text(name), printable_text(value)) for name, value in pairs)
    problems: list[tuple[int | str, str]] = [
        (name, f"attribute {quoted(name)} needs one value")
        for name, value in raw.items()
        if not isinstance(value, str)
    ]
    if problems:
        raise BadValueError("; ".join(p for _, p in problems), items=tuple(problems))
    return tuple((printable_text(name), printable_text(value)) for name, value in raw.items())


_MAP_SCHEMA: dict[str, object] = {
    "anyOf": [{"type": "object", "additionalProperties": SCALAR_SCHEMA}, STRING]
}

SECRET: Kind[Secret] = Kind("text, secret", _secret, str, STRING)
URL: Kind[Url | None] = Kind("URL", _url, lambda url: None if url is None else str(url), STRING)
HEADERS: Kind[tuple[tuple[str, Secret], ...]] = Kind(
    "mapping of header names to values",
    _header_pairs,
    lambda pairs: {name: str(value) for name, value in pairs},
    _MAP_SCHEMA,
)
PAIRS: Kind[tuple[tuple[str, str], ...]] = Kind(
    "mapping of names to values", _pairs, dict, _MAP_SCHEMA
)
URL_PATH: Kind[str] = Kind("URL path", _url_path, str, {"type": "string", "pattern": "^/"})
