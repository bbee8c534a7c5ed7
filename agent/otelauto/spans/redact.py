"""Queries without their secrets.

Only this replacement lives here. Names are compared without regard to case, and after one level of
percent-encoding is undone, as a receiver would read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["redacted"]

_REDACTED = "REDACTED"  # the word of the semantic conventions


def redacted(query: str, names: Collection[str]) -> str:
    """The query with the values of some parameters replaced.

    Args:
        query: without the question mark.
        names: lower-case names of the parameters.
    """
    if not names:
        return query
    return "&".join(
        ";".join(_parameter(part, names) for part in group.split(";"))
        for group in query.split("&")
    )


def _parameter(text: str, names: Collection[str]) -> str:
    name, equals, _ = text.partition("=")
    if equals and unquote_plus(name).strip().lower() in names:
        return f"{name}={_REDACTED}"
    return text
