"""The value types of the configuration that plain Python types cannot express.

Only immutable values live here; reading them from text is the work of ``kinds``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Ports", "Secret", "Url"]


class Secret:
    """A text that shows as ``***`` wherever it is printed by accident; ``reveal()`` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; for the exporters only."""
        return self._text

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._text == self._text

    def __hash__(self) -> int:
        return hash((type(self), self._text))

    def __bool__(self) -> bool:
        return bool(self._text)


class Url(Secret):
    """A URL that shows without its user, password, query and fragment."""

    __slots__ = ()

    @property
    def parts(self) -> SplitResult:
        """The URL's parts, secrets included."""
        return urlsplit(self._text)

    def with_path(self, path: str) -> Url:
        """The same URL with another path."""
        return Url(self.parts._replace(path=path).geturl())

    def __str__(self) -> str:
        parts = self.parts
        user, at, host = parts.netloc.rpartition("@")
        shown = parts._replace(
            netloc=f"***@{host}" if at or user else host,
            query="***" if parts.query else "",
            fragment="",
        )
        return shown.geturl()


@dataclass(frozen=True, slots=True)
class Ports:
    """A set of TCP ports as inclusive ranges, ascending and apart.

    Attributes:
        ranges: (first, last) of each range; empty if no port is meant.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, port: int) -> bool:
        return any(first <= port <= last for first, last in self.ranges)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __str__(self) -> str:
        return ",".join(
            str(first) if first == last else f"{first}-{last}" for first, last in self.ranges
        )
