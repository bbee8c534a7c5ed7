"""The settings of routes as the rest of the package takes them. Only values live here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from otelauto.errors import ConfigError

__all__ = ["PLACEHOLDER", "Policy", "RouteRules"]

#: What is done with a path that no pattern matches (routes.unmatched).
Policy: TypeAlias = Literal["unset", "wildcard", "path", "heuristic"]
#: Prometheus' regular expressions (RE2) take it literally, so that a route can be put into =~.
PLACEHOLDER = "{id}"


@dataclass(frozen=True, slots=True)
class RouteRules:
    """How the paths of a service are grouped.

    Attributes:
        patterns: see pattern.py; what stands first names paths that two of them describe alike.
        ignored_patterns: paths that are not reported; stronger than all else.
        unmatched: see Policy.
        placeholder: what learned routes have in the place of an identifier.
        max_routes: learned routes of a service (not counting the patterns).

    Raises:
        ConfigError: placeholder or max_routes cannot be used.
    """

    patterns: tuple[str, ...] = ()
    ignored_patterns: tuple[str, ...] = ()
    unmatched: Policy = "heuristic"
    placeholder: str = PLACEHOLDER
    max_routes: int = 200

    def __post_init__(self) -> None:
        text = self.placeholder
        if not text or not text.isprintable() or any(char in "/?# " for char in text):
            raise ConfigError(
                f"the placeholder {text!r} of routes cannot be used",
                hint="it is one path segment, such as {id}",
            )
        if self.max_routes < 1:
            raise ConfigError(
                f"a service cannot have {self.max_routes} learned routes",
                hint="the least is 1; for no learned routes set routes.unmatched to wildcard",
            )
