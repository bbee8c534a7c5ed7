"""What a reload changes, and which configuration is in use.

Pure functions over configurations and their declarations.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from otelauto.options import Option, members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelauto.config.schema import Config

__all__ = ["Changes", "applied", "diff", "fingerprint"]


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Changes:
    """The paths of the options that differ.

    Attributes:
        live: those that a reload applies.
        restart: those that take effect at the next start only.
    """

    live: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.live or self.restart)

    def touches(self, prefix: str) -> bool:
        """Whether a live option at or below the path differs, such as "otel_metrics_export"."""
        return any(path == prefix or path.startswith(prefix + ".") for path in self.live)


def diff(old: Config, new: Config) -> Changes:
    """What differs between two configurations; secrets count by value.

    A list of entries differs as a whole, under its own path. Options without effect never differ.
    """
    found = list(_differences(old, new, ""))
    return Changes(
        live=tuple(path for path, reload in found if reload == "live"),
        restart=tuple(path for path, reload in found if reload == "restart"),
    )


def applied(old: T, new: T) -> T:
    """What is in force after a reload: the new values, but the old ones where it takes a restart.

    Args:
        old: a configuration in force, or a section of it.
        new: the one that was read.
    """
    kept: dict[str, Any] = {}
    for member in members(type(old)):
        before, after = getattr(old, member.attribute), getattr(new, member.attribute)
        if isinstance(member.spec, Option):
            if member.spec.reload == "restart":
                kept[member.attribute] = before
        elif not member.spec.many:
            kept[member.attribute] = applied(before, after)
    fresh: T = replace(new, **kept)  # type: ignore[type-var]
    return fresh


def _differences(old: Any, new: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for member in members(type(old)):
        path = prefix + member.key
        before, after = getattr(old, member.attribute), getattr(new, member.attribute)
        if before == after:
            continue
        if isinstance(member.spec, Option):
            if not member.spec.inert:
                yield path, member.spec.reload
        elif member.spec.many:
            yield path, "live"
        else:
            yield from _differences(before, after, path + ".")


def fingerprint(config: Config) -> str:
    """Sixteen hexadecimal digits that are equal on all hosts with equal configurations.

    Secrets take no part, so that they cannot be guessed from it.
    """
    lines = "\n".join(f"{path}={value!r}" for path, value in _plain_values(config, ""))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _plain_values(section: Any, prefix: str) -> Iterator[tuple[str, object]]:
    for member in members(type(section)):
        path, value = prefix + member.key, getattr(section, member.attribute)
        if isinstance(member.spec, Option):
            if not member.spec.secret:
                yield path, member.spec.kind.plain(value)
        else:
            parts = value if member.spec.many else (value,)
            for index, part in enumerate(parts):
                yield from _plain_values(part, f"{path}[{index}].")
