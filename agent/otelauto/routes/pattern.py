"""Route patterns: the syntax that people write and the value that the automaton compiles.

Only text and values live here: no ids, no tables, no learning.

A pattern is a list of segments between slashes. Slashes at either end do not matter and empty
segments do not count, in patterns as in paths. A segment is

- literal text, compared byte for byte with the path *as it was sent*: no percent-decoding, no
  change of case (RFC 3986 section 6.2.2 allows normalisation, but servers differ in it, and two
  spellings of one resource are rare). A pattern for `/café` therefore reads `/caf%C3%A9`, which
  is what clients send;
- `{name}` or `:name`: exactly one segment, whatever it is;
- at the end only, `*`, `**` or `{name...}`: everything that follows, nothing included, so that
  `/static/*` matches `/static` as well.

Of two patterns that match the same path the one which is literal longer wins: at each segment
literal text beats a placeholder and a placeholder beats the trailing wildcard, with backtracking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from otelauto.abi._layout import PATH_BYTES
from otelauto.errors import ConfigError

__all__ = ["Pattern", "Segments", "parse_pattern", "parse_patterns", "printable", "split_path"]

#: A path's segments as they were sent.
Segments = tuple[bytes, ...]

_NAME = re.compile(r"[^\W\d][\w.\-]*")
_ALWAYS_ENCODED = re.compile(r"[\x00-\x20\x7f?#]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A set of paths with the name under which they are reported.

    Attributes:
        segments: literal bytes, or None for a placeholder.
        rest: True if anything, nothing included, may follow.
        name: the value of http.route.
    """

    segments: tuple[bytes | None, ...]
    rest: bool
    name: str

    @property
    def precedence(self) -> tuple[int, ...]:
        """The smaller one wins where two patterns match the same path."""
        kinds = tuple(int(segment is None) for segment in self.segments)
        return (*kinds, 2) if self.rest else kinds


def split_path(path: bytes) -> Segments:
    """The segments of a path; empty ones do not count."""
    return tuple(filter(None, path.split(b"/")))


def printable(segment: bytes) -> str:
    """The text of a segment for a label: valid UTF-8, all else percent-encoded (RFC 3986, 2.1)."""
    if segment.isascii():
        text = segment.decode("ascii")
        if text.isprintable() and " " not in text:
            return text
    text = segment.decode("utf-8", "surrogateescape")
    return "".join(
        char if char.isprintable() and char != " " else _percent_encoded(char) for char in text
    )


def _percent_encoded(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def parse_patterns(texts: tuple[str, ...]) -> tuple[Pattern, ...]:
    """Patterns in order, each set of paths once: of two spellings the first one names it.

    Raises:
        ConfigError: one of them is not valid.
    """
    found: dict[tuple[tuple[bytes | None, ...], bool], Pattern] = {}
    for text in texts:
        pattern = parse_pattern(text)
        found.setdefault((pattern.segments, pattern.rest), pattern)
    return tuple(found.values())


def parse_pattern(text: str) -> Pattern:
    """The pattern that a text of the configuration means; its name is the text itself.

    Raises:
        ConfigError: the text is not a pattern; names the text and the position (from 1).
    """
    if not text.strip():
        raise ConfigError("a route pattern is empty", hint="write / for the root path")
    bad = _ALWAYS_ENCODED.search(text)
    if bad is not None:
        raise _error(
            text, bad.start(), "a space, control character, ? or # is never part of a path"
        )
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise _error(text, error.start, "not valid Unicode") from error
    if length > PATH_BYTES:
        raise _error(text, PATH_BYTES, f"paths are compared up to {PATH_BYTES} bytes")
    segments: list[bytes | None] = []
    rest = False
    for found in re.finditer(r"[^/]+", text):
        if rest:
            raise _error(text, found.start(), "nothing may follow the wildcard")
        token = found.group()
        rest = _is_wildcard(text, token, at=found.start())
        if not rest:
            segments.append(_segment(text, token, at=found.start()))
    return Pattern(tuple(segments), rest=rest, name=text if text.startswith("/") else f"/{text}")


def _is_wildcard(text: str, token: str, *, at: int) -> bool:
    if token in {"*", "**"}:
        return True
    if token.startswith("{") and token.endswith("...}"):
        _check_name(text, token[1:-4], at=at + 1)
        return True
    return False


def _segment(text: str, token: str, *, at: int) -> bytes | None:
    """The bytes of a literal segment, None for a placeholder."""
    if token.startswith(":"):
        _check_name(text, token[1:], at=at + 1)
        return None
    if token.startswith("{") and token.endswith("}"):
        _check_name(text, token[1:-1], at=at + 1)
        return None
    for index, char in enumerate(token):
        if char in "{}":
            raise _error(text, at + index, "a placeholder is a whole segment, such as {id}")
        if char == "*":
            raise _error(text, at + index, "* stands alone, as the last segment")
        if char == ":" and index == 1 and not token[0].isalnum():
            raise _error(text, at, "a placeholder with a prefix is not supported; write {name}")
    return token.encode()


def _check_name(text: str, name: str, *, at: int) -> None:
    if _NAME.fullmatch(name) is None:
        raise _error(text, at, "a placeholder needs a name of letters, digits and _ - .")


def _error(text: str, at: int, what: str) -> ConfigError:
    return ConfigError(
        f"route pattern {text!r}, position {at + 1}: {what}",
        hint="patterns look like /users/{id}, /users/:id or /static/*",
    )
