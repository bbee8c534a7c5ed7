"""Reading one scalar of what is written; shared by the modules of kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelauto.config._grammar import quoted
from otelauto.options import BadValueError

if TYPE_CHECKING:
    from otelauto.options import Raw

__all__ = ["SCALAR_SCHEMA", "STRING", "printable_text", "scalar"]

STRING: dict[str, object] = {"type": "string"}
SCALAR_SCHEMA: dict[str, object] = {"type": ["string", "number", "boolean"]}


def scalar(raw: Raw) -> str:
    """The text of one value.

    Raises:
        BadValueError: it is a list or a mapping.
    """
    if isinstance(raw, str):
        return raw
    shape = "list" if isinstance(raw, tuple) else "mapping"
    raise BadValueError(f"one value is expected here, not a {shape}")


def printable_text(raw: Raw) -> str:
    """The text of one value without control characters.

    Raises:
        BadValueError: it is a list or a mapping, or holds a control character.
    """
    text = scalar(raw)
    if not text.isprintable():
        raise BadValueError(f"{quoted(text)} holds a control character")
    return text
